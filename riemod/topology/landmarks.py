"""Landmarks that stand for many points, and the distances between them: Euclidean, geodesic or given."""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from scipy.spatial.distance import cdist

from riemod._arrays import check_distances, check_points
from riemod._checks import check_choice, check_integer
from riemod.topology._neighbors import geodesic_ratio, neighborhood, project, shortest_paths

Metric = Literal["euclidean", "geodesic", "precomputed"]
FEWEST_POINTS = 10
# More points are subsampled before a verdict.
MOST_POINTS = 2000
LANDMARKS = 250
# Shortest paths over this many max-min points are as even as over all of them, and take a third of the time.
PATH_POINTS = 1000
# Known manifolds with noise have a median ratio of geodesic to Euclidean distance below 1.25, most hidden
# states above 1.4.
BENT = 1.4
# With fewer points a graph of the 15 nearest ones says nothing about the manifold.
_FEWEST_FOR_GRAPH = 40
# A point's share of a neighborhood for the local plane, itself among them, and for the graph, itself and 15 more.
PLANE, GRAPH = 20, 16


class Landmarks(NamedTuple):
    """Holds the distances between landmarks, and the covering radius: no point is farther than that from a landmark."""

    distances: np.ndarray
    radius: float


def landmarks(
    points: Any, count: int, *, start: int = 0, metric: Literal["euclidean", "precomputed"] = "euclidean"
) -> tuple[Int[np.ndarray, " m"], float]:
    """Choose max-min landmarks: each is the point that is farthest from those before it.

    Takes O(count n) time and O(n) memory.

    Args:
        points: (n, k), or (n, n) distances if `metric` is "precomputed".
        count: how many, from 1 to n. Fewer are returned if fewer points differ.
        start: index of the first.
        metric: what `points` is.

    Returns:
        Their indices in the order of choice, and the covering radius: no point is farther than that from a landmark,
        and no two landmarks are nearer than that.

    Raises:
        ValueError: if the count is outside 1..n, the start is outside 0..n-1, or values are not finite.

    Reference: de Silva and Carlsson, https://doi.org/10.2312/SPBG/SPBG04/157-166

    >>> landmarks(np.array([[0.0], [1.0], [5.0], [9.0]]), 3)
    (array([0, 3, 2]), 1.0)
    """
    check_choice("metric", metric, ("euclidean", "precomputed"))
    data = check_distances(points) if metric == "precomputed" else check_points(points)
    check_integer("count", count, 1, len(data))
    check_integer("start", start, 0, len(data) - 1)
    return max_min(data, count, start, metric)


def max_min(data: np.ndarray, count: int, start: int, metric: Metric = "euclidean") -> tuple[np.ndarray, float]:
    """Choose max-min landmarks as `landmarks` does, from arguments that were checked."""
    nearest = np.full(len(data), np.inf)
    chosen, latest = [], start
    while len(chosen) < count and nearest[latest] > 0:
        chosen.append(latest)
        if metric == "precomputed":
            row = data[latest]
        else:
            difference = data - data[latest]
            row = np.einsum("ij,ij->i", difference, difference)
        np.minimum(nearest, row, out=nearest)
        latest = int(nearest.argmax())
    radius = float(nearest.max())
    return np.array(chosen), radius if metric == "precomputed" else math.sqrt(radius)


def denoised(points: np.ndarray) -> np.ndarray:
    """Project each point onto the plane through its 20 nearest ones; points of a plane are returned as they are."""
    return points if points.shape[1] <= 2 else project(neighborhood(points, PLANE))


def landmark_distances(
    points: np.ndarray, metric: Metric, generator: torch.Generator, count: int | None = None
) -> Landmarks:
    """Choose max-min landmarks, a quarter of the points and at most 250, and measure the distances between them.

    Geodesic distances are shortest paths over the graph that joins each of up to 1,000 max-min points to its 15
    nearest ones. These are a cloud of their own, with their own search for neighbors.

    Args:
        points: (n, k), already denoised, or (n, n) distances if they are "precomputed".
        metric: of the distances.
        generator: draws the first landmark.
        count: of landmarks, if not a quarter of the points.
    """
    start = int(torch.randint(len(points), (1,), generator=generator))
    size = min(LANDMARKS, len(points), max(FEWEST_POINTS, len(points) // 4)) if count is None else count
    if metric == "precomputed":
        chosen, radius = max_min(points, size, start, metric)
        return Landmarks(points[np.ix_(chosen, chosen)], radius)
    if metric == "euclidean":
        chosen, radius = max_min(points, size, start)
        return Landmarks(cdist(points[chosen], points[chosen]), radius)
    spread, _ = max_min(points, min(PATH_POINTS, len(points)), start)
    # Each max-min point is chosen for those before it alone, so the first of them are the landmarks.
    chosen = np.arange(min(size, len(spread)))
    distances, nearest = shortest_paths(neighborhood(points[spread], GRAPH), chosen)
    return Landmarks(distances, float(nearest.max()))


def bend(points: np.ndarray) -> float:
    """Return the median ratio of geodesic to Euclidean distance; 1 for fewer points than a graph needs.

    Args:
        points: (n, k), already denoised.
    """
    return geodesic_ratio(neighborhood(points, GRAPH)) if len(points) > _FEWEST_FOR_GRAPH else 1.0


def fitting_metric(points: np.ndarray) -> Metric:
    """Return "geodesic" if geodesic distances exceed 1.4 times the Euclidean ones (median), otherwise "euclidean".

    Args:
        points: (n, k), already denoised.
    """
    return "geodesic" if bend(points) > BENT else "euclidean"
