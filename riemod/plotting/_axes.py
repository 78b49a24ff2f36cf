"""What the figures share: where they draw, and points in color."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes


def axes_or_new(ax: Axes | None) -> Axes:
    """The axes, or those of a new figure."""
    return plt.subplots()[1] if ax is None else ax


def scatter(ax: Axes, x: np.ndarray, y: np.ndarray, colors: np.ndarray | None, size: float, edge: float = 0.3) -> None:
    """Points in the colors given; of (n,) angles, in rad, in a cyclic map whose bar says so.

    Args:
        ax: where to draw.
        x: (n,).
        y: (n,).
        colors: (n, 3), (n,) angles, or None.
        size: of a point, points squared.
        edge: width of the line around a point, points.
    """
    style = {"s": size, "linewidths": edge, "edgecolors": "black" if edge else "none"}
    if colors is None or np.ndim(colors) == 2:
        ax.scatter(x, y, c=colors, **style)
        return
    marks = ax.scatter(x, y, c=np.mod(colors, 2 * np.pi), cmap="twilight_shifted", vmin=0, vmax=2 * np.pi, **style)
    bar = ax.figure.colorbar(marks, ax=ax, label="angle, rad (cyclic colors)", shrink=0.8)
    bar.set_ticks([0, np.pi / 2, np.pi, 3 * np.pi / 2, 2 * np.pi], labels=["0", "π/2", "π", "3π/2", "2π"])
