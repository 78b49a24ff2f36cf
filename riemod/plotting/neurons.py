"""Figures of neurons on their manifold: a number of each, or which of them one is joined with."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from torch import Tensor

from riemod._arrays import check_array, check_indices
from riemod._checks import check_integer, check_text, check_type
from riemod.manifolds import Manifold
from riemod.plotting.points import flat_points, plot_points

__all__ = ["plot_joined_neurons", "plot_neuron_values"]

_MARK: dict[str, Any] = {"marker": "*", "markersize": 13, "markeredgecolor": "white", "markeredgewidth": 0.8}
_MANY = 500
_REST = (0.8, 0.8, 0.8)
_JOINED = (0.835, 0.369, 0.0)


def plot_neuron_values(
    points: Tensor, manifold: Manifold, values: Any, label: str, neuron: int | None = None, ax: Axes | None = None
) -> Axes:
    """Draw neurons on the picture of their manifold, colored by a number of each.

    Numbers of one sign have colors of rising lightness; numbers of both signs have two hues that meet at 0.

    Args:
        points: (n, coordinate_dim).
        manifold: of the points; `has_picture` tells whether it can be drawn.
        values: (n,), finite.
        label: of the color bar, with a unit.
        neuron: marked by a star, and without a color of its own.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        TypeError: an argument is of another type, or the manifold has no picture.
        ValueError: the numbers of points and values differ, a value is not finite, or there is no such neuron.
    """
    check_type("manifold", manifold, Manifold, "a Manifold").check_points(points)
    values = check_array("values", values, (len(points),))
    if not np.isfinite(values).all():
        raise ValueError("values must be finite, got NaN or infinity")
    check_text("label", label)
    if neuron is not None:
        check_integer("neuron", neuron, 0, len(points) - 1)
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    both = low < 0 < high
    reach = max(-low, high)
    norm = Normalize(-reach, reach) if both else Normalize(low, high if high > low else low + 1)
    shades = ScalarMappable(norm, colormaps["PuOr_r" if both else "viridis"])
    shown = np.delete(np.arange(len(points)), [] if neuron is None else [neuron])
    ax = plot_points(points[shown], manifold, shades.to_rgba(values[shown])[:, :3], ax)
    for marks in ax.collections:
        # Many neurons in smaller marks, so that they do not hide each other.
        marks.set(sizes=[min(18.0, max(4.0, 6000 / len(points)))], linewidths=0.0 if len(points) > _MANY else 0.3)
    _mark(points, manifold, neuron, ax)
    ax.figure.colorbar(shades, ax=ax, label=label, shrink=0.8)
    return ax


def plot_joined_neurons(points: Tensor, manifold: Manifold, neuron: int, joined: Any, ax: Axes | None = None) -> Axes:
    """Draw neurons on the picture of their manifold, with those that are joined with one of them in color.

    Args:
        points: (n, coordinate_dim).
        manifold: of the points; `has_picture` tells whether it can be drawn.
        neuron: marked by a star.
        joined: indices of the neurons that it is joined with, at least one.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        TypeError: an argument is of another type, or the manifold has no picture.
        ValueError: there is no such neuron.
    """
    check_type("manifold", manifold, Manifold, "a Manifold").check_points(points)
    check_integer("neuron", neuron, 0, len(points) - 1)
    chosen = np.zeros(len(points), dtype=bool)
    chosen[check_indices("joined", joined, len(points))] = True
    # Those in color are drawn last, above the others.
    order = np.argsort(chosen, kind="stable")
    colors = np.where(chosen[order, None], _JOINED, _REST)
    ax = plot_points(points[order], manifold, colors, ax)
    _mark(points, manifold, neuron, ax)
    return ax


def _mark(points: Tensor, manifold: Manifold, neuron: int | None, ax: Axes) -> None:
    if neuron is not None:
        x, y = flat_points(points[neuron : neuron + 1], manifold)[0]
        ax.plot(x, y, color="black", linestyle="none", zorder=6, **_MARK)
