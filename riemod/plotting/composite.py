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
    rows: Sequence[Sequence[str]],
    file: Path,
    size: tuple[float, float],
    **ratios: Sequence[float],
) -> Path:
    """Save panels as one figure of a given size, each with its letter, in the order in which they are given.

    Args:
        panels: by name, a function that draws into an Axes.
        rows: names of the panels, row by row; a name that stands in several cells spans them.
        file: PNG, PDF or SVG; its folder is made if it is missing.
        size: width and height, inches.
        ratios: `width_ratios` and `height_ratios` of the cells.

    Returns:
        The file.

    Raises:
        ValueError: if rows names other panels than those that are given.
    """
    named = {name for row in rows for name in row}
    if named != set(panels):
        raise ValueError(f"rows must name each of the panels {sorted(panels)}, got {sorted(named)}")
    with mpl.rc_context(_PRINT):
        figure = Figure(figsize=size, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.05)  # pyright: ignore[reportOptionalMemberAccess]
        axes = figure.subplot_mosaic([list(row) for row in rows], **ratios)
        for letter, (name, draw) in zip("abcdefghijklmnopqrstuvwxyz", panels.items(), strict=False):
            draw(axes[name])
            axes[name].annotate(
                letter, (0, 1), xytext=(-6, 6), xycoords="axes fraction", textcoords="offset points", **_LETTER
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=300)
    return file
