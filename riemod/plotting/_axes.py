"""What all figures use: the axes to draw into, points in color, and checks of both.

Every function checks its arguments before it asks for axes, so that a refused call leaves no figure behind.
"""

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from torch import Tensor

from riemod._arrays import as_array
from riemod._checks import check_type
from riemod.manifolds import Manifold


def axes_or_new(ax: Axes | None) -> Axes:
    """Return the axes, or those of a new figure for None.

    Raises:
        TypeError: it is something else.
    """
    return plt.subplots()[1] if ax is None else check_type("ax", ax, Axes, "matplotlib Axes or None")


def check_colors(colors: Any, count: int) -> np.ndarray | None:
    """Return the colors of points as an array, or None for None.

    Raises:
        TypeError: they are no numbers.
        ValueError: they are neither (count, 3) numbers in [0, 1] nor (count,) finite angles.
    """
    if colors is None:
        return None
    array = as_array(colors, "colors")
    if array.shape not in ((count,), (count, 3)) or not np.isfinite(array).all():
        raise ValueError(
            f"colors must be ({count}, 3) colors or ({count},) angles, all finite, got the shape {array.shape}"
        )
    if array.ndim == 2 and array.size and (array.min() < 0 or array.max() > 1):
        raise ValueError(f"colors must be in [0, 1], got {array.min():.3g} to {array.max():.3g}")
    return array


def check_flat(name: str, manifold: Manifold, kind: type[Manifold], dim: int, points: Tensor) -> None:
    """Check the manifold of a picture, which is of one kind and dimension, and its points."""
    if check_type(name, manifold, kind, f"a {kind.__name__}").dim != dim:
        raise ValueError(f"{name} must be of dimension {dim} to be drawn, got {manifold.dim}")
    manifold.check_points(points)


def scatter(ax: Axes, x: np.ndarray, y: np.ndarray, colors: np.ndarray | None, size: float, edge: float = 0.3) -> None:
    """Draw points in the given colors; angles get a cyclic color map and a color bar.

    Args:
        ax: where to draw.
        x: (n,), first coordinates.
        y: (n,), second coordinates.
        colors: (n, 3) colors, (n,) angles in rad, or None.
        size: of a point, in typographic points squared.
        edge: width of the line around a point, in typographic points.
    """
    style = {"s": size, "linewidths": edge, "edgecolors": "black" if edge else "none"}
    if colors is None or np.ndim(colors) == 2:
        ax.scatter(x, y, c=colors, **style)
        return
    marks = ax.scatter(x, y, c=np.mod(colors, 2 * np.pi), cmap="twilight_shifted", vmin=0, vmax=2 * np.pi, **style)
    bar = ax.figure.colorbar(marks, ax=ax, label="angle, rad (cyclic colors)", shrink=0.8)
    bar.set_ticks([0, np.pi / 2, np.pi, 3 * np.pi / 2, 2 * np.pi], labels=["0", "π/2", "π", "3π/2", "2π"])
