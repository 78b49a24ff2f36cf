"""Figures of trained nets. Each function draws into the Axes that it is given, or a new one, and returns it."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from torch import Tensor

from riemod.manifolds import Torus

_SILENT = (0.8, 0.8, 0.8)


def position_colors(positions: Tensor, side: float) -> np.ndarray:
    """(n, 3) colours of places in a square arena: the hue is the direction from its centre, the depth the distance.

    Args:
        positions: (n, 2), m, from -side/2 to side/2; NaN (no place) is grey.
        side: of the arena, m.
    """
    x, y = positions.cpu().numpy().T.astype(float)
    hue = np.mod(np.arctan2(y, x) / (2 * np.pi), 1.0)
    depth = np.clip(np.hypot(x, y) / (side / 2), 0.0, 1.0)
    known = np.isfinite(hue)
    colors = hsv_to_rgb(np.stack([np.where(known, hue, 0), np.where(known, depth, 0), np.full_like(hue, 0.92)], -1))
    colors[~known] = _SILENT
    return colors


def plot_torus_points(points: Tensor, torus: Torus, colors: np.ndarray | None = None, ax: Axes | None = None) -> Axes:
    """Points on a two-dimensional torus, drawn on its square; opposite edges are the same line.

    Args:
        points: (n, 2).
        torus: gives the period.
        colors: (n, 3) or None.
        ax: where to draw.
    """
    ax = _axes(ax)
    x, y = points.detach().cpu().numpy().T
    ax.scatter(x, y, c=colors, s=18, linewidths=0.3, edgecolors="black")
    ax.set(xlim=(0, torus.period), ylim=(0, torus.period), aspect="equal")
    ax.set(xlabel="first circle", ylabel="second circle")
    return ax


def plot_position_key(side: float, ax: Axes | None = None) -> Axes:
    """The key of `position_colors`: the arena, each place in its colour.

    Args:
        side: of the arena, m.
        ax: where to draw.
    """
    ax = _axes(ax)
    axis = torch.linspace(-side / 2, side / 2, 101)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    half = side / 2
    image = position_colors(grid.reshape(-1, 2), side).reshape(101, 101, 3)
    ax.imshow(image, origin="lower", extent=(-half, half, -half, half))
    ax.set(xlabel="x, m", ylabel="y, m")
    return ax


def torus_order(points: Tensor, torus: Torus) -> np.ndarray:
    """(n,) neurons in an order that keeps neighbours together: band by band along the torus, every other band reversed.

    Args:
        points: (n, 2).
        torus: gives the period.
    """
    x, y = points.detach().cpu().numpy().T / torus.period
    bands = max(2, round(len(x) ** 0.5 / 2))
    band = np.minimum((x * bands).astype(int), bands - 1)
    return np.lexsort((np.where(band % 2 == 0, y, -y), band))


def plot_weight_matrix(weight: Tensor, order: np.ndarray | None = None, ax: Axes | None = None) -> Axes:
    """|w_jk| of a recurrent matrix on a logarithmic scale, zeros blank; row j is the target, column k the source.

    Args:
        weight: (n, n).
        order: the neurons in the order to show them; as they are if None.
        ax: where to draw.
    """
    ax = _axes(ax)
    magnitude = weight.detach().abs().cpu().numpy()
    if order is not None:
        magnitude = magnitude[np.ix_(order, order)]
    kept = magnitude[magnitude > 0]
    if kept.size:
        low, high = np.quantile(kept, 0.02), kept.max()
        size = ax.get_window_extent().width / ax.figure.dpi * 72 / len(magnitude)
        targets, sources = np.nonzero(magnitude)
        marks = ax.scatter(
            sources,
            targets,
            c=magnitude[targets, sources],
            norm=LogNorm(min(low, high * 0.99), high),
            cmap="viridis_r",
            s=max(1.5, 1.6 * size) ** 2,
            marker="s",
            linewidths=0,
        )
        ax.figure.colorbar(marks, ax=ax, label="|w|", shrink=0.8)
    ax.set(xlim=(-0.5, len(magnitude) - 0.5), ylim=(len(magnitude) - 0.5, -0.5), aspect="equal")
    ax.set(xlabel="source neuron k", ylabel="target neuron j")
    return ax


def plot_error_against_sparsity(
    runs: Mapping[str, Sequence[tuple[float, float]]], floor: float, unit: str, ax: Axes | None = None
) -> Axes:
    """The error after each epoch from the first pruning on, against the sparsity then; a star marks the last epoch.

    Args:
        runs: (sparsity, error) pairs of each run in the order of its epochs, by name.
        floor: error of a perfect net, drawn as a line.
        unit: of the error.
        ax: where to draw.
    """
    ax = _axes(ax)
    for name, pairs in runs.items():
        dense = [index for index, (sparsity, _) in enumerate(pairs) if sparsity == 0]
        shown = np.array(pairs[max(dense, default=0) :])
        (line,) = ax.plot(100 * shown[:, 0], shown[:, 1], marker="o", markersize=3, label=name)
        ax.plot(100 * shown[-1, 0], shown[-1, 1], marker="*", markersize=13, color=line.get_color())
    ax.axhline(floor, color="grey", linestyle="--", linewidth=1, label="perfect net")
    ax.set(xlabel="sparsity, %", ylabel=f"error, {unit}", yscale="log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.legend()
    return ax


def plot_trajectory(true: Tensor, decoded: Mapping[str, Tensor], side: float, ax: Axes | None = None) -> Axes:
    """One walk in a square arena, and what nets make of it.

    Args:
        true: (T + 1, 2), m, from the start on.
        decoded: (T, 2), m, by name.
        side: of the arena, m.
        ax: where to draw.
    """
    ax = _axes(ax)
    x, y = true.cpu().numpy().T
    ax.plot(x, y, color="black", linewidth=2, label="true path")
    ax.plot(x[0], y[0], marker="o", color="black", label="start")
    for name, path in decoded.items():
        ax.plot(*path.cpu().numpy().T, marker=".", linewidth=1, label=name)
    ax.add_patch(Rectangle((-side / 2, -side / 2), side, side, fill=False, color="grey"))
    center, reach = (x.mean(), y.mean()), max(np.ptp(x), np.ptp(y), 0.3) * 0.75
    ax.set(xlim=(center[0] - reach, center[0] + reach), ylim=(center[1] - reach, center[1] + reach), aspect="equal")
    ax.set(xlabel="x, m", ylabel="y, m")
    ax.legend()
    return ax


def plot_persistence_diagram(
    diagrams: Sequence[np.ndarray], floors: Mapping[int, float] | None = None, ax: Axes | None = None
) -> Axes:
    """Births and deaths of each degree; below its dashed line a bar is no longer than those of null data.

    Args:
        diagrams: (n, 2) an array a degree, from 0 on, such as `ModuliRecovery.bars_.diagrams[2]`.
        floors: by degree, the ratio of death to birth above which a bar counts, such as `ModuliRecovery.floors_`.
        ax: where to draw.
    """
    ax = _axes(ax)
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
    """The longest bars of degrees 1 and up on a logarithmic scale; the grey part is what null data reach.

    Args:
        diagrams: (n, 2) an array a degree, from 0 on.
        floors: by degree, the ratio of death to birth above which a bar counts.
        most: bars a degree, the longest by death / birth.
        ax: where to draw.
    """
    ax = _axes(ax)
    row, ticks = 0, []
    for degree, diagram in list(enumerate(diagrams))[1:]:
        shown = diagram[np.argsort(-diagram[:, 1] / diagram[:, 0], kind="stable")[:most]]
        for birth, death in shown:
            ax.plot([birth, death], [row, row], color=f"C{degree}", linewidth=4, solid_capstyle="butt")
            if floors and degree in floors:
                reached = min(death, birth * floors[degree])
                ax.plot([birth, reached], [row, row], color="0.75", linewidth=4, solid_capstyle="butt")
            row += 1
        if len(shown):
            ticks.append((row - (len(shown) + 1) / 2, f"degree {degree}"))
        row += 1
    ax.set(xscale="log", xlabel="distance", ylim=(row - 0.5, -1))
    ax.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())
    return ax


def save_panels(panels: Mapping[str, Callable[[Axes], None]], out: Path, together: str) -> list[Path]:
    """Save each panel as a PNG of its own, and all of them in one.

    Args:
        panels: functions that draw into an Axes, by the name of their file.
        out: folder of the files, made if need be.
        together: name of the file that holds all panels.

    Returns:
        The files written.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in panels.items():
        figure = Figure(figsize=(6, 5), layout="constrained")
        draw(figure.subplots())
        written.append(out / f"{name}.png")
        figure.savefig(written[-1], dpi=150)
    rows = math.ceil(len(panels) / 2)
    figure = Figure(figsize=(12, 5 * rows), layout="constrained")
    for draw, ax in zip(panels.values(), figure.subplots(rows, 2, squeeze=False).flat, strict=False):
        draw(ax)
    written.append(out / f"{together}.png")
    figure.savefig(written[-1], dpi=110)
    return written


