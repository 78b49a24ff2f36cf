"""Navigation, `cpu` preset: learned torus, fixed torus and no regularizer, dense and at 90 %, three seeds.

python -m benchmarks.navigation            # run what is missing, then print the table
python -m benchmarks.navigation --table    # print the table of the committed records
"""

import sys
from pathlib import Path

from benchmarks.suite import Suite, print_table, run_suite

SUITE = Suite(
    name="navigation-cpu",
    task="navigation",
    options=("--preset", "cpu"),
    arms={
        "torus learned": ("--manifold", "torus", "--learn"),
        "torus fixed": ("--manifold", "torus"),
        "none": (),
    },
    sparsities=(0.0, 0.9),
    seeds=(0, 1, 2),
    metrics={"error_top3": "cm", "error_maximum_likelihood": "cm"},
    lost_level="error_top3 of holding the start",
)

if __name__ == "__main__":
    records = Path(__file__).parent / "records" / SUITE.name
    if "--table" not in sys.argv:
        run_suite(SUITE, Path("runs"), records)
    print_table(SUITE, records)
