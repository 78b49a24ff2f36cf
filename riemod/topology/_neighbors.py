"""Nearest points, and what is computed from them: local principal axes, dimensions and shortest paths.

Each cloud is searched once, for the largest number of neighbors that any step needs; a step gets its share by
`Neighborhood.first`. Nothing here checks its arguments: the public functions that call it do.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from scipy.special import digamma

# With more coordinates a k-d tree visits nearly every point, and a matrix product is faster.
_TREE_COORDINATES = 10
# Rows of the distance matrix computed at a time: few enough to stay in the processor's cache.
_ROWS = 128
# Axes that a manifold known here may need locally, and how many more are enough to measure noise.
_SIGNAL_AXES, _NOISE_AXES = 3, 3
# Local dimensions are averaged over so many points, itself among them.
_SMOOTHED = 10


class Neighborhood(NamedTuple):
    """Holds the nearest points of each point of a cloud, nearest first; the first is the point itself.

    Args:
        points: (n, k).
        distances: (n, c) distances to the nearest points.
        indices: (n, c) their rows in `points`.
    """

    points: np.ndarray
    distances: np.ndarray
    indices: np.ndarray

    def first(self, count: int) -> "Neighborhood":
        """Return the `count` nearest points of each point, or all that are here if there are fewer."""
        return Neighborhood(self.points, self.distances[:, :count], self.indices[:, :count])


def neighborhood(points: np.ndarray, count: int) -> Neighborhood:
    """Search the `count` nearest points of each point, itself among them; all n if there are fewer than `count`.

    Takes O(n log n) time at best and O(n^2 k) at worst, and O(n count) memory.

    Args:
        points: (n, k).
        count: how many, >= 1.
    """
    count = min(count, len(points))
    if points.shape[1] <= _TREE_COORDINATES:
        distances, indices = KDTree(points).query(points, count)
        return Neighborhood(points, distances.reshape(len(points), count), indices.reshape(len(points), count))
    distances, indices = np.empty((len(points), count)), np.empty((len(points), count), dtype=np.intp)
    squares, doubled = (points**2).sum(axis=1), 2 * points
    for start in range(0, len(points), _ROWS):
        rows = slice(start, start + _ROWS)
        squared = squares[rows, None] + squares
        squared -= doubled[rows] @ points.T
        own = np.arange(len(squared))
        squared[own, start + own] = -1.0
        nearest = np.argpartition(squared, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(squared, nearest, axis=1)
        order = np.argsort(values, axis=1, kind="stable")
        indices[rows] = np.take_along_axis(nearest, order, axis=1)
        distances[rows] = np.sqrt(np.maximum(np.take_along_axis(values, order, axis=1), 0.0))
    return Neighborhood(points, distances, indices)


def local_axes(near: Neighborhood) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the principal axes of each point's nearest points.

    Returns:
        Their means (n, k), principal axes as columns (n, k, k), the last the widest, and variances along them (n, k).
    """
    points, columns = near.points, near.indices.T
    means = np.stack([points[column] for column in columns]).mean(axis=0)
    covariances = np.zeros((len(points), points.shape[1], points.shape[1]))
    for column in columns:
        centered = points[column] - means
        covariances += centered[:, :, None] * centered[:, None, :]
    variances, axes = np.linalg.eigh(covariances / len(columns))
    return means, axes, variances


def project(near: Neighborhood, dim: int = 2) -> np.ndarray:
    """Project each point onto the first `dim` principal axes of its nearest points; (n, k)."""
    points = near.points
    if points.shape[1] <= dim:
        return points
    means, axes, _ = local_axes(near)
    plane = axes[:, :, -dim:]
    along = np.einsum("nij,ni->nj", plane, points - means)
    return means + np.einsum("nij,nj->ni", plane, along)


