"""The figure of a frontier: the error of nets against what they cost, a panel for each cost."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, ScalarFormatter

from riemod._arrays import check_array
from riemod._checks import check_items, check_mapping, check_text, check_type

__all__ = ["FrontierPoint", "draw_frontier"]

_DENSE = "black"
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_WIDE = 8.0
_MARKERS = ("s", "^", "D", "v", "P", "X")


class FrontierPoint(NamedTuple):
    """Holds one kind of net at one size."""

    family: str
    """Nets of one family are joined by a line, in the order in which they come."""
    note: str
    """Beside the point; nothing if empty."""
    errors: Sequence[float]
    """Of the runs."""
    costs: Mapping[str, float]
    """By the names of the panels."""
    reference: bool = False
    """Whether the family is the one that others are compared with, which is drawn in black."""


def draw_frontier(points: Sequence[FrontierPoint], costs: Mapping[str, str], label: str, title: str) -> Figure:
    """Draw the mean error of each point against each of its costs, and the single runs.

    The axis of the error is logarithmic, and so is that of a cost whose largest value is above 8 times the smallest.

    Args:
        points: of all families.
        costs: label of each panel's axis, with its unit, by the name of the cost.
        label: of the error, with its unit.
        title: of the figure.

    Returns:
        The figure, 7 inches wide.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there is no point or panel, or a number is not finite and positive.
    """
    costs = check_mapping("costs", costs, "a mapping from name to label")
    if not costs:
        raise ValueError("costs must name at least one panel, got none")
    points = _check_points(points, list(costs))
    for name, text in (("label", label), ("title", title)):
        check_text(name, text)
    rows = -(-len(costs) // 2)
    figure = Figure(figsize=(7.0, 0.9 + 2.5 * rows), layout="constrained")
    grid = figure.subplots(rows, min(2, len(costs)), sharey=True, squeeze=False)
    families = list(dict.fromkeys(point.family for point in points))
    others = [family for family in families if not any(p.reference for p in points if p.family == family)]
    handles = {}
    for ax, (name, axis) in zip(grid.flat, costs.items(), strict=False):
        for family in families:
            own = [p for p in points if p.family == family]
            index = others.index(family) % len(_COLORS) if family in others else -1
            color, marker = (_COLORS[index], _MARKERS[index]) if index >= 0 else (_DENSE, "o")
            x, y = [p.costs[name] for p in own], [float(np.mean(p.errors)) for p in own]
            for p in own:
                place = np.full(len(p.errors), p.costs[name])
                ax.plot(place, p.errors, marker, color=color, markersize=2.5, alpha=0.45, zorder=2)
            (line,) = ax.plot(x, y, marker=marker, color=color, markersize=5, linewidth=1.3, zorder=3)
            handles[family] = line
            for p, left, height in zip(own, x, y, strict=True):
                if p.note:
                    ax.annotate(
                        p.note, (left, height), (4, 4), textcoords="offset points", fontsize=7, color=color, zorder=4
                    )
        _scale(ax, axis, label if ax in grid[:, 0] else "")
    for ax in list(grid.flat)[len(costs) :]:
        ax.set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=min(2, len(handles)), frameon=False, fontsize=8
    )
    return figure


def _scale(ax: Axes, axis: str, label: str) -> None:
    low, high = ax.dataLim.intervalx
    ax.set(xscale="log" if high > _WIDE * low else "linear", yscale="log", xlabel=axis, ylabel=label)
    for one in (ax.xaxis, ax.yaxis):
        if one.get_scale() == "linear":
            ax.set_xlim(0, None)
            continue
        low, high = one.get_view_interval()
        one.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 60 * low else (1,)))
        one.set_minor_locator(NullLocator())
        formatter = ScalarFormatter()
        formatter.set_scientific(False)
        one.set_major_formatter(formatter)
        one.set_minor_formatter(NullFormatter())
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.grid(color="0.93", linewidth=0.7)
    ax.set_axisbelow(True)


def _check_points(points: Sequence[FrontierPoint], costs: Sequence[str]) -> list[FrontierPoint]:
    what = "a list of FrontierPoints"
    checked = [check_type("points", point, FrontierPoint, what) for point in check_items("points", points, what)]
    if not checked:
        raise ValueError("points must hold at least one, got none")
    for point in checked:
        name = check_text("family", point.family)
        if missing := [cost for cost in costs if cost not in point.costs]:
            raise ValueError(f"costs of {name!r} must have {missing[0]!r}, got {', '.join(point.costs) or 'none'}")
        for field, values in (("errors", point.errors), ("costs", [point.costs[cost] for cost in costs])):
            numbers = check_array(f"{field} of {name!r}", values, ("n",))
            if not len(numbers) or not (np.isfinite(numbers) & (numbers > 0)).all():
                raise ValueError(f"{field} of {name!r} must be positive, finite numbers, got {numbers.tolist()}")
    return checked
