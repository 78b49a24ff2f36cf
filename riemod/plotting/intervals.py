"""Figures of suites: means with intervals, single runs, the control marked, and the paper's numbers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, ScalarFormatter

from riemod._arrays import check_array
from riemod._checks import check_items, check_mapping, check_text, check_type
from riemod.plotting._axes import axes_or_new

__all__ = ["Dots", "draw_intervals", "plot_intervals"]

_RUN, _MEAN, _CONTROL, _PAPER = "0.55", "black", "#0072B2", "#D55E00"
# Below this ratio of the largest to the smallest value, a linear scale shows all of them.
_LINEAR = 12.0


class Dots(NamedTuple):
    """Holds one line of a dot plot."""

    name: str
    """In the margin."""
    values: Sequence[float]
    """Of the single runs."""
    interval: tuple[float, float]
    """Of their mean; (NaN, NaN) for none."""
    control: bool = False
    """Whether the others are compared with this one."""
    paper: Sequence[float] = ()
    """The numbers of the paper."""
    fair: bool = False
    """Whether these are targets for the runs."""


def plot_intervals(lines: Sequence[Dots], label: str, ax: Axes | None = None) -> Axes:
    """Draw a line for each arm: single runs, their mean, its interval and the paper's numbers.

    Runs are gray circles, means black dots, and the control's mean a blue diamond with a dotted line through all arms.
    The paper's numbers are orange triangles, filled where they are fair targets. The marks differ in shape and in
    lightness as well as in color. The axis is logarithmic where the largest value is more than 12 times the smallest.

    Args:
        lines: from top to bottom.
        label: of the axis, with its unit.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there is no line, or one has no value.
    """
    lines = _check_lines(lines)
    check_text("label", label)
    ax = axes_or_new(ax)
    _draw(lines, label, ax)
    _scale(ax, lines)
    return ax


def draw_intervals(panels: Mapping[str, Sequence[Dots]], label: str, title: str) -> Figure:
    """Draw dot plots under one another on one axis, with a legend of the marks that they have.

    Args:
        panels: by title of the panel, its lines.
        label: of the axis, with its unit.
        title: of the figure.

    Returns:
        The figure, 6.5 inches wide.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there is no panel, a panel has no line, or a line no value.
    """
    panels = check_mapping("panels", panels, "a mapping from title to lines")
    checked = {check_text("panels", name): _check_lines(lines, f"panels[{name!r}]") for name, lines in panels.items()}
    if not checked:
        raise ValueError("panels must hold at least one panel, got none")
    check_text("title", title)
    heights = [0.5 + len(lines) for lines in checked.values()]
    figure = Figure(figsize=(6.5, 1.1 + 0.27 * sum(heights) + 0.25 * len(heights)), layout="constrained")
    grid = figure.subplots(len(checked), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for (name, lines), ax in zip(checked.items(), grid, strict=True):
        _draw(lines, label if ax is grid[-1] else "", ax)
        ax.set_title(name, loc="left", fontsize=10)
        if ax is not grid[-1]:
            ax.tick_params(axis="x", length=0)
    every = [line for lines in checked.values() for line in lines]
    _scale(grid[-1], every)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    handles = _legend(every)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
    return figure


def _draw(lines: Sequence[Dots], label: str, ax: Axes) -> None:
    for place, line in enumerate(lines):
        values, mean = np.asarray(line.values, dtype=float), float(np.mean(line.values))
        color, marker = (_CONTROL, "D") if line.control else (_MEAN, "o")
        if line.control:
            ax.axvline(mean, color=color, linewidth=0.9, linestyle=":", zorder=1)
        ax.plot(
            values, np.full(len(values), place + 0.27), "o", color=_RUN, markersize=3, markerfacecolor="none", zorder=2
        )
        if np.isfinite(line.interval).all():
            ax.plot(line.interval, [place, place], color=color, linewidth=1.8, solid_capstyle="butt", zorder=3)
        ax.plot(mean, place, marker, color=color, markersize=6, zorder=4)
        for number in line.paper:
            ax.plot(number, place, "^", color=_PAPER, markersize=6, markerfacecolor=_face(line.fair), zorder=4)
    ax.set_yticks(range(len(lines)), [line.name for line in lines])
    ax.set(ylim=(len(lines) - 0.5, -0.5), xlabel=label)
    ax.grid(axis="y", color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0, labelsize=9)
    ax.tick_params(axis="x", labelsize=9)


def _legend(lines: Sequence[Dots]) -> list[Line2D]:
    """Return the marks that the lines have, with what they are."""
    handles = [
        Line2D([], [], marker="o", color=_RUN, markerfacecolor="none", markersize=3, linestyle="", label="one run"),
        Line2D([], [], marker="o", color=_MEAN, markersize=6, linewidth=1.8, label="mean, 95 % interval"),
    ]
    if any(line.control for line in lines):
        handles.append(Line2D([], [], marker="D", color=_CONTROL, markersize=6, linewidth=1.8, label="control"))
    for fair in sorted({line.fair for line in lines if len(line.paper)}, reverse=True):
        name = "paper, a fair target" if fair else "paper, no fair target"
        handles.append(Line2D([], [], marker="^", color=_PAPER, markerfacecolor=_face(fair), linestyle="", label=name))
    return handles


def _face(fair: bool) -> str:
    return _PAPER if fair else "white"


def _scale(ax: Axes, lines: Sequence[Dots]) -> None:
    """Set a logarithmic scale with plain numbers where the values need one."""
    values = np.array([x for line in lines for x in (*line.values, *line.paper)])
    if values.min() <= 0 or values.max() <= _LINEAR * values.min():
        ax.locator_params(axis="x", nbins=7)
        return
    ax.set_xscale("log")
    # An interval may reach to 0 and below: it ends at the frame then.
    highest = max(values.max(), *(line.interval[1] for line in lines if np.isfinite(line.interval[1])), 0.0)
    ax.set_xlim(values.min() / 1.4, highest * 1.2)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if values.max() < 300 * values.min() else (1,)))
    ax.xaxis.set_minor_locator(NullLocator())
    formatter = ScalarFormatter()
    formatter.set_scientific(False)
    ax.xaxis.set_major_formatter(formatter)
    ax.xaxis.set_minor_formatter(NullFormatter())


def _check_lines(lines: Sequence[Dots], name: str = "lines") -> list[Dots]:
    checked = [check_type(name, line, Dots, "a list of Dots") for line in check_items(name, lines, "a list of Dots")]
    if not checked:
        raise ValueError(f"{name} must hold at least one line, got none")
    for line in checked:
        check_text(f"{name}: name", line.name)
        check_array(f"{name}: interval of {line.name!r}", line.interval, (2,))
        for field in ("values", "paper"):
            numbers = check_array(f"{name}: {field} of {line.name!r}", getattr(line, field), ("n",))
            if not np.isfinite(numbers).all() or (field == "values" and not len(numbers)):
                raise ValueError(
                    f"{name}: {field} of {line.name!r} must be finite numbers, at least one, got {numbers.tolist()}"
                )
    return checked
