"""The adding problem at the paper's scale, 95 % sparse, five seeds: six arms, and lottery tickets of three of them.

All runs of one rate train side by side in one process. Tickets are drawn and trained by the paper's recipe (torch's
draw, rate 1e-4) and by ours (`sparsity_aware`, rate 1e-3), both with the parent's regularizer and number of steps.
Sequences have 30 numbers, as in the committed records; the `paper` preset has the paper's 50 (Table 13).

python -m benchmarks.adding [THREADS]    # run what is missing on THREADS threads (2), then print the tables
python -m benchmarks.adding --table      # print the tables of the committed records
"""

import dataclasses
from pathlib import Path
from typing import Any

from benchmarks.suite import Record, Suite, main, run_together
from riemod.tasks import RunConfig
from riemod.training import Run, RunFolder, load, lottery

RUNS = Path("runs")
TORUS: dict[str, Any] = {"manifold": "torus"}
LENGTH: dict[str, Any] = {"steps": 30}


def is_guessing(record: Record) -> bool:
    """Whether the error is nearer to that of always answering 1 than to half of it."""
    return record["metrics"]["rmse"]["value"] > 0.75 * record["levels"]["rmse of always answering 1"]["value"]


SUITE = Suite(
    name="adding-paper",
    task="adding",
    preset="paper",
    options=LENGTH,
    arms={
        "none": {},
        "matched L1": TORUS | {"arm": "matched_l1"},
        "shuffled": TORUS | {"arm": "shuffled"},
        "torus fixed": TORUS,
        "torus learned": TORUS | {"learn": True},
        "R3 learned": {"manifold": "euclidean3", "learn": True},
    },
    sparsities=(0.95,),
    seeds=(0, 1, 2, 3, 4),
    metrics={"rmse": "1"},
    hidden="rnn.weight_hh_l0",
    lost=is_guessing,
)
TICKETS = {
    recipe: dataclasses.replace(
        SUITE,
        name=f"adding-paper-tickets-{recipe}",
        options=LENGTH | options,
        arms={arm: SUITE.arms[arm] for arm in ("none", "shuffled", "torus learned")},
    )
    for recipe, options in {
        "paper": {},
        "ours": {"initialization": "sparsity_aware", "learning_rate": 1e-3},
    }.items()
}


def ticket(name: str, config: RunConfig, folder: RunFolder) -> Run:
    """The ticket of the finished run of that name, at the config's draw and rate."""
    parent = load(RunFolder(RUNS / SUITE.name / name))
    return lottery(
        parent, folder, initialization=config.initialization, learning_rate=config.optimization.learning_rate
    )


def run_all(threads: int) -> None:
    """The arms, and then the tickets, which need them."""
    run_together(SUITE, RUNS, threads)
    for suite in TICKETS.values():
        run_together(suite, RUNS, threads, ticket)


if __name__ == "__main__":
    main(run_all, [SUITE, *TICKETS.values()])