def plot_rate_map(image: np.ndarray, extent: tuple[float, float], label: str, ax: Axes | None = None) -> Axes:
    """A map over a square, the first coordinate to the right, blank where it is NaN; two colours if it has a sign.

    Args:
        image: (h, w), a row of `riemod.topology.RateMaps.images` or an autocorrelogram.
        extent: lowest and highest coordinate, the same for both axes.
        label: of the colours, with their unit.
        ax: where to draw.
    """
    ax = _axes(ax)
    signed, top = np.nanmin(image) < 0, np.nanmax(np.abs(image))
    low, cmap = (-top, "RdBu_r") if signed else (0, "viridis")
    shown = ax.imshow(image.T, origin="lower", extent=(*extent, *extent), cmap=cmap, vmin=low, vmax=top)
    ax.figure.colorbar(shown, ax=ax, label=label, shrink=0.8)
    return ax


def plot_states(states: np.ndarray, colors: np.ndarray, ax: Axes | None = None) -> Axes:
    """States on their first two principal components, with the share of the variance that each has.

    Args:
        states: (n, k), k >= 2.
        colors: (n, 3), or (n,) angles in rad: a recovered or a true coordinate.
        ax: where to draw.
    """
    ax = _axes(ax)
    centred = states - states.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    x, y = axes[:2] @ centred.T
    angles = np.ndim(colors) == 1
    marks = ax.scatter(
        x, y, s=8, linewidths=0, c=np.mod(colors, 2 * np.pi) if angles else colors, cmap="hsv" if angles else None
    )
    if angles:
        marks.set_clim(0, 2 * np.pi)
    first, second = 100 * values[:2] ** 2 / np.sum(values**2)
    ax.set(xlabel=f"component 1 ({first:.0f} %)", ylabel=f"component 2 ({second:.0f} %)", aspect="equal")
    return ax


def _axes(ax: Axes | None) -> Axes:
    return plt.subplots()[1] if ax is None else ax
