"""What is left of points once recovered angles are known: a name must explain the points, not only their loops.

The points whose angle is the same form a fiber. On a circle fibers are small, on a band or a box around a hole they are
not. On a torus two angles take all pairs of values; on a sphere with two loops attached they do not.
"""

import math
from typing import Literal, NamedTuple

import numpy as np

from riemod.topology.circular import CircularCoordinates

LANDMARKS = 200
# Windows of one angle have at least this many points, and cells of two angles have this many on average.
_WINDOW, _CELL = 25, 30
_WINDOWS, _CELLS = (8, 40), (4, 8)
# Cells with fewer points do not tell how thick their fiber is; with more, curvature is fitted too.
_FEWEST, _CURVED = 12, 24
# With so many coordinates the median spread within a fiber is that of noise.
_NOISE_FROM = 4


class Fibers(NamedTuple):
    """Holds how recovered angles explain the points.

    Args:
        filled: share of the values of the angles that occur, on a grid of cells (1 for one angle without a gap).
        thickness: median over fibers of their largest standard deviation, less noise, over the size of the base: the
            root mean square distance of fibers' centers from their mean, for each angle.
        thickest: the same, 90 % quantile.
        gap: the largest interval of one angle without a point, rad; 0 for two angles.
        gap_p_value: how probable a gap like this is at the density of points around it, corrected over places.
        gap_at: its middle, rad.
    """

    filled: float
    thickness: float
    thickest: float
    gap: float = 0.0
    gap_p_value: float = 1.0
    gap_at: float = 0.0


def fibers(points: np.ndarray, count: int, metric: Literal["euclidean", "geodesic"], seed: int) -> Fibers | None:
    """Recover one or two angles and measure their fibers; None if no such angles are found.

    Args:
        points: (n, k).
        count: of angles, 1 or 2.
        metric: "euclidean" or "geodesic".
        seed: of the landmarks.
    """
    landmarks = min(LANDMARKS, len(points))
    try:
        recovered = CircularCoordinates(count, metric=metric, n_landmarks=landmarks, random_state=seed).fit(points)
    except ValueError:
        return None
    angles = recovered.transform(points)
    return of_circle(points, angles[:, 0]) if count == 1 else of_torus(points, angles)


def of_circle(points: np.ndarray, angle: np.ndarray) -> Fibers:
    """Measure the fibers of one angle, in windows with the same number of points.

    Args:
        points: (n, k).
        angle: (n,), rad, from 0 to 2 pi.
    """
    order = np.argsort(angle, kind="stable")
    windows = np.array_split(order, int(np.clip(len(points) // _WINDOW, *_WINDOWS)))
    centers = np.stack([points[window].mean(axis=0) for window in windows])
    size = math.sqrt(((centers - centers.mean(axis=0)) ** 2).sum(axis=1).mean())
    thick = np.array([_thickness(points[window], angle[window, None]) for window in windows]) / size
    gap, p_value, at = largest_gap(angle)
    return Fibers(1.0, float(np.median(thick)), float(np.quantile(thick, 0.9)), gap, p_value, at)


def of_torus(points: np.ndarray, angles: np.ndarray) -> Fibers:
    """Measure the fibers of two angles, in square cells.

    Args:
        points: (n, k).
        angles: (n, 2), rad, from 0 to 2 pi.
    """
    side = int(np.clip(math.sqrt(len(points) / _CELL), *_CELLS))
    columns = np.minimum((angles / (2 * np.pi) * side).astype(int), side - 1)
    cell = columns[:, 0] * side + columns[:, 1]
    counts = np.bincount(cell, minlength=side**2)
    cells = [np.flatnonzero(cell == index) for index in np.flatnonzero(counts >= _FEWEST)]
    if not cells:
        return Fibers(float((counts > 0).mean()), math.inf, math.inf)
    weights = np.array([len(own) for own in cells], dtype=float)
    centers = np.stack([points[own].mean(axis=0) for own in cells])
    centered = centers - np.average(centers, axis=0, weights=weights)
    size = math.sqrt(np.average((centered**2).sum(axis=1), weights=weights) / 2)
    thick = np.array([_thickness(points[own], angles[own]) for own in cells]) / max(size, np.finfo(float).tiny)
    return Fibers(float((counts > 0).mean()), float(np.median(thick)), float(np.quantile(thick, 0.9)))


def _thickness(points: np.ndarray, angles: np.ndarray) -> float:
    """Return the largest standard deviation of what a polynomial of the angles leaves, less that of noise."""
    turned = np.angle(np.exp(1j * (angles - np.angle(np.exp(1j * angles).mean(axis=0)))))
    terms = [np.ones((len(points), 1)), turned]
    if angles.shape[1] == 2 and len(points) >= _CURVED:
        terms += [turned**2, turned.prod(axis=1, keepdims=True)]
    basis = np.concatenate(terms, axis=1)
    left = points - basis @ np.linalg.lstsq(basis, points, rcond=None)[0]
    variances = np.linalg.eigvalsh(left.T @ left / max(1, len(points) - basis.shape[1]))[::-1]
    noise = float(np.median(variances[1:])) if len(variances) >= _NOISE_FROM else 0.0
    return math.sqrt(max(float(variances[0]) - noise, 0.0))


def largest_gap(angle: np.ndarray) -> tuple[float, float, float]:
    """Find the largest gap g between angles, how probable it is, and its middle.

    At the density q of the points within 1.5 g of its edges, a given interval of length g is empty with probability
    exp(-q g); there are 2 pi / g of them.

    Args:
        angle: (n,), rad, from 0 to 2 pi.
    """
    ordered = np.sort(angle)
    gaps = np.diff(np.append(ordered, ordered[0] + 2 * np.pi))
    index = int(gaps.argmax())
    gap = float(gaps[index])
    middle = float(np.mod(ordered[index] + gap / 2, 2 * np.pi))
    reach = min(2 * gap, np.pi)
    near = np.abs(np.angle(np.exp(1j * (angle - middle)))) < reach
    around = max(2 * reach - gap, np.finfo(float).tiny)
    density = near.sum() / around
    return gap, float(min(1.0, 2 * np.pi / gap * math.exp(-density * gap))), middle
