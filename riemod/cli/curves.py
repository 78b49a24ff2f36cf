"""The command `riemod curves SUITE`: curves of a suite's arms over epochs or strengths, with quartile bands."""

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from riemod.cli.figure import check_ending
from riemod.suites import load_suite
from riemod.tasks import task_class
from riemod.tasks.names import metric_name

if TYPE_CHECKING:
    from riemod.plotting import Axes
    from riemod.suites.sensitivity import Sensitivity


def draw_curves(
    suite: Annotated[str, tyro.conf.Positional],
    results: Path,
    out: Path,
    preset: str = "cpu",
    metric: str | None = None,
    over: Literal["epoch", "strength"] = "epoch",
) -> None:
    """Draw curves of a suite's runs: each arm's median, and a band between its quartiles.

    Over epochs they are learning curves, of runs that are finished or not. Over strengths they show how the error
    depends on the penalty, and stars are runs that found their strength themselves.

    Args:
        suite: Name of a suite, or the path of a TOML file.
        results: Folder of the results, as `riemod bench --out` was given.
        out: PNG, PDF or SVG file; a panel for each sparsity.
        preset: Scale of the runs: smoke, cpu or paper, as far as the suite has them.
        metric: Number of each epoch, such as loss or eval_rmse, or over strengths a metric of the suite; None for
            the suite's first metric.
        over: What the curves go over: epochs, or the strength of a single weight.

    Examples:
        riemod curves adding --results runs/bench --out curves.png --preset smoke
        riemod curves sensitivity-adding --over strength --results benchmarks/records --out strengths.png
    """
    check_ending(out)
    chosen = load_suite(suite, preset)
    # matplotlib is slow to import.
    from riemod.plotting import plot_bands, save_composite
    from riemod.suites.curves import learning_curves
    from riemod.suites.sensitivity import sensitivity

    prefix = "eval_" if over == "epoch" else ""
    name = f"{prefix}{chosen.metrics[0]}" if metric is None else metric
    bare = name.removeprefix("eval_")
    unit = task_class(chosen.task).units.get(bare, "1")
    label = metric_name(bare) if unit == "1" else f"{metric_name(bare)}, {unit}"
    drawn: dict[float, Callable[..., Axes]]
    if over == "epoch":
        found = learning_curves(chosen, results, name)
        drawn = {sparsity: functools.partial(plot_bands, curves, "epoch", label) for sparsity, curves in found.items()}
    else:
        arms = sensitivity(chosen, results, name)
        drawn = {sparsity: functools.partial(_draw_strengths, own, label) for sparsity, own in arms.items()}
    panels = {}
    for sparsity, draw in drawn.items():
        panels[f"{100 * sparsity:g} % sparse"] = functools.partial(_titled, draw, f"{100 * sparsity:g} % sparse")
    save_composite(panels, [dict.fromkeys(panels, 1.0)], out, (0.6 + 3.3 * len(panels), 2.8))
    sys.stdout.write(f"{out}\n")


def _titled(draw: "Callable[..., Axes]", title: str, ax: object) -> None:
    draw(ax=ax).set_title(title)


def _draw_strengths(arms: "Mapping[str, Sensitivity]", label: str, ax: "Axes") -> "Axes":
    from riemod.plotting import plot_bands

    curves = {name: arm.curve for name, arm in arms.items() if arm.curve is not None}
    if curves:
        plot_bands(curves, "strength of a single weight", label, ax)
    else:
        ax.set(xlabel="strength of a single weight", ylabel=label, xscale="log")
    colors = {line.get_label(): line.get_color() for line in ax.lines}
    for name, arm in arms.items():
        for strength, error in arm.found:
            ax.plot(strength, error, "*", color=colors.get(name, "black"), markersize=9, markeredgecolor="white")
    return ax
