"""Figures of topology: persistence diagrams, barcodes, hidden states, and confusion matrices of verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from riemod._arrays import check_array, check_points
from riemod._checks import check_integer, check_items, check_mapping, check_positive, check_text, shown
from riemod.plotting._axes import axes_or_new, check_colors, scatter

__all__ = ["plot_barcode", "plot_confusion", "plot_persistence_diagram", "plot_states"]


def plot_persistence_diagram(
    diagrams: Sequence[np.ndarray], floors: Mapping[int, float] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw births and deaths in each degree; bars below the dashed line are no longer than those of null data.

    Args:
        diagrams: one array (n, 2) a degree, from 0 on, for example `ModuliRecovery.bars_.diagrams[2]`.
        floors: by degree, the ratio of death to birth above which a bar counts, for example `ModuliRecovery.floors_`.
        ax: where to draw.

    Returns:
        The axes.
    """
    diagrams, floors = _check_diagrams(diagrams), _check_floors(floors)
    ax = axes_or_new(ax)
    top = 1.05 * max((float(d[np.isfinite(d)].max()) for d in diagrams if np.isfinite(d).any()), default=1.0)
    ax.plot([0, top], [0, top], color="grey", linewidth=1)
    for degree, (diagram, marker) in enumerate(zip(diagrams, "ov^", strict=False)):
        color = f"C{degree}"
        deaths = np.minimum(diagram[:, 1], top)
        ax.scatter(diagram[:, 0], deaths, s=20, marker=marker, color=color, label=f"degree {degree}", zorder=3)
        if floors and degree in floors:
            ax.plot([0, top / floors[degree]], [0, top], color=color, linestyle="--", linewidth=1)
            ax.fill([0, top, top / floors[degree]], [0, top, top], color=color, alpha=0.1, linewidth=0)
    ax.set(xlim=(-0.02 * top, top), ylim=(-0.02 * top, top), aspect="equal", xlabel="birth", ylabel="death")
    ax.legend(loc="lower right")
    return ax


def plot_barcode(
    diagrams: Sequence[np.ndarray], floors: Mapping[int, float] | None = None, most: int = 8, ax: Axes | None = None
) -> Axes:
    """Draw the longest bars of degrees 1 and up on a logarithmic scale; null data reach the end of the gray part.

    A bar that never dies has an arrow, and ends a fifth beyond the largest number of all diagrams.

    Args:
        diagrams: one array (n, 2) a degree, from 0 on.
        floors: by degree, the ratio of death to birth above which a bar counts.
        most: largest number of bars a degree; those with the largest death / birth are drawn.
        ax: where to draw.

    Returns:
        The axes.
    """
    diagrams, floors = _check_diagrams(diagrams), _check_floors(floors)
    most = check_integer("most", most, 0)
    ax = axes_or_new(ax)
    row, ticks = 0, []
    finite = [diagram[np.isfinite(diagram)] for diagram in diagrams]
    end = 1.2 * max((float(values.max()) for values in finite if values.size), default=1.0)
    for degree, diagram in list(enumerate(diagrams))[1:]:
        shown = diagram[np.argsort(-diagram[:, 1] / diagram[:, 0], kind="stable")[:most]]
        for birth, death in shown:
            last = min(death, end)
            ax.plot([birth, last], [row, row], color=f"C{degree}", linewidth=4, solid_capstyle="butt")
            if np.isinf(death):
                ax.plot([last], [row], marker=">", markersize=9, color=f"C{degree}")
            if floors and degree in floors:
                reached = min(last, birth * floors[degree])
                ax.plot([birth, reached], [row, row], color="0.75", linewidth=4, solid_capstyle="butt")
            row += 1
        if len(shown):
            ticks.append((row - (len(shown) + 1) / 2, f"degree {degree}"))
        row += 1
    ax.set(xscale="log", xlabel="distance", ylim=(row - 0.5, -1))
    ax.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
    low, high = ax.get_xlim()
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 5 * low else (1, 1.2, 1.5, 2, 3, 4, 5, 7)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    return ax


