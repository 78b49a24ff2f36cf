"""Curves of several runs: the median of each arm, and a band from its lower to its upper quartile."""

from collections.abc import Mapping
from itertools import cycle
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from riemod._arrays import check_array
from riemod._checks import check_mapping, check_text, check_type
from riemod.plotting._axes import axes_or_new

__all__ = ["Curve", "plot_bands"]

# Lines differ in dash and in lightness as well as in color; the colors are those of Okabe and Ito.
_STYLES = (
    ("#000000", "-"),
    ("#E69F00", "--"),
    ("#0072B2", "-."),
    ("#CC79A7", ":"),
    ("#009E73", (0, (5, 1))),
    ("#D55E00", (0, (3, 1, 1, 1))),
    ("#56B4E9", (0, (1, 1))),
)


class Curve(NamedTuple):
    """Holds the curves of one arm's runs."""

    places: np.ndarray
    """(m,), where they were measured, rising."""
    values: np.ndarray
    """(runs, m); NaN where a run has no value."""


def plot_bands(curves: Mapping[str, Curve], xlabel: str, ylabel: str, ax: Axes | None = None) -> Axes:
    """Draw the median over runs of each arm, and a band from the lower to the upper quartile.

    An axis is logarithmic where all its values are positive and the largest is more than 20 times the smallest.

    Args:
        curves: by name of the arm.
        xlabel: of the places, with a unit.
        ylabel: of the values, with a unit.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there is no curve, one has no value at some place, or places do not rise.
    """
    curves = check_mapping("curves", curves, "a mapping from name to Curve")
    checked = {check_text("curves", name): _check(name, curve) for name, curve in curves.items()}
    if not checked:
        raise ValueError("curves must hold at least one curve, got none")
    check_text("xlabel", xlabel)
    check_text("ylabel", ylabel)
    ax = axes_or_new(ax)
    for (name, (places, values)), (color, dash) in zip(checked.items(), cycle(_STYLES), strict=False):
        low, middle, high = np.nanquantile(values, (0.25, 0.5, 0.75), axis=0)
        ax.fill_between(places, low, high, color=color, alpha=0.15, linewidth=0)
        marker = "o" if len(places) < 12 else None
        ax.plot(places, middle, color=color, linestyle=dash, linewidth=1.4, marker=marker, markersize=3, label=name)
    every_place = np.concatenate([places for places, _ in checked.values()])
    every_value = np.concatenate([values[np.isfinite(values)] for _, values in checked.values()])
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale=_scale(every_place), yscale=_scale(every_value))
    ax.legend(fontsize="small")
    return ax


def _scale(values: np.ndarray) -> str:
    return "log" if values.min() > 0 and values.max() > 20 * values.min() else "linear"


def _check(name: str, curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    check_type(f"curves[{name!r}]", curve, Curve, "a Curve")
    places = check_array(f"curves[{name!r}]: places", curve.places, ("m",))
    values = check_array(f"curves[{name!r}]: values", curve.values, ("runs", len(places)))
    if not len(places) or not np.isfinite(places).all() or (np.diff(places) <= 0).any():
        raise ValueError(f"curves[{name!r}]: places must be finite and rise, got {places.tolist()[:8]}")
    if np.isinf(values).any() or not np.isfinite(values).any(axis=0).all():
        raise ValueError(f"curves[{name!r}]: values must be finite, with at least one run at each place")
    return places, values
