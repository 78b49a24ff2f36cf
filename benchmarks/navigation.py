"""Navigation, `cpu` preset: learned torus, fixed torus and no regularizer, dense and at 90 %, three seeds.

`navigation-signed` asks what the signed law with points of co-activity costs or gains at 90 %, against Eq. 6 and
against no penalty, on seeds of its own. The mean coefficient at the start is that of Eq. 6: its difference of Gaussians
costs 66.31 for a mean pair of the torus, the signed law 1.

python -m benchmarks.navigation [JOBS]     # run what is missing, JOBS runs at a time (2), then print the table
python -m benchmarks.navigation --table    # print the table of the committed records
"""

import dataclasses
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

EQ6_STRENGTH = 0.002
SIGNED = dataclasses.replace(
    SUITE,
    name="navigation-signed",
    arms={
        "signed": {
            "manifold": "torus",
            "learn": True,
            "law": "signed",
            "evidence": "coactivity",
            "embedding_learning_rate": 0.1,
            "strength": 66.31 * EQ6_STRENGTH,
        },
        "eq6": {"manifold": "torus", "learn": True, "strength": EQ6_STRENGTH},
        "none": {},
    },
    sparsities=(0.9,),
    seeds=(10, 11, 12, 13, 14),
)


def run_all(jobs: int) -> None:
    """Run what is missing of both suites, `jobs` processes at a time."""
    for suite in (SUITE, SIGNED):
        run_processes(suite, Path("runs"), jobs)


if __name__ == "__main__":
    main(run_all, [SUITE, SIGNED])