def plot_states(states: np.ndarray, colors: np.ndarray | None = None, ax: Axes | None = None) -> Axes:
    """Draw states on their first two principal components, labeled with their shares of the variance.

    Args:
        states: (n, k), n, k >= 2.
        colors: (n, 3) colors, (n,) angles in rad, which are drawn in cyclic colors, or None.
        ax: where to draw.

    Returns:
        The axes.
    """
    states = check_points(states, "states")
    if min(states.shape) < 2:
        raise ValueError(f"states must have the shape (n, k) with n, k >= 2, got {states.shape}")
    colors = check_colors(colors, len(states))
    ax = axes_or_new(ax)
    centered = states - states.mean(axis=0)
    _, values, axes = np.linalg.svd(centered, full_matrices=False)
    x, y = axes[:2] @ centered.T
    scatter(ax, x, y, colors, size=8, edge=0.1)
    ax.locator_params(nbins=6)
    first, second = 100 * values[:2] ** 2 / np.sum(values**2)
    ax.set(xlabel=f"component 1 ({first:.0f} %)", ylabel=f"component 2 ({second:.0f} %)", aspect="equal")
    return ax


def plot_confusion(counts: np.ndarray, arenas: Sequence[str], verdicts: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw how many nets of each arena (rows) have each verdict (columns), shaded by the share of the row.

    Args:
        counts: (a, v), integers >= 0.
        arenas: the a names of the rows.
        verdicts: the v names of the columns.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        ValueError: if the numbers of names differ from those of rows and columns.

    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> ax = plot_confusion(np.array([[5, 0], [1, 4]]), ["box", "circle"], ["contractible", "circle"], axes)
    >>> [text.get_text() for text in ax.texts]
    ['5', '0', '1', '4']
    """
    arenas, verdicts = (
        [check_text(name, one) for one in check_items(name, names, "a list of names")]
        for name, names in (("arenas", arenas), ("verdicts", verdicts))
    )
    counts = np.asarray(counts)
    if counts.dtype.kind not in "iu" or (counts.size and counts.min() < 0):
        raise ValueError(f"counts must be integers >= 0, got {shown(counts.tolist())}")
    if counts.shape != (len(arenas), len(verdicts)):
        raise ValueError(
            f"counts must have the shape ({len(arenas)}, {len(verdicts)}) of the names, got {counts.shape}"
        )
    ax = axes_or_new(ax)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Greys", vmin=0, vmax=1.25, aspect="auto" if len(verdicts) > 2 * len(arenas) else "equal")
    for (row, column), number in np.ndenumerate(counts):
        color = "0.6" if number == 0 else "white" if share[row, column] > 0.6 else "black"
        ax.text(column, row, str(number), ha="center", va="center", color=color)
    ax.set_xticks(range(len(verdicts)), verdicts, rotation=30, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(arenas)), arenas)
    ax.set_xticks(np.arange(1, len(verdicts)) - 0.5, minor=True)
    ax.set_yticks(np.arange(1, len(arenas)) - 0.5, minor=True)
    ax.grid(which="minor", color="0.8", linewidth=0.8)
    ax.tick_params(which="both", length=0)
    ax.set(xlabel="verdict", ylabel="arena")
    return ax


def _check_diagrams(diagrams: Any) -> list[np.ndarray]:
    """Return the diagrams as arrays; raise an error unless each is (n, 2), births and deaths, without NaN."""
    checked = [
        check_array("diagrams", diagram, ("n", 2))
        for diagram in check_items("diagrams", diagrams, "a list of arrays, one a degree")
    ]
    if any(np.isnan(diagram).any() or np.isinf(diagram[:, 0]).any() for diagram in checked):
        raise ValueError("diagrams must hold finite births, and deaths, got NaN or an infinite birth")
    return checked


def _check_floors(floors: Any) -> Mapping[int, float]:
    """Return the floors, none for None; raise an error unless each is a positive ratio."""
    floors = check_mapping("floors", {} if floors is None else floors, "a mapping from degree to ratio")
    for degree, ratio in floors.items():
        check_positive(f"floors[{degree}]", ratio)
    return floors
