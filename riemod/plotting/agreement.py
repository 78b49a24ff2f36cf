"""Figures of how well two geometries of the same units agree, and geodesics between points of a manifold."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from torch import Tensor

from riemod._arrays import check_square, check_tensor
from riemod.manifolds import Manifold, geodesics
from riemod.plotting._axes import axes_or_new
from riemod.plotting.points import flat_points

__all__ = ["plot_agreement", "plot_geodesics", "sphere_colors"]

_STEPS = 25
_CELLS = 35
_BINS = 12
_LINE = {"color": "0.45", "linewidth": 0.7, "alpha": 0.45, "zorder": 0.5}


def plot_geodesics(x: Tensor, y: Tensor, manifold: Manifold, ax: Axes | None = None) -> Axes:
    """Draw the shortest geodesic from each point to its partner on the picture of `plot_points`.

    A line that leaves the picture at a seam goes on at the other side.

    Args:
        x: (n, coordinate_dim).
        y: (n, coordinate_dim), the partners.
        manifold: of the points, with a picture in the plane.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        ValueError: if the manifold has no picture, or the points do not lie on it.
        TypeError: if the points are not floating-point tensors.
    """
    curves = geodesics(x, y, manifold, _STEPS)
    flat = flat_points(curves.flatten(0, 1), manifold).reshape(len(x), _STEPS, 2)
    ax = axes_or_new(ax)
    steps = np.linalg.norm(np.diff(flat, axis=1), axis=-1)
    # A step across a seam is many times as long as the others of its line.
    broken = steps > 4 * np.median(steps, axis=1, keepdims=True) + 1e-9
    for line, cuts in zip(flat, broken, strict=True):
        for part in np.split(line, np.flatnonzero(cuts) + 1):
            ax.plot(part[:, 0], part[:, 1], **_LINE)
    return ax


def plot_agreement(first: np.ndarray, second: np.ndarray, ax: Axes | None = None) -> Axes:
    """Draw the pairs of units by their distances in two geometries: shaded by their number, with a line of medians.

    Args:
        first: (n, n), distances of the points.
        second: (n, n), 1 - correlation of the units' tuning.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        ValueError: if a matrix is not square and finite, they are of different shapes, or n < 2.
        TypeError: if one holds something else than numbers.
    """
    first, second = check_square("first", first, least=2), check_square("second", second, least=2)
    if first.shape != second.shape:
        raise ValueError(f"second must have the shape of first, {first.shape}, got {second.shape}")
    ax = axes_or_new(ax)
    rows, columns = np.triu_indices(len(first), 1)
    x, y = first[rows, columns], second[rows, columns]
    cells = ax.hexbin(x, y, gridsize=_CELLS, cmap="Blues", mincnt=1, linewidths=0.1)
    ax.figure.colorbar(cells, ax=ax, label="pairs of units", shrink=0.8)
    edges = np.quantile(x, np.linspace(0, 1, _BINS + 1))
    groups = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, _BINS - 1)
    present = [group for group in range(_BINS) if (groups == group).any()]
    middles = [(np.median(x[groups == group]), np.median(y[groups == group])) for group in present]
    ax.plot(*np.transpose(middles), color="black", marker="o", markersize=4, linewidth=1.5, label="medians")
    ax.set(xlabel="distance of points", ylabel="1 - correlation of rate maps")
    ax.legend(loc="lower right", frameon=False)
    return ax


def sphere_colors(places: Tensor) -> np.ndarray:
    """Color places on the 2-sphere: the hue is the longitude, and the lightness falls from the north to the south pole.

    Args:
        places: (n, 3), vectors that are not zero.

    Returns:
        (n, 3), red, green and blue in [0, 1].

    Raises:
        ValueError: if a vector is zero or not finite, or has not 3 entries.
        TypeError: if the places are not a tensor of real numbers.
    """
    vectors = check_tensor("places", places, ("n", 3)).detach().double().cpu()
    lengths = vectors.norm(dim=1, keepdim=True)
    if not bool((lengths.isfinite() & (lengths > 0)).all()):
        raise ValueError("places must be finite vectors that are not zero, got others")
    x, y, z = (vectors / lengths).numpy().T
    hue = np.mod(np.arctan2(y, x) / (2 * np.pi), 1.0)
    return hsv_to_rgb(np.stack([hue, np.clip(1 - z, 0, 1) ** 0.7, 0.95 * np.clip(1 + z, 0.12, 1) ** 0.7], axis=-1))
