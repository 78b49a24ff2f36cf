"""Figures of tuning: curves over an angle, maps over a torus or an arena, and recovered angles against true ones."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from riemod._arrays import as_array, check_array
from riemod._checks import check_items, check_text
from riemod.plotting._axes import axes_or_new

__all__ = ["plot_angles", "plot_rate_maps", "plot_tuning_curves"]

_TICKS = [0, np.pi / 2, np.pi, 3 * np.pi / 2, 2 * np.pi]
_LABELS = ["0", "π/2", "π", "3π/2", "2π"]
_GAP = 1
_MOST_DOTS = 3000


def plot_tuning_curves(rates: Any, label: str = "angle, rad", ax: Axes | None = None) -> Axes:
    """Draw the rates of units over an angle: one row a unit, divided by its peak, in the order of their peaks.

    Args:
        rates: (n, b), >= 0, in b equal bins from 0 to 2 pi; NaN where there is no sample.
        label: of the angle.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        ValueError: if rates are not (n, b), empty, negative or infinite.
    """
    curves = _check_rates("rates", rates, ("n", "b"))
    check_text("label", label)
    ax = axes_or_new(ax)
    peaks = np.nanmax(np.where(np.isnan(curves), 0.0, curves), axis=1)
    shown = curves / np.where(peaks > 0, peaks, 1.0)[:, None]
    order = np.argsort(np.nan_to_num(shown).argmax(axis=1), kind="stable")
    image = ax.imshow(
        shown[order], aspect="auto", extent=(0, 2 * np.pi, len(shown), 0), cmap="magma", vmin=0, interpolation="nearest"
    )
    ax.figure.colorbar(image, ax=ax, label="rate / peak", shrink=0.8)
    ax.set_xticks(_TICKS, _LABELS)
    ax.set(xlabel=label, ylabel="unit, by peak")
    return ax


def plot_rate_maps(images: Any, titles: Any = None, ax: Axes | None = None) -> Axes:
    """Draw rate maps side by side, each divided by its peak; the first coordinate runs to the right.

    Args:
        images: (n, h, w), >= 0, with the first coordinate as the first axis; NaN, drawn white, without a sample.
        titles: a text of each map, drawn above it; none if None.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        ValueError: if images are not (n, h, w), empty, negative or infinite, or titles are not n.
    """
    maps = _check_rates("images", images, ("n", "h", "w"))
    texts = (
        [""] * len(maps)
        if titles is None
        else [check_text("titles", one) for one in check_items("titles", titles, "n")]
    )
    if len(texts) != len(maps):
        raise ValueError(f"titles must be as many as maps, {len(maps)}, got {len(texts)}")
    ax = axes_or_new(ax)
    columns = math.ceil(math.sqrt(len(maps)))
    rows = math.ceil(len(maps) / columns)
    _, width, height = maps.shape
    head = max(2, height // 5) if any(texts) else _GAP
    sheet = np.full((rows * (height + head), columns * (width + _GAP) - _GAP), np.nan)
    for index, (one, text) in enumerate(zip(maps, texts, strict=True)):
        top, left = index // columns * (height + head) + head, index % columns * (width + _GAP)
        peak = np.nanmax(np.where(np.isnan(one), 0.0, one))
        sheet[top : top + height, left : left + width] = one.T[::-1] / (peak if peak > 0 else 1.0)
        ax.text(left + width / 2 - 0.5, top - 0.7, text, ha="center", va="bottom", fontsize="x-small")
    image = ax.imshow(sheet, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label="rate / peak", shrink=0.8)
    ax.axis("off")
    return ax


def plot_angles(found: Any, true: Any, label: str = "true angle, rad", ax: Axes | None = None) -> Axes:
    """Draw recovered angles against true ones, after the rotation and reflection that bring them nearest.

    Args:
        found: (n,) recovered angles, rad.
        true: (n,) true angles, rad.
        label: of the true angle.
        ax: where to draw; at most 3,000 points, evenly chosen.

    Returns:
        The axes.

    Raises:
        ValueError: if the angles are not finite, or their numbers differ.
    """
    angle = as_array(found, "found")
    known = check_array("true", true, (len(angle) if angle.ndim else 0,))
    if angle.ndim != 1 or not (np.isfinite(angle).all() and np.isfinite(known).all()) or not len(angle):
        raise ValueError(f"found and true must be (n,) finite angles, got the shapes {angle.shape} and {known.shape}")
    check_text("label", label)
    ax = axes_or_new(ax)
    means = [np.exp(1j * (sign * angle - known)).mean() for sign in (1, -1)]
    best = int(np.argmax(np.abs(means)))
    aligned = np.mod((1, -1)[best] * angle - np.angle(means[best]), 2 * np.pi)
    some = np.linspace(0, len(angle) - 1, min(len(angle), _MOST_DOTS)).round().astype(int)
    ax.plot([0, 2 * np.pi], [0, 2 * np.pi], color="0.6", linewidth=0.8, zorder=0)
    ax.scatter(np.mod(known, 2 * np.pi)[some], aligned[some], s=3, linewidths=0, color="C0", alpha=0.5)
    ax.set_xticks(_TICKS, _LABELS)
    ax.set_yticks(_TICKS, _LABELS)
    ax.set(xlabel=label, ylabel="recovered angle, rad", aspect="equal", xlim=(0, 2 * np.pi), ylim=(0, 2 * np.pi))
    return ax


def _check_rates(name: str, rates: Any, shape: tuple[str, ...]) -> np.ndarray:
    array = check_array(name, rates, shape)
    if 0 in array.shape:
        raise ValueError(f"{name} must not be empty, got the shape {array.shape}")
    known = array[~np.isnan(array)]
    if known.size and (known.min() < 0 or np.isinf(known).any()):
        raise ValueError(f"{name} must be finite and >= 0, or NaN, got others")
    return array
