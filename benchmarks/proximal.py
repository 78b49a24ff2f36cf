"""Soft thresholding against magnitude pruning: the adding problem, `cpu` preset, fixed torus, five seeds.

At 95 % overall: magnitude pruning without penalty, with the penalty's subgradient, and with the proximal step in its
place. Then the proximal step alone, which leaves the zeros that its threshold makes, all of them in the hidden matrix;
the strength was chosen in one trial run (seed 0, 24 epochs) to leave about 95 % of it empty.

python -m benchmarks.proximal [THREADS]    # run what is missing on THREADS threads (2), then print the tables
python -m benchmarks.proximal --table      # print the tables of the committed records
"""

import dataclasses
from pathlib import Path

from benchmarks.adding import TORUS, is_guessing
from benchmarks.suite import Suite, main, run_together

PRUNED = Suite(
    name="proximal-pruned",
    task="adding",
    preset="cpu",
    options={},
    arms={
        "magnitude": {},
        "magnitude and subgradient": TORUS | {"strength": 1.0},
        "magnitude and proximal": TORUS | {"strength": 1.0, "proximal": True},
    },
    sparsities=(0.95,),
    seeds=(0, 1, 2, 3, 4),
    metrics={"rmse": "1"},
    hidden="rnn.weight_hh_l0",
    lost=is_guessing,
)
ALONE = dataclasses.replace(
    PRUNED,
    name="proximal-alone",
    options={"strength": 30.0, "proximal": True},
    arms={"torus": TORUS, "matched L1": TORUS | {"arm": "matched_l1"}, "shuffled": TORUS | {"arm": "shuffled"}},
    sparsities=(0.0,),
)


def run_all(threads: int) -> None:
    """Both suites."""
    for suite in (PRUNED, ALONE):
        run_together(suite, Path("runs"), threads)


if __name__ == "__main__":
    main(run_all, [PRUNED, ALONE])
