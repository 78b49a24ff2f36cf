"""Whole blocks of the hidden matrix against single weights, and neurons in geometric order against a random one.

The adding problem, `cpu` preset, five seeds, at 90 and 95 % in every tensor, by a cubic schedule: 4 epochs dense, 12
to recover, so that pruning ends at 70 % of the epochs. "random" has the same penalty, and blocks of neurons in a random
order that the seed fixes. Then navigation, `cpu` preset, three seeds at 90 %, with blocks of 8 and 16, next to the
records of `benchmarks.navigation`, whose recipe it shares.

python -m benchmarks.blocks [JOBS]     # run what is missing, on JOBS threads or processes (2), then print the tables
python -m benchmarks.blocks --table    # print the tables of the committed records
python -m benchmarks.blocks --figure   # draw docs/_static/blocks.png from two runs in runs/
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks import navigation
from benchmarks.adding import TORUS, is_guessing
from benchmarks.suite import Suite, main, run_name, run_processes, run_together
from riemod.plotting import plot_weight_matrix
from riemod.sparse import block_occupancy, order_neurons
from riemod.training import RunFolder, load

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
FIGURE = Path(__file__).parents[1] / "docs" / "_static" / "blocks.png"
NAVIGATION = dataclasses.replace(
    SINGLE,
    name="blocks-navigation",
    arms={
        "8x8 torus geometric": TORUS | {"blocks": 8},
        "8x8 torus random": TORUS | {"blocks": 8} | RANDOM,
        "16x16 torus geometric": TORUS | {"blocks": 16},
        "16x16 torus random": TORUS | {"blocks": 16} | RANDOM,
    },
)


def run_all(jobs: int) -> None:
    """The adding problem side by side, then navigation in processes."""
    run_together(ADDING, Path("runs"), jobs)
    run_processes(NAVIGATION, Path("runs"), jobs)


def draw_figure() -> None:
    """One hidden matrix at 90 % as its neurons are numbered and in geometric order, and one that lost whole blocks."""
    single, blocks = (
        load(RunFolder(Path("runs") / suite.name / run_name(arm, 0.9, 0)))
        for suite, arm in ((SINGLE, "torus fixed"), (NAVIGATION, "8x8 torus geometric"))
    )
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    titles = ("single weights, random order", "single weights, geometric order", "8 x 8 blocks, geometric order")
    for run, title, ax in zip((single, single, blocks), titles, figure.subplots(1, 3), strict=True):
        weight = run.model.get_parameter("rnn.weight_hh_l0").detach()
        if "geometric" in title:
            assert run.moduli is not None
            order = order_neurons(run.moduli)
            weight = weight[order][:, order]
        plot_weight_matrix(weight, ax=ax)
        ax.set_title(f"{title}\n8 x 8 tiles with a weight: {block_occupancy(weight, 8):.0%}", fontsize=11)
    figure.savefig(FIGURE, dpi=130)


if __name__ == "__main__":
    if "--figure" in sys.argv:
        draw_figure()
    else:
        main(run_all, [ADDING, SINGLE, NAVIGATION])
