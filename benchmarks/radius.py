"""The spectral radius that a sparse recurrent layer of each kind trains best from: the adding problem, 95 % sparse.

Masks are random and weights are drawn by `sparsity_aware` at the radius; 3,130 steps, three seeds.

python -m benchmarks.radius [THREADS]    # run what is missing on so many threads (2), then print the tables
python -m benchmarks.radius --table      # print the tables of the committed records
"""

import dataclasses
import functools
import sys
from pathlib import Path
from typing import get_args

import torch

from benchmarks.lottery import PARENTS
from benchmarks.suite import print_table, run_name, run_together
from riemod.initialization import reset_parameters, sparsity_aware
from riemod.pruning import MagnitudePruner, lottery_ticket
from riemod.tasks import Adding, AddingConfig, RunConfig
from riemod.tasks.recurrence import Cell
from riemod.training import Run, RunDescription, RunFolder, start

RADII = (0.5, 0.75, 1.0, 1.25)
SUITES = [
    dataclasses.replace(
        PARENTS,
        name=f"radius-{cell}",
        options={"epochs": 10, "tail_epochs": 0, "cell": cell, "scope": "tensor"},
        arms={f"radius {radius:g}": {} for radius in RADII},
        sparsities=(0.95,),
    )
    for cell in get_args(Cell)
]


def with_radius(name: str, config: RunConfig, folder: RunFolder) -> Run:
    """A sparse net on a random mask, its recurrent blocks at the spectral radius in the run's name."""
    radius = next(radius for radius in RADII if name == run_name(f"radius {radius:g}", config.sparsity, config.seed))
    assert isinstance(config, AddingConfig)
    model, generator = Adding(config).build_model(), torch.Generator().manual_seed(config.seed)
    reset_parameters(model, generator)
    # Of weights that were just drawn, the smallest are anywhere.
    pruner = MagnitudePruner(model, scope="tensor")
    pruner.prune(config.sparsity)
    draw = functools.partial(sparsity_aware, spectral_radius=radius)
    drawn = lottery_ticket(model, pruner, generator=generator, initialize=draw)
    return start(folder, RunDescription("adding", config, name), drawn)


if __name__ == "__main__":
    if "--table" not in sys.argv:
        for suite in SUITES:
            run_together(suite, Path("runs"), int(sys.argv[1]) if len(sys.argv) > 1 else 2, with_radius)
    for suite in SUITES:
        print_table(suite)
