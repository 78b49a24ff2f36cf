"""Whole blocks of the hidden matrix against single weights, and neurons in geometric order against a random one.

The adding problem, `cpu` preset, five seeds, at 90 and 95 % in every tensor, by a cubic schedule: 4 epochs dense, 12
to recover, so that pruning ends at 70 % of the epochs. "random" has the same penalty, and blocks of neurons in a random
order that the seed fixes. Then navigation, `cpu` preset, three seeds at 90 %, with blocks of 16, next to the records of
`benchmarks.navigation`, whose recipe it shares.

python -m benchmarks.blocks [JOBS]     # run what is missing, on JOBS threads or processes (2), then print the tables
python -m benchmarks.blocks --table    # print the tables of the committed records
"""

import dataclasses
from pathlib import Path
from typing import Any

from benchmarks import navigation
from benchmarks.adding import TORUS, is_guessing
from benchmarks.suite import Suite, main, run_processes, run_together

RANDOM: dict[str, Any] = {"block_order": "random"}

ADDING = Suite(
    name="blocks-adding",
    task="adding",
    preset="cpu",
    options={"scope": "tensor", "schedule": "cubic", "dense_epochs": 4, "tail_epochs": 12, "strength": 1.0},
    arms={
        "single none": {},
        "single torus": TORUS,
        "8x8 none index": {"blocks": 8, "block_order": "index"},
        "8x8 torus geometric": TORUS | {"blocks": 8},
        "8x8 torus random": TORUS | {"blocks": 8} | RANDOM,
        "32x32 torus geometric": TORUS | {"blocks": 32},
        "32x32 torus random": TORUS | {"blocks": 32} | RANDOM,
    },
    sparsities=(0.9, 0.95),
    seeds=(0, 1, 2, 3, 4),
    metrics={"rmse": "1"},
    hidden="rnn.weight_hh_l0",
    lost=is_guessing,
)
SINGLE = dataclasses.replace(navigation.SUITE, sparsities=(0.9,))
NAVIGATION = dataclasses.replace(
    SINGLE,
    name="blocks-navigation",
    arms={
        "16x16 torus geometric": TORUS | {"blocks": 16},
        "16x16 torus random": TORUS | {"blocks": 16} | RANDOM,
    },
)


def run_all(jobs: int) -> None:
    """The adding problem side by side, then navigation in processes."""
    run_together(ADDING, Path("runs"), jobs)
    run_processes(NAVIGATION, Path("runs"), jobs)


if __name__ == "__main__":
    main(run_all, [ADDING, SINGLE, NAVIGATION])
