"""Figures of several panels at the size of a printed page, with letters and small type."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from riemod._checks import (
    check_function,
    check_items,
    check_mapping,
    check_positive,
    check_text,
    check_type,
    is_number,
    shown,
)

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
_ENDINGS = (".png", ".pdf", ".svg")
# Inches; beyond the larger one matplotlib cannot make a PNG of 300 dots an inch.
_SMALLEST, _LARGEST = 0.5, 200.0
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
        ValueError: if rows names other panels than those that are given, or one of them twice, there are more panels
            than letters, there are not as many heights as rows, a width or height is not positive, the figure is not
            from 0.5 to 200 inches wide and high, or the file has another ending.
        TypeError: if an argument is of another type.
    """
    panels = check_mapping("panels", panels, "a mapping from name to a function that draws")
    for name, draw in panels.items():
        check_function(f"panels[{check_text('a name in panels', name)!r}]", draw, "a function of Axes")
    if len(panels) > len(ascii_lowercase):
        raise ValueError(f"panels must be at most {len(ascii_lowercase)}, one a letter, got {len(panels)}")
    rows = [
        check_mapping("rows", row, "a list of mappings from name to width")
        for row in check_items("rows", rows, "a list of mappings")
    ]
    for row in rows:
        for width in row.values():
            check_positive("a width in rows", width)
    if check_type("file", file, Path, "a Path").suffix.lower() not in _ENDINGS:
        raise ValueError(f"file must end with {', '.join(_ENDINGS)}, got {shown(file.name)}")
    size = _check_size(size)
    named = sorted(check_text("a name in rows", name) for row in rows for name in row)
    if named != sorted(panels):
        raise ValueError(f"rows must name each of the panels {sorted(panels)} once, got {named}")
    heights = [1.0] * len(rows) if heights is None else check_items("heights", heights, "a list of numbers")
    if len(heights) != len(rows):
        raise ValueError(f"heights must be {len(rows)} numbers, one a row, got {len(heights)}")
    heights = [check_positive("heights", height) for height in heights]
    with mpl.rc_context(_PRINT):  # pyright: ignore[reportArgumentType], the names are those of matplotlib
        figure = Figure(figsize=size, layout="constrained")
        axes: dict[str, Axes] = {}
        for part, row in zip(
            figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights).flat, rows, strict=True
        ):
            drawn = part.subplots(1, len(row), squeeze=False, width_ratios=list(row.values())).flat
            axes |= dict(zip(row, drawn, strict=True))
        for letter, (name, draw) in zip(ascii_lowercase, panels.items(), strict=False):
            draw(axes[name])
            axes[name].annotate(
                letter, (0, 1), xytext=(-6, 5), xycoords="axes fraction", textcoords="offset points", **_LETTER
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=300)
    return file


def _check_size(size: Any) -> tuple[float, float]:
    pair = check_items("size", size, "width and height, inches")
    if len(pair) != 2 or not all(is_number(length) and _SMALLEST <= length <= _LARGEST for length in pair):
        raise ValueError(f"size must be two lengths from {_SMALLEST} to {_LARGEST:g} inches, got {shown(size)}")
    return float(pair[0]), float(pair[1])
