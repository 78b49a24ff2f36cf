"""The spectral radius that a ticket of each kind of recurrent layer trains best from: the adding problem, 95 % sparse.

Parents have no regularizer and train for 5,008 steps; their tickets are drawn by `sparsity_aware` at each radius and
train for 3,756. Three seeds.

python -m benchmarks.radius [THREADS [CELL ...]]    # run what is missing on THREADS threads (2), then print the tables
python -m benchmarks.radius --table                 # print the tables of the committed records
"""

import dataclasses
import functools
import sys
from pathlib import Path
from typing import get_args

import torch

from benchmarks.adding import is_guessing
from benchmarks.suite import Suite, main, run_name, run_together
from riemod.initialization import sparsity_aware
from riemod.pruning import lottery_ticket
from riemod.tasks import RunConfig
from riemod.tasks.recurrence import Cell
from riemod.training import Run, RunDescription, RunFolder, load, start

RUNS = Path("runs")
RADII = (0.5, 0.75, 1.0, 1.25, 1.5)
PARENTS = {
    cell: Suite(
        name=f"radius-{cell}-parents",
        task="adding",
        preset="cpu",
        options={"cell": cell, "epochs": 16, "tail_epochs": 6},
        arms={"none": {}},
        sparsities=(0.95,),
        seeds=(0, 1, 2),
        metrics={"rmse": "1"},
        hidden="rnn.weight_hh_l0",
        lost=is_guessing,
    )
    for cell in get_args(Cell)
}
TICKETS = {
    cell: dataclasses.replace(
        parents,
        name=f"radius-{cell}",
        options={"cell": cell, "epochs": 12, "tail_epochs": 0, "initialization": "sparsity_aware"},
        arms={f"radius {radius:g}": {} for radius in RADII},
    )
    for cell, parents in PARENTS.items()
}


def ticket(name: str, config: RunConfig, folder: RunFolder, parents: Suite) -> Run:
    """The ticket of the parent of that seed, its recurrent blocks at the spectral radius in the run's name."""
    sparsity, seed = config.masks.sparsity, config.seed
    radius = next(radius for radius in RADII if name == run_name(f"radius {radius:g}", sparsity, seed))
    parent = load(RunFolder(RUNS / parents.name / run_name("none", sparsity, seed)))
    draw = functools.partial(sparsity_aware, spectral_radius=radius)
    generator = torch.Generator().manual_seed(config.seed)
    drawn = lottery_ticket(parent.model, parent.pruner, generator=generator, initialize=draw)
    return start(folder, RunDescription("adding", config, str(parent.folder.path)), drawn)


def run_all(threads: int) -> None:
    """Of the kinds that the command line names, or all: the parents, and then the tickets, which need them."""
    for cell in sys.argv[2:] or get_args(Cell):
        run_together(PARENTS[cell], RUNS, threads)
        run_together(TICKETS[cell], RUNS, threads, functools.partial(ticket, parents=PARENTS[cell]))


if __name__ == "__main__":
    main(run_all, [*PARENTS.values(), *TICKETS.values()])
