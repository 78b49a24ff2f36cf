"""The landmarks that stand for points, and distances between them: straight, along the points' sheet, or given."""

from typing import Literal

import numpy as np
import torch
from scipy.spatial.distance import cdist

from riemod.topology.clouds import geodesic_distances, smooth, stretch
from riemod.topology.persistence import landmarks
from riemod.topology.verdict import Net

Metric = Literal["euclidean", "geodesic", "precomputed"]
FEWEST_POINTS = 10
LANDMARKS = 250
# Shortest paths over so many max-min points are as even as over all of them, and take a third of the time.
PATH_POINTS = 1000
# Known manifolds with noise have a median ratio of geodesic to straight distance below 1.25, most hidden
# states above 1.4.
BENT = 1.4
# With fewer points a graph of the 15 nearest ones says nothing about the sheet.
_FEWEST_FOR_GRAPH = 40
_PLANE, _GRAPH = 20, 15


def landmark_net(points: np.ndarray, metric: Metric, generator: torch.Generator) -> Net:
    """Max-min landmarks, a quarter of the points and at most 250, and the distances between them.

    Points are first put on the plane through their 20 nearest ones. Geodesic distances are shortest paths over the
    graph that joins each of up to 1,000 max-min points to its 15 nearest ones.

    Args:
        points: (n, k), or (n, n) distances if they are "precomputed".
        metric: of the distances.
        generator: picks the first landmark.
    """
    start = int(torch.randint(len(points), (1,), generator=generator))
    size = min(LANDMARKS, len(points), max(FEWEST_POINTS, len(points) // 4))
    if metric == "precomputed":
        chosen, radius = landmarks(points, size, start=start, metric="precomputed")
        return Net(points[np.ix_(chosen, chosen)], radius)
    smoothed = _smoothed(points)
    if metric == "euclidean":
        chosen, radius = landmarks(smoothed, size, start=start)
        return Net(cdist(smoothed[chosen], smoothed[chosen]), radius)
    spread, _ = landmarks(smoothed, min(PATH_POINTS, len(points)), start=start)
    # Max-min points come farthest first, so the first of them are the landmarks.
    chosen = np.arange(min(size, len(spread)))
    distances, nearest = geodesic_distances(smoothed[spread], chosen, min(_GRAPH, len(spread) - 1))
    return Net(distances, float(nearest.max()))


def fitting_metric(points: np.ndarray) -> Metric:
    """Geodesic where distances along the sheet are more than 1.4 times the straight ones (median), or else Euclidean.

    Args:
        points: (n, k).
    """
    bent = len(points) > _FEWEST_FOR_GRAPH and stretch(_smoothed(points)) > BENT
    return "geodesic" if bent else "euclidean"


def _smoothed(points: np.ndarray) -> np.ndarray:
    return smooth(points, min(_PLANE, len(points)))
