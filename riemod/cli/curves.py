"""The command `riemod curves SUITE`: learning curves of a suite's arms, with quartile bands."""

import functools
import sys
from pathlib import Path
from typing import Annotated

import tyro

from riemod.cli.figure import check_ending
from riemod.suites import load_suite
from riemod.tasks import task_class
from riemod.tasks.names import metric_name


def draw_curves(
    suite: Annotated[str, tyro.conf.Positional],
    results: Path,
    out: Path,
    preset: str = "cpu",
    metric: str | None = None,
) -> None:
    """Draw the learning curves of a suite's runs, finished or not: each arm's median, and a band between its quartiles.

    Args:
        suite: Name of a suite, or the path of a TOML file.
        results: Folder of the results, as `riemod bench --out` was given.
        out: PNG, PDF or SVG file; a panel for each sparsity.
        preset: Scale of the runs: smoke, cpu or paper, as far as the suite has them.
        metric: Number of each epoch, such as loss or eval_rmse; None for the suite's first metric.

    Examples:
        riemod curves adding --results runs/bench --out curves.png --preset smoke
    """
    check_ending(out)
    chosen = load_suite(suite, preset)
    # matplotlib is slow to import.
    from riemod.plotting import plot_bands, save_composite
    from riemod.suites.curves import learning_curves

    name = f"eval_{chosen.metrics[0]}" if metric is None else metric
    bare = name.removeprefix("eval_")
    unit = task_class(chosen.task).units.get(bare, "1")
    label = metric_name(bare) if unit == "1" else f"{metric_name(bare)}, {unit}"
    panels = {}
    for sparsity, curves in learning_curves(chosen, results, name).items():
        draw = functools.partial(plot_bands, curves, "epoch", label)
        panels[f"{100 * sparsity:g} % sparse"] = functools.partial(_titled, draw, f"{100 * sparsity:g} % sparse")
    save_composite(panels, [dict.fromkeys(panels, 1.0)], out, (0.6 + 3.3 * len(panels), 2.8))
    sys.stdout.write(f"{out}\n")


def _titled(draw: functools.partial, title: str, ax: object) -> None:
    draw(ax=ax).set_title(title)
