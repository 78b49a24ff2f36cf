"""WikiText-2, `cpu` preset: the torus, fixed and learned, and its controls, dense and at 90 %, two seeds.

The text is read from the folder runs/wikitext-2 (or what it links to), so that no record names a place on a machine.

python -m benchmarks.language [JOBS]     # run what is missing, JOBS runs at a time (2), then print the table
python -m benchmarks.language --table    # print the table of the committed records
"""

from pathlib import Path

from benchmarks.suite import Suite, main, run_processes

SUITE = Suite(
    name="language-cpu",
    task="language",
    preset="cpu",
    options={"data": "runs/wikitext-2"},
    arms={
        "none": {},
        "matched L1": {"manifold": "torus", "arm": "matched_l1"},
        "shuffled": {"manifold": "torus", "arm": "shuffled"},
        "torus fixed": {"manifold": "torus"},
        "torus learned": {"manifold": "torus", "learn": True},
    },
    sparsities=(0.0, 0.9),
    seeds=(0, 1),
    metrics={"loss": "nats per token", "test_loss": "nats per token", "test_perplexity": "words"},
    hidden="layers.0.weight_hh_l0",
    lost=lambda record: bool(record["metrics"]["collapsed"]["value"] or record["metrics"]["test_collapsed"]["value"]),
)

if __name__ == "__main__":
    main(lambda jobs: run_processes(SUITE, Path("runs"), jobs), [SUITE])
