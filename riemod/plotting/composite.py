"""Figures of several panels at the size of a printed page, with letters and small type."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["save_composite"]

# Sizes in typographic points, for a figure that is printed at its own size.
_PRINT: dict[str, Any] = {
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.2,
}
_LETTER = {"fontsize": 10, "fontweight": "bold", "va": "baseline", "ha": "right"}


def save_composite(
    panels: Mapping[str, Callable[[Axes], None]],
    rows: Sequence[Mapping[str, float]],
    file: Path,
    size: tuple[float, float],
    heights: Sequence[float] | None = None,
) -> Path:
    """Save panels as one figure of a given size, each with its letter, in the order in which they are given.

    Args:
        panels: by name, a function that draws into an Axes.
        rows: for each row, the relative widths of its panels by name, from left to right.
        file: PNG, PDF or SVG; its folder is made if it is missing.
        size: width and height, inches.
        heights: relative heights of the rows; all equal if None.

    Returns:
        The file.

    Raises:
        ValueError: if rows names other panels than those that are given, or one of them twice, or there are not as many
            heights as rows.
    """
    named = sorted(name for row in rows for name in row)
    if named != sorted(panels):
        raise ValueError(f"rows must name each of the panels {sorted(panels)} once, got {named}")
    heights = [1.0] * len(rows) if heights is None else heights
    if len(heights) != len(rows):
        raise ValueError(f"heights must be {len(rows)} numbers, one a row, got {len(heights)}")
    with mpl.rc_context(_PRINT):  # pyright: ignore[reportArgumentType], the names are those of matplotlib
        figure = Figure(figsize=size, layout="constrained")
        axes: dict[str, Axes] = {}
        for part, row in zip(
            figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights).flat, rows, strict=True
        ):
            drawn = part.subplots(1, len(row), squeeze=False, width_ratios=list(row.values())).flat
            axes |= dict(zip(row, drawn, strict=True))
        for letter, (name, draw) in zip("abcdefghijklmnopqrstuvwxyz", panels.items(), strict=False):
            draw(axes[name])
            axes[name].annotate(
                letter, (0, 1), xytext=(-6, 5), xycoords="axes fraction", textcoords="offset points", **_LETTER
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=300)
    return file