def two_nn(near: Neighborhood) -> float:
    """Estimate the dimension from the ratio of distances to the c-th and 2c-th neighbor, of the 2 c + 1 points here."""
    count = (near.distances.shape[1] - 1) // 2
    inner, outer = near.distances[:, count], near.distances[:, 2 * count]
    used = inner > 0
    mean = np.log(outer[used] / inner[used]).mean() if used.any() else 0.0
    return float((digamma(2 * count) - digamma(count)) / mean) if mean > 0 else float("nan")


def participation_ratio(near: Neighborhood) -> float:
    """Average (sum v)^2 / sum v^2 over points, v the variances of the nearest points along their principal axes."""
    _, _, variances = local_axes(near)
    variances = np.maximum(variances, 0.0)
    spread = variances.sum(axis=1) > 0
    ratios = variances[spread].sum(axis=1) ** 2 / (variances[spread] ** 2).sum(axis=1)
    return float(ratios.mean()) if spread.any() else float("nan")


def local_dimensions(near: Neighborhood) -> np.ndarray:
    """Estimate the dimension at each point: (sum v)^2 / sum v^2, averaged over its ten nearest points; (n,).

    v are the variances of the nearest points along their principal axes, less that of noise: the median of the fourth
    and smaller ones, if there are at least three of these.
    """
    _, _, variances = local_axes(near)
    variances = np.maximum(variances[:, ::-1], 0.0)
    if variances.shape[1] >= _SIGNAL_AXES + _NOISE_AXES:
        variances = np.maximum(variances - np.median(variances[:, _SIGNAL_AXES:], axis=1, keepdims=True), 0.0)
    squares = np.maximum((variances**2).sum(axis=1), np.finfo(float).tiny)
    return (variances.sum(axis=1) ** 2 / squares)[near.indices[:, :_SMOOTHED]].mean(axis=1)


def shortest_paths(near: Neighborhood, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure shortest paths over the graph that joins each point to its nearest points, in one piece.

    Args:
        near: of n points.
        sources: (m,) indices.

    Returns:
        (m, m) distances between the sources, and (n,) the distance of each point to the nearest source.
    """
    size, columns = near.indices.shape
    # A graph cannot tell an edge of length 0 from a missing one.
    lengths = np.maximum(near.distances[:, 1:], np.finfo(float).tiny)
    rows = np.repeat(np.arange(size), columns - 1)
    graph = _linked(csr_array((lengths.ravel(), (rows, near.indices[:, 1:].ravel())), (size, size)), near.points)
    paths = dijkstra(graph, directed=False, indices=sources)
    between = paths[:, sources]
    return (between + between.T) / 2, paths.min(axis=0)


def _linked(graph: csr_array, points: np.ndarray) -> csr_array:
    """Add the shortest edge from each piece of the graph to another piece, until one piece is left."""
    pieces, labels = connected_components(graph, directed=False)
    while pieces > 1:
        links = []
        for piece in range(pieces):
            inside, outside = np.flatnonzero(labels == piece), np.flatnonzero(labels != piece)
            lengths, nearest = map(np.asarray, KDTree(points[outside]).query(points[inside]))
            best = int(lengths.argmin())
            links.append((max(lengths[best], np.finfo(float).tiny), inside[best], outside[np.asarray(nearest)[best]]))
        lengths, rows, columns = zip(*links, strict=True)
        graph = csr_array(graph + csr_array((lengths, (rows, columns)), graph.shape))
        pieces, labels = connected_components(graph, directed=False)
    return graph


def geodesic_ratio(near: Neighborhood, count: int = 60) -> float:
    """Return the median ratio of geodesic to Euclidean distance over pairs of `count` points; 1 on a flat manifold.

    Args:
        near: whose graph the geodesic distances follow.
        count: how many points, evenly spread over the rows.
    """
    points = near.points
    sources = np.unique(np.linspace(0, len(points) - 1, count).astype(int))
    along, _ = shortest_paths(near, sources)
    straight = cdist(points[sources], points[sources])
    apart = straight > 0
    return float(np.median(along[apart] / straight[apart])) if apart.any() else 1.0
