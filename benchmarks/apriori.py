"""Sparse from the start or in the end: masks from geometry, and masks that move, on the adding problem (`cpu` preset).

The hidden matrix is 90 or 95 % empty, all other weights are dense; no penalty; every net is drawn by `sparsity_aware`
on the mask that it starts with. Magnitude pruning starts dense. The masks of a fixed torus are its cheapest pairs, or
drawn at the default temperature; dynamic masks start as drawn ones and grow by the gradient times the same prior (none:
RigL). Each has the control whose costs are shuffled over pairs, and one that knows no costs (uniform, RigL).

python -m benchmarks.apriori [THREADS]    # run what is missing on THREADS threads (2), then print the table
python -m benchmarks.apriori --table      # print the table of the committed records
"""

from pathlib import Path

from benchmarks.adding import TORUS, is_guessing
from benchmarks.suite import Suite, main, run_together

SHUFFLED = TORUS | {"arm": "shuffled"}
FIXED, CHEAPEST, DYNAMIC = (
    {"pruning": "geometric"},
    {"pruning": "geometric", "temperature": 0.0},
    {"pruning": "dynamic"},
)

SUITE = Suite(
    name="apriori",
    task="adding",
    preset="cpu",
    options={"strength": 0.0, "initialization": "sparsity_aware", "targets": "hidden"},
    arms={
        "magnitude": {},
        "cheapest": TORUS | CHEAPEST,
        "cheapest shuffled": SHUFFLED | CHEAPEST,
        "drawn": TORUS | FIXED,
        "drawn shuffled": SHUFFLED | FIXED,
        "uniform": FIXED,
        "dynamic": TORUS | DYNAMIC,
        "dynamic shuffled": SHUFFLED | DYNAMIC,
        "dynamic RigL": DYNAMIC,
    },
    sparsities=(0.9, 0.95),
    seeds=(0, 1, 2, 3, 4),
    metrics={"rmse": "1"},
    hidden="rnn.weight_hh_l0",
    lost=is_guessing,
)


def run_all(threads: int) -> None:
    """All arms side by side."""
    run_together(SUITE, Path("runs"), threads)


if __name__ == "__main__":
    main(run_all, [SUITE])
