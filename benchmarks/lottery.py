"""What makes a lottery ticket of the adding problem train: rate, draw, penalty, mask and sparsity, one by one.

Parents are runs of the `cpu` preset, with no regularizer and with a fixed torus. Every ticket trains for 6,260 steps; a
shorter training is read off its metrics, for the rate is constant. "random" is the mask of "none" with the entries of
each tensor permuted.

python -m benchmarks.lottery [THREADS]    # run what is missing on THREADS threads (2), then print the tables
python -m benchmarks.lottery --table      # print the tables of the committed records
"""

import dataclasses
from pathlib import Path

import torch

from benchmarks.adding import is_guessing
from benchmarks.suite import Suite, main, run_name, run_together
from riemod.initialization import by_name
from riemod.pruning import lottery_ticket
from riemod.tasks import RunConfig
from riemod.training import Run, RunDescription, RunFolder, load, start

RUNS = Path("runs")
# Mask and penalty of each arm: whose mask, and whether the ticket is penalized.
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
        options={"epochs": 20, "tail_epochs": 0, "learning_rate": rate, "initialization": draw},
        arms={arm: {"manifold": "torus" if arm == "torus" else "none"} for arm in MASKS},
    )
    for rate in (1e-4, 1e-3)
    for draw in ("default", "sparsity_aware")
]


def ticket(name: str, config: RunConfig, folder: RunFolder) -> Run:
    """The ticket of a parent's mask, drawn and trained as the config says."""
    arm = next(arm for arm in MASKS if name == run_name(arm, config.masks.sparsity, config.seed))
    parent = load(RunFolder(RUNS / PARENTS.name / run_name(MASKS[arm], config.masks.sparsity, config.seed)))
    generator = torch.Generator().manual_seed(config.seed)
    if arm == "random":
        for mask in parent.pruner.masks().values():
            mask.copy_(mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view_as(mask))
    moduli = None if config.regularization.manifold == "none" else parent.moduli
    drawn = lottery_ticket(
        parent.model, parent.pruner, moduli, generator=generator, initialize=by_name(config.initialization)
    )
    return start(folder, RunDescription("adding", config, str(parent.folder.path)), drawn)


def run_all(threads: int) -> None:
    """The parents, and then the tickets, which need them."""
    run_together(PARENTS, RUNS, threads)
    for suite in TICKETS:
        run_together(suite, RUNS, threads, ticket)


if __name__ == "__main__":
    main(run_all, [PARENTS, *TICKETS])
