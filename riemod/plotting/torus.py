"""Figures of what lives on a flat torus: a color for every point, paths that wrap around, weights by displacement."""

import itertools
import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from torch import Tensor

from riemod._arrays import as_array, check_array, check_square, check_tensor
from riemod._checks import check_integer, check_mapping, check_positive, shown
from riemod._machine import check_fits
from riemod.manifolds import Torus
from riemod.plotting._axes import axes_or_new, check_flat

__all__ = ["plot_closed_paths", "plot_torus_key", "plot_weights_by_displacement", "torus_colors"]

_SILENT = (0.8, 0.8, 0.8)
# OKLCh: mean lightness and chroma, and how far the second angle moves them. Nearly all colors are inside sRGB.
_LIGHTNESS, _CHROMA = (0.70, 0.19), (0.11, 0.045)
# Columns are L, a, b; rows the cube roots of the cone responses, then these to linear red, green and blue.
_OKLAB_TO_CONES = np.array(
    [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728], [1.0, -0.0894841775, -1.2914855480]]
)
_CONES_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def torus_colors(angles: np.ndarray) -> np.ndarray:
    """Color points of a torus by both of their angles, without a seam: near points have near colors, far ones differ.

    The torus is laid into the color space OKLab as a ring: the first angle is the hue; the second one moves lightness
    and chroma around a circle, L = .7 + .19 sin t and C = .11 + .045 cos t. Colors outside sRGB are clipped.

    Args:
        angles: (n, 2), rad; NaN (no position) is gray.

    Returns:
        (n, 3), red, green and blue in [0, 1].

    Raises:
        ValueError: if there are not two angles a point.
        TypeError: if they are not numbers.

    Reference: Ottosson 2020, https://bottosson.github.io/posts/oklab (the color space)

    >>> torus_colors(np.array([[0.0, 0.0], [2 * np.pi, -2 * np.pi]])).round(3).tolist()
    [[0.915, 0.441, 0.605], [0.915, 0.441, 0.605]]
    """
    angles = check_array("angles", angles, ("n", 2))
    known = np.asarray(np.isfinite(angles).all(axis=1))
    hue, second = np.where(known[:, None], angles, 0.0).T
    lightness = _LIGHTNESS[0] + _LIGHTNESS[1] * np.sin(second)
    chroma = _CHROMA[0] + _CHROMA[1] * np.cos(second)
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    linear = np.clip((lab @ _OKLAB_TO_CONES.T) ** 3 @ _CONES_TO_RGB.T, 0, 1)
    colors = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    colors[~known] = _SILENT
    return colors


def plot_torus_key(side: float, ax: Axes | None = None) -> Axes:
    """Draw the key of `torus_colors`: the square whose opposite edges are one line, each place in its color.

    Args:
        side: of the square, m.
        ax: where to draw.

    Returns:
        The axes.
    """
    side = check_positive("side", side)
    ax = axes_or_new(ax)
    axis = (np.arange(96) + 0.5) * (2 * np.pi / 96)
    grid = np.stack(np.meshgrid(axis, axis, indexing="xy"), axis=-1)
    image = torus_colors(grid.reshape(-1, 2)).reshape(96, 96, 3)
    ax.imshow(image, origin="lower", extent=(0, side, 0, side), interpolation="bilinear")
    ax.set(xlabel="x, m", ylabel="y, m", xticks=(0, side), yticks=(0, side))
    return ax


