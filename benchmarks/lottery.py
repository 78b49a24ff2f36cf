"""What makes a lottery ticket of the adding problem train: rate, draw, penalty, mask and sparsity, one by one.

Parents are runs of the `cpu` preset, with no regularizer and with a fixed torus. Every ticket trains for 9,390 steps; a
shorter training is read off its metrics, for the rate is constant. "random" is the mask of "none" with the entries of
each tensor permuted. A second study draws ReLU, tanh, GRU and LSTM layers with random masks at several spectral radii.

python -m benchmarks.lottery [THREADS]    # run what is missing on so many threads (2), then print the tables
python -m benchmarks.lottery --table      # print the tables of the committed records
"""

import dataclasses
import functools
import sys
from pathlib import Path
from typing import get_args

import torch

from benchmarks.adding import is_guessing
from benchmarks.suite import Suite, print_table, run_name, run_together
from riemod.initialization import by_name, reset_parameters, sparsity_aware
from riemod.pruning import MagnitudePruner, lottery_ticket
from riemod.tasks import Adding, AddingConfig, RunConfig
from riemod.tasks.recurrence import Cell
from riemod.training import Run, RunDescription, RunFolder, load, start

RUNS = Path("runs")
RADII = (0.5, 0.75, 1.0, 1.25)
# Mask and penalty of each arm: whose mask, and whether the ticket is penalised.
MASKS = {"none": "none", "random": "none", "torus": "torus", "torus without penalty": "torus"}

PARENTS = Suite(
    name="lottery-parents",
    task="adding",
    preset="cpu",
    options={},
    arms={"none": {}, "torus": {"manifold": "torus"}},
    sparsities=(0.95, 0.98),
    seeds=(0, 1, 2),
    metrics={"rmse": "1"},
    hidden="rnn.weight_hh_l0",
    lost=is_guessing,
)
TICKETS = [
    dataclasses.replace(
        PARENTS,
        name=f"lottery-{draw}-{rate:.0e}",
        options={"epochs": 30, "tail_epochs": 0, "learning_rate": rate, "initialization": draw},
        arms={arm: {"manifold": "torus" if arm == "torus" else "none"} for arm in MASKS},
    )
    for rate in (1e-4, 1e-3)
    for draw in ("default", "sparsity_aware")
]
CELLS = [
    dataclasses.replace(
        PARENTS,
        name=f"lottery-radius-{cell}",
        options={"epochs": 16, "tail_epochs": 0, "cell": cell, "scope": "tensor"},
        arms={f"radius {radius:g}": {} for radius in RADII},
        sparsities=(0.95,),
    )
    for cell in get_args(Cell)
]


def ticket(name: str, config: RunConfig, folder: RunFolder) -> Run:
    """The ticket of a parent's mask, drawn and trained as the config says."""
    arm = next(arm for arm in MASKS if name == run_name(arm, config.sparsity, config.seed))
    parent = load(RunFolder(RUNS / PARENTS.name / run_name(MASKS[arm], config.sparsity, config.seed)))
    generator = torch.Generator().manual_seed(config.seed)
    if arm == "random":
        for mask in parent.pruner.masks().values():
            mask.copy_(mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view_as(mask))
    moduli = None if config.manifold == "none" else parent.moduli
    drawn = lottery_ticket(
        parent.model, parent.pruner, moduli, generator=generator, initialize=by_name(config.initialization)
    )
    return start(folder, RunDescription("adding", config, str(parent.folder.path)), drawn)


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
        threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
        run_together(PARENTS, RUNS, threads)
        for suite in reversed(TICKETS):
            run_together(suite, RUNS, threads, ticket)
        for suite in CELLS:
            run_together(suite, RUNS, threads, with_radius)
    for suite in (PARENTS, *TICKETS, *CELLS):
        print_table(suite)
