"""Figures of points on manifolds, each manifold with its own flat picture.

Colors are (n, 3), or (n,) angles in rad, which get a cyclic color map and a color bar, or None. A new manifold needs a
function that draws its points, and one registered with `_picture` that names it.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from torch import Tensor

from riemod._arrays import check_tensor
from riemod._checks import check_positive, check_type
from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Sphere, Torus
from riemod.plotting._axes import axes_or_new, check_colors, check_flat, scatter

__all__ = [
    "flat_points",
    "has_picture",
    "plot_ball_points",
    "plot_klein_points",
    "plot_points",
    "plot_position_key",
    "plot_sphere_points",
    "plot_torus_points",
    "position_colors",
    "torus_order",
]

_SILENT = (0.8, 0.8, 0.8)
_SIZE = 18
_LINE = {"color": "0.7", "linewidth": 0.8, "zorder": 0}
_RIM = {"color": "black", "linewidth": 1.2}
_PATCH = {"boxstyle": "round,pad=0.1", "color": "white", "linewidth": 0}


def position_colors(positions: Tensor, side: float) -> np.ndarray:
    """Color positions in a square arena: the hue is the direction from the center, the saturation the distance.

    Args:
        positions: (n, 2), m, from -side/2 to side/2; NaN (no position) is gray.
        side: of the arena, m.

    Returns:
        (n, 3), red, green and blue in [0, 1].
    """
    x, y = check_tensor("positions", positions, ("n", 2)).detach().cpu().numpy().T.astype(float)
    side = check_positive("side", side)
    hue = np.mod(np.arctan2(y, x) / (2 * np.pi), 1.0)
    depth = np.clip(np.hypot(x, y) / (side / 2), 0.0, 1.0)
    known = np.isfinite(hue)
    colors = hsv_to_rgb(np.stack([np.where(known, hue, 0), np.where(known, depth, 0), np.full_like(hue, 0.92)], -1))
    colors[~known] = _SILENT
    return colors


def plot_position_key(side: float, ax: Axes | None = None) -> Axes:
    """Draw the key of `position_colors`: the arena, each position in its color.

    Args:
        side: of the arena, m.
        ax: where to draw.

    Returns:
        The axes.
    """
    side = check_positive("side", side)
    ax = axes_or_new(ax)
    axis = torch.linspace(-side / 2, side / 2, 101, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    half = side / 2
    image = position_colors(grid.reshape(-1, 2), side).reshape(101, 101, 3)
    ax.imshow(image, origin="lower", extent=(-half, half, -half, half))
    ax.set(xlabel="x, m", ylabel="y, m")
    return ax


def torus_order(points: Tensor, torus: Torus) -> np.ndarray:
    """Order neurons so that neighbors stay together: band by band along the torus, every other band reversed.

    Args:
        points: (n, 2).
        torus: of the points.

    Returns:
        (n,), the neurons in order.
    """
    check_flat("torus", torus, Torus, 2, points)
    x, y = points.detach().cpu().numpy().T / torus.period
    bands = max(2, round(len(x) ** 0.5 / 2))
    band = np.minimum((x * bands).astype(int), bands - 1)
    return np.lexsort((np.where(band % 2 == 0, y, -y), band))


def plot_torus_points(points: Tensor, torus: Torus, colors: np.ndarray | None = None, ax: Axes | None = None) -> Axes:
    """Draw points of a two-dimensional torus on its square, whose opposite edges are the same line.

    Args:
        points: (n, 2).
        torus: of the points.
        colors: (n, 3), (n,) angles, or None.
        ax: where to draw.

    Returns:
        The axes.
    """
    check_flat("torus", torus, Torus, 2, points)
    colors = check_colors(colors, len(points))
    ax = axes_or_new(ax)
    x, y = points.detach().cpu().numpy().T
    scatter(ax, x, y, colors, _SIZE)
    ax.set(xlim=(0, torus.period), ylim=(0, torus.period), aspect="equal")
    ax.set(xlabel="first circle", ylabel="second circle")
    return ax


def plot_klein_points(
    points: Tensor, bottle: KleinBottle, colors: np.ndarray | None = None, ax: Axes | None = None
) -> Axes:
    """Draw points of a Klein bottle on its square; arrows show how opposite edges are glued.

    Args:
        points: (n, 2).
        bottle: of the points.
        colors: (n, 3), (n,) angles, or None.
        ax: where to draw.

    Returns:
        The axes.
    """
    check_flat("bottle", bottle, KleinBottle, 2, points)
    colors = check_colors(colors, len(points))
    ax = axes_or_new(ax)
    period = bottle.period
    x, y = points.detach().cpu().numpy().T
    scatter(ax, x, y, colors, _SIZE)
    arrow = {"color": "black", "markersize": 8, "linestyle": "none", "clip_on": False, "zorder": 5}
    middle = period / 2
    ax.plot([middle, middle], [0, period], marker=">", **arrow)
    for edge, marker in ((0.0, "^"), (period, "v")):
        ax.plot([edge, edge], [middle - 0.02 * period, middle + 0.02 * period], marker=marker, **arrow)
    ax.set(xlim=(0, period), ylim=(0, period), aspect="equal")
    ax.set(xlabel="first coordinate", ylabel="second coordinate")
    return ax


def plot_sphere_points(
    points: Tensor, sphere: Sphere, colors: np.ndarray | None = None, ax: Axes | None = None
) -> Axes:
    """Draw points of a 2-sphere on two discs by Lambert's equal-area map, or points of a circle.

    The discs are the hemispheres seen from outside. (x, y, z) with z >= 0 is drawn at (x, y) / sqrt(1 + z) on the left,
    any other point at (2 - x / sqrt(1 - z), y / sqrt(1 - z)) on the right. The discs touch at (1, 0, 0), and equal
    areas stay equal. Thin lines are 30 degrees of latitude and 45 degrees of longitude apart.

    Args:
        points: (n, dim + 1), unit vectors.
        sphere: of dimension 1 or 2.
        colors: (n, 3), (n,) angles, or None.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        ValueError: if the sphere has another dimension.

    Reference: Snyder 1987, Map projections: a working manual, chapter 24, https://doi.org/10.3133/pp1395
    """
    if check_type("sphere", sphere, Sphere, "a Sphere").dim > 2:
        raise ValueError(f"sphere must be of dimension 1 or 2 to be drawn, got {sphere.dim}")
    sphere.check_points(points)
    colors = check_colors(colors, len(points))
    ax = axes_or_new(ax)
    unit = points.detach().cpu().double()
    unit = (unit / unit.norm(dim=1, keepdim=True)).numpy()
    turn = np.linspace(0, 2 * np.pi, 181)
    if sphere.dim == 1:
        ax.plot(np.cos(turn), np.sin(turn), **_LINE)
        x, y = unit.T
        scatter(ax, x, y, colors, _SIZE)
        ax.set(xlabel="x / radius", ylabel="y / radius", aspect="equal", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
        return ax
    for center in (0.0, 2.0):
        for latitude in (0, 30, 60):
            radius = math.sqrt(1 - math.sin(math.radians(latitude)))
            ax.plot(center + radius * np.cos(turn), radius * np.sin(turn), **_LINE | ({} if latitude else _RIM))
        for longitude in turn[:-1:45] / 2:
            ends = np.array([-1.0, 1.0])
            ax.plot(center + ends * math.cos(longitude), ends * math.sin(longitude), **_LINE)
        ax.annotate("z ≥ 0" if center == 0 else "z < 0", (center, -1.05), ha="center", va="top")
    x, y = _hemispheres(unit).T
    scatter(ax, x, y, colors, _SIZE)
    ax.set(xlim=(-1.05, 3.05), ylim=(-1.25, 1.05), aspect="equal")
    ax.set_axis_off()
    return ax


def plot_ball_points(
    points: Tensor, ball: PoincareBall, colors: np.ndarray | None = None, ax: Axes | None = None
) -> Axes:
    """Draw points of the hyperbolic plane in the Poincare disc, with its boundary and circles of known radius.

    Args:
        points: (n, 2), in the unit disc.
        ball: of the points, of dimension 2; radii are in its unit of length.
        colors: (n, 3), (n,) angles, or None.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        ValueError: if the ball has another dimension.
    """
    check_flat("ball", ball, PoincareBall, 2, points)
    colors = check_colors(colors, len(points))
    ax = axes_or_new(ax)
    turn = np.linspace(0, 2 * np.pi, 181)
    ax.plot(np.cos(turn), np.sin(turn), **_LINE | _RIM)
    for distance in (1, 2, 3):
        radius = math.tanh(distance / 2)
        ax.plot(radius * np.cos(turn), radius * np.sin(turn), **_LINE)
        length = distance / math.sqrt(-ball.curvature)
        ax.annotate(f"{length:.2g}", (0, -radius), ha="center", va="center", fontsize=8, bbox=_PATCH)
    x, y = points.detach().cpu().numpy().T
    scatter(ax, x, y, colors, _SIZE)
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
    ax.set(xticks=[], yticks=[], xlabel="circles: distance from the center; rim: infinity")
    ax.spines[:].set_visible(False)
    return ax


def flat_points(points: Tensor, manifold: Manifold) -> np.ndarray:
    """Return where `plot_points` draws points: (n, 2).

    Args:
        points: (n, coordinate_dim).
        manifold: of the points.

    Raises:
        ValueError: if the manifold has no picture in the plane.
    """
    if not has_picture(manifold):
        raise ValueError(f"manifold must have a picture in the plane, got {manifold}")
    array = points.detach().cpu().double().numpy()
    if isinstance(manifold, Sphere):
        array = array / np.linalg.norm(array, axis=1, keepdims=True)
        return array if manifold.dim == 1 else _hemispheres(array)
    return array


def _hemispheres(unit: np.ndarray) -> np.ndarray:
    x, y, z = unit.T
    scale = 1 / np.sqrt(1 + np.abs(z))
    return np.stack([np.where(z >= 0, x * scale, 2 - x * scale), y * scale], axis=-1)


def has_picture(manifold: Manifold) -> bool:
    """Tell whether `plot_points` can draw points of a manifold.

    Args:
        manifold: any.

    Returns:
        True if it has a picture in the plane.

    >>> has_picture(Torus(2)), has_picture(Torus(6))
    (True, False)
    """
    return _picture(check_type("manifold", manifold, Manifold, "a Manifold")) is not None


def plot_points(points: Tensor, manifold: Manifold, colors: np.ndarray | None = None, ax: Axes | None = None) -> Axes:
    """Draw points on the picture of their manifold.

    Args:
        points: (n, coordinate_dim).
        manifold: a circle, a sphere, torus, Klein bottle, hyperbolic or Euclidean plane.
        colors: (n, 3), (n,) angles, or None.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        ValueError: if the manifold has no picture in the plane.

    >>> from matplotlib.figure import Figure
    >>> plot_points(torch.rand(5, 2), Torus(2), ax=Figure().subplots()).get_xlabel()
    'first circle'
    """
    draw = _picture(check_type("manifold", manifold, Manifold, "a Manifold"))
    if draw is None:
        raise ValueError(f"manifold must have a picture in the plane, got {manifold}")
    return draw(points, manifold, colors, ax)


@functools.singledispatch
def _picture(manifold: Manifold) -> Callable[..., Axes] | None:
    """Return the function that draws points of a manifold, or None if it has no picture in the plane."""
    return None


@_picture.register
def _(manifold: Torus) -> Callable[..., Axes] | None:
    return plot_torus_points if manifold.dim == 2 else None


@_picture.register
def _(manifold: KleinBottle) -> Callable[..., Axes] | None:
    return plot_klein_points


@_picture.register
def _(manifold: Sphere) -> Callable[..., Axes] | None:
    return plot_sphere_points if manifold.dim <= 2 else None


@_picture.register
def _(manifold: PoincareBall) -> Callable[..., Axes] | None:
    return plot_ball_points if manifold.dim == 2 else None


@_picture.register
def _(manifold: Euclidean) -> Callable[..., Axes] | None:
    return _plot_plane_points if manifold.dim == 2 else None


def _plot_plane_points(points: Tensor, plane: Euclidean, colors: np.ndarray | None, ax: Axes | None) -> Axes:
    plane.check_points(points)
    colors = check_colors(colors, len(points))
    ax = axes_or_new(ax)
    x, y = points.detach().cpu().numpy().T
    scatter(ax, x, y, colors, _SIZE)
    ax.set(xlabel="x", ylabel="y", aspect="equal")
    return ax