def plot_weights_by_displacement(
    weight: Tensor, points: Tensor, torus: Torus, bins: int = 25, ax: Axes | None = None
) -> Axes:
    """Draw the mean weight of pairs of neurons by where the target lies as seen from the source.

    A Mexican hat is a red center in a blue ring. Means over bins x bins squares of displacements are smoothed by a
    Gaussian of 1 bin around the torus. Pruned weights count as 0, and a neuron's weight to itself is left out.

    Args:
        weight: (n, n); row j is the target, column k the source.
        points: (n, 2).
        torus: of the points.
        bins: along each circle.
        ax: where to draw.

    Returns:
        The axes. `ax.images[0]` has the means, (bins, bins), the second circle along its rows.

    Raises:
        ValueError: if the weight is not a finite matrix of as many rows and columns as there are points, the torus has
            another dimension than 2, the points do not lie on it, or bins is not an integer >= 1.
        TypeError: if an argument is of another type.
    """
    check_flat("torus", torus, Torus, 2, points)
    values, places, period = check_square("weight", weight), points.detach().cpu().numpy(), torus.period
    if len(values) != len(places):
        raise ValueError(f"weight must have a row for each of the {len(places)} points, got {len(values)}")
    check_fits("bins", check_integer("bins", bins, least=1), 16 * bins**2)
    ax = axes_or_new(ax)
    apart = places[:, None] - places[None]
    apart -= period * np.round(apart / period)
    pairs = ~np.eye(len(places), dtype=bool)
    cell = np.minimum((apart[pairs] / period + 0.5) * bins, bins - 1).astype(int)
    flat = cell[:, 1] * bins + cell[:, 0]
    sums = np.bincount(flat, values[pairs], bins**2).reshape(bins, bins)
    counts = np.bincount(flat, minlength=bins**2).reshape(bins, bins).astype(float)
    means = _smoothed(sums) / np.maximum(_smoothed(counts), 1e-12)
    most, least = max(float(means.max()), 1e-12), min(float(means.min()), -1e-12)
    half = period / 2
    # Red and blue have scales of their own, as the bar says: inhibition is spread over more pairs than excitation.
    norm = TwoSlopeNorm(0, least, most)
    image = ax.imshow(means, origin="lower", extent=(-half, half, -half, half), cmap="RdBu_r", norm=norm)
    bar = ax.figure.colorbar(image, ax=ax, label="mean weight", fraction=0.045, pad=0.04)
    bar.set_ticks([least, 0, most], labels=[f"{least:.2g}", "0", f"{most:.2g}"])
    ax.set(xlabel="target - source, first circle", ylabel="target - source, second circle")
    return ax


def plot_closed_paths(true: Tensor, decoded: Mapping[str, Tensor], side: float, ax: Axes | None = None) -> Axes:
    """Draw paths on a square whose opposite edges are glued; a path that leaves on one side comes in on the other.

    Args:
        true: (T + 1, 2) or, for several paths, (T + 1, p, 2), m, with the start first.
        decoded: by name, (T, 2) or (T, p, 2), m.
        side: of the square, m.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        ValueError: if a path is empty, not finite or of another shape, or the side is not positive.
        TypeError: if a path is not a tensor, or decoded is not a mapping.
    """
    side = check_positive("side", side)
    _check_paths("true", true)
    for path in check_mapping("decoded", decoded, "a mapping from name to path").values():
        _check_paths("decoded", path)
    ax = axes_or_new(ax)
    ax.plot(*_broken(true, side).T, color="black", linewidth=1.6, label="true path")
    for name, path in decoded.items():
        ax.plot(*_broken(path, side).T, marker="o", markersize=1.8, linewidth=0.7, label=name)
    starts = np.mod(true[0].detach().reshape(-1, 2).cpu().numpy().astype(float), side)
    ax.plot(*starts.T, marker="o", markersize=4.5, color="black", linestyle="none", label="start")
    ax.set(xlim=(0, side), ylim=(0, side), aspect="equal", xlabel="x, m", ylabel="y, m")
    ax.legend()
    return ax


def _check_paths(name: str, paths: Tensor) -> None:
    array = as_array(check_tensor(name, paths), name)
    if array.ndim not in (2, 3) or array.shape[-1] != 2 or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"{name} must hold positions of shape (T, 2) or (T, p, 2), at least one and all finite, got {shown(paths)}"
        )


def _broken(paths: Tensor, side: float) -> np.ndarray:
    """Return paths (T, 2) or (T, p, 2), inside the square, as one line with NaN where it is broken.

    A step across an edge is drawn twice, once beyond each edge; the axes cut off what lies outside.
    """
    places = np.mod(paths.detach().cpu().numpy().astype(float), side)
    gap, rows = np.full(2, math.nan), []
    for path in places.reshape(len(places), -1, 2).swapaxes(0, 1):
        rows.append(path[0])
        for before, after in itertools.pairwise(path):
            shift = side * np.round((after - before) / side)
            if shift.any():
                rows += [after - shift, gap, before + shift]
            rows.append(after)
        rows.append(gap)
    return np.stack(rows[:-1])


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Smooth a periodic image by a Gaussian with a standard deviation of one bin."""
    steps = np.minimum(np.arange(len(values)), len(values) - np.arange(len(values)))
    kernel = np.exp(-(steps**2) / 2)
    spectrum = np.fft.fft(kernel / kernel.sum())
    return np.fft.ifft2(np.fft.fft2(values) * spectrum[:, None] * spectrum[None]).real
