"""What all figures use: the axes to draw into, and points in color."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes


def axes_or_new(ax: Axes | None) -> Axes:
    """Return the axes, or those of a new figure for None."""
    return plt.subplots()[1] if ax is None else ax


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
