"""Figures of points on manifolds, each on a flat picture of its own.

Colors are (n, 3), or (n,) angles in rad, which get a cyclic color map and its bar, or None.
"""

import math

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from torch import Tensor

from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Sphere, Torus
from riemod.plotting._axes import axes_or_new, scatter

__all__ = [
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
    """(n, 3) colors of places in a square arena: the hue is the direction from its center, the depth the distance.

    Args:
        positions: (n, 2), m, from -side/2 to side/2; NaN (no place) is gray.
        side: of the arena, m.
    """
    x, y = positions.cpu().numpy().T.astype(float)
    hue = np.mod(np.arctan2(y, x) / (2 * np.pi), 1.0)
    depth = np.clip(np.hypot(x, y) / (side / 2), 0.0, 1.0)
    known = np.isfinite(hue)
    colors = hsv_to_rgb(np.stack([np.where(known, hue, 0), np.where(known, depth, 0), np.full_like(hue, 0.92)], -1))
    colors[~known] = _SILENT
    return colors


def plot_position_key(side: float, ax: Axes | None = None) -> Axes:
    """The key of `position_colors`: the arena, each place in its color.

    Args:
        side: of the arena, m.
        ax: where to draw.
    """
    ax = axes_or_new(ax)
    axis = torch.linspace(-side / 2, side / 2, 101)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    half = side / 2
    image = position_colors(grid.reshape(-1, 2), side).reshape(101, 101, 3)
    ax.imshow(image, origin="lower", extent=(-half, half, -half, half))
    ax.set(xlabel="x, m", ylabel="y, m")
    return ax


def torus_order(points: Tensor, torus: Torus) -> np.ndarray:
    """(n,) neurons in an order that keeps neighbors together: band by band along the torus, every other band reversed.

    Args:
        points: (n, 2).
        torus: gives the period.
    """
    x, y = points.detach().cpu().numpy().T / torus.period
    bands = max(2, round(len(x) ** 0.5 / 2))
    band = np.minimum((x * bands).astype(int), bands - 1)
    return np.lexsort((np.where(band % 2 == 0, y, -y), band))


def plot_torus_points(points: Tensor, torus: Torus, colors: np.ndarray | None = None, ax: Axes | None = None) -> Axes:
    """Points on a two-dimensional torus, drawn on its square; opposite edges are the same line.

    Args:
        points: (n, 2).
        torus: gives the period.
        colors: (n, 3), (n,) angles, or None.
        ax: where to draw.
    """
    ax = axes_or_new(ax)
    x, y = points.detach().cpu().numpy().T
    scatter(ax, x, y, colors, _SIZE)
    ax.set(xlim=(0, torus.period), ylim=(0, torus.period), aspect="equal")
    ax.set(xlabel="first circle", ylabel="second circle")
    return ax


def plot_klein_points(
    points: Tensor, bottle: KleinBottle, colors: np.ndarray | None = None, ax: Axes | None = None
) -> Axes:
    """Points of a Klein bottle on its square; edges with the same arrows are one line, glued as the arrows point.

    Args:
        points: (n, 2).
        bottle: gives the period.
        colors: (n, 3), (n,) angles, or None.
        ax: where to draw.
    """
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
    """Points of a 2-sphere on two discs, hemispheres seen from outside, by Lambert's equal-area map; or of a circle.

    (x, y, z) with z >= 0 is drawn at (x, y) / sqrt(1 + z) on the left, else at (-x, y) / sqrt(1 - z) on the right. The
    discs touch at (1, 0, 0), and equal areas stay equal. Thin lines: 30 degrees of latitude, 45 of longitude.

    Args:
        points: (n, dim + 1), unit vectors.
        sphere: of dimension 1 or 2.
        colors: (n, 3), (n,) angles, or None.
        ax: where to draw.

    Raises:
        ValueError: for a sphere of another dimension.

    Reference: Snyder 1987, Map projections: a working manual, chapter 24, https://doi.org/10.3133/pp1395
    """
    if sphere.dim > 2:
        raise ValueError(f"sphere must be of dimension 1 or 2 to be drawn, got {sphere.dim}")
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
    x, y, z = unit.T
    north = z >= 0
    scale = 1 / np.sqrt(1 + np.abs(z))
    scatter(ax, np.where(north, x * scale, 2 - x * scale), y * scale, colors, _SIZE)
    ax.set(xlim=(-1.05, 3.05), ylim=(-1.25, 1.05), aspect="equal")
    ax.set_axis_off()
    return ax


def plot_ball_points(
    points: Tensor, ball: PoincareBall, colors: np.ndarray | None = None, ax: Axes | None = None
) -> Axes:
    """Points of the hyperbolic plane in Poincare's disc, its boundary at infinity, and circles of known radius.

    Args:
        points: (n, 2), in the unit disc.
        ball: of dimension 2; its curvature -c gives the radii, in 1 / sqrt c.
        colors: (n, 3), (n,) angles, or None.
        ax: where to draw.

    Raises:
        ValueError: for a ball of another dimension.
    """
    if ball.dim != 2:
        raise ValueError(f"ball must be of dimension 2 to be drawn, got {ball.dim}")
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


def has_picture(manifold: Manifold) -> bool:
    """Whether `plot_points` can draw points of this manifold.

    Args:
        manifold: any.

    >>> has_picture(Torus(2)), has_picture(Torus(6))
    (True, False)
    """
    return isinstance(manifold, KleinBottle) or (
        (isinstance(manifold, Torus | PoincareBall | Euclidean) and manifold.dim == 2)
        or (isinstance(manifold, Sphere) and manifold.dim <= 2)
    )


def plot_points(points: Tensor, manifold: Manifold, colors: np.ndarray | None = None, ax: Axes | None = None) -> Axes:
    """Points on whichever picture their manifold has.

    Args:
        points: (n, coordinate_dim).
        manifold: a circle, a sphere, torus, Klein bottle, hyperbolic or Euclidean plane.
        colors: (n, 3), (n,) angles, or None.
        ax: where to draw.

    Raises:
        ValueError: for a manifold without a picture in the plane.

    >>> from matplotlib.figure import Figure
    >>> plot_points(torch.rand(5, 2), Torus(2), ax=Figure().subplots()).get_xlabel()
    'first circle'
    """
    if not has_picture(manifold):
        raise ValueError(f"manifold must have a picture in the plane, got {manifold}")
    match manifold:
        case Torus():
            return plot_torus_points(points, manifold, colors, ax)
        case KleinBottle():
            return plot_klein_points(points, manifold, colors, ax)
        case Sphere():
            return plot_sphere_points(points, manifold, colors, ax)
        case PoincareBall():
            return plot_ball_points(points, manifold, colors, ax)
        case _:
            ax = axes_or_new(ax)
            x, y = points.detach().cpu().numpy().T
            scatter(ax, x, y, colors, _SIZE)
            ax.set(xlabel="x", ylabel="y", aspect="equal")
            return ax
