"""Navigation, `cpu` preset: learned torus, fixed torus and no regularizer, dense and at 90 %, three seeds.

python -m benchmarks.navigation [JOBS]     # run what is missing, JOBS runs at a time (2), then print the table
python -m benchmarks.navigation --table    # print the table of the committed records
"""

from pathlib import Path

from benchmarks.suite import Suite, main, run_processes

SUITE = Suite(
    name="navigation-cpu",
    task="navigation",
    preset="cpu",
    options={},
    arms={
        "torus learned": {"manifold": "torus", "learn": True},
        "torus fixed": {"manifold": "torus"},
        "none": {},
    },
    sparsities=(0.0, 0.9),
    seeds=(0, 1, 2),
    metrics={"error_top3": "cm", "error_maximum_likelihood": "cm"},
    hidden="rnn.weight_hh_l0",
    lost=lambda record: (
        record["metrics"]["error_top3"]["value"] > record["levels"]["error_top3 of holding the start"]["value"]
    ),
)

if __name__ == "__main__":
    main(lambda jobs: run_processes(SUITE, Path("runs"), jobs), [SUITE])
