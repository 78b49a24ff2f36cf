"""Point clouds before persistence: principal axes, noise normal to the sheet, distances along it, its dimension."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from scipy.special import digamma

from riemod._arrays import check_points

# Above this many coordinates a k-d tree looks at nearly every point, and a matrix product is faster.
_TREE_COORDINATES = 10


def neighbors(points: Float[np.ndarray, "n k"], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances to and indices of the nearest points, nearest first, the point itself among them: O(n^2 k) at worst.

    Args:
        points: (n, k).
        count: how many, from 1 to n.

    Returns:
        Two arrays (n, count).
    """
    if points.shape[1] <= _TREE_COORDINATES:
        distances, indices = KDTree(points).query(points, count)
        return distances.reshape(len(points), count), indices.reshape(len(points), count)
    squares = (points**2).sum(axis=1)
    squared = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(squared, -1.0)
    nearest = np.argpartition(squared, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(squared, nearest, axis=1)
    order = np.argsort(values, axis=1, kind="stable")
    indices = np.take_along_axis(nearest, order, axis=1)
    return np.sqrt(np.maximum(np.take_along_axis(values, order, axis=1), 0.0)), indices


def principal_axes(points: Float[np.ndarray, "n k"], components: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the first principal axes.

    Args:
        points: (n, k).
        components: how many axes; all k of the coordinate frame, unturned, if k is not above it.

    Returns:
        The mean (k,) and the axes as columns (k, components).
    """
    mean = points.mean(axis=0)
    if points.shape[1] <= components:
        return mean, np.eye(points.shape[1])
    _, _, rows = np.linalg.svd(points - mean, full_matrices=False)
    axes = rows[:components]
    # Which way an axis points is rounding's choice; the largest entry decides instead.
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1))
    return mean, (axes * signs).T


def densest(points: Any, share: float = 0.7, count: int = 20) -> Int[np.ndarray, " m"]:
    """The points whose `count`-th nearest neighbor is nearest: what is left when outliers and thin parts go.

    Where a sheet itself is sampled unevenly, its thin parts go too, and leave holes that are not there.

    Args:
        points: (n, k).
        share: of the points that stay, in (0, 1]; their number is rounded up.
        count: which neighbor, from 1 to n - 1.

    Returns:
        (m,) indices, ascending.

    Raises:
        ValueError: for a number outside its range, or points that are not finite.

    Reference: the k-codensity of Carlsson, Ishkhanov, de Silva and Zomorodian, https://doi.org/10.1007/s11263-007-0056-x

    >>> densest(np.array([[0.0], [0.1], [5.0], [0.2]]), 0.75, count=1)
    array([0, 1, 3])
    """
    array = check_points(points)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {share!r}")
    if not 1 <= count < len(array):
        raise ValueError(f"count must be from 1 to one less than the {len(array)} points, got {count}")
    distances, _ = neighbors(array, count + 1)
    return np.sort(np.argsort(distances[:, -1], kind="stable")[: math.ceil(share * len(array) - 1e-9)])


def smooth(points: Any, count: int = 20, dim: int = 2) -> Float[np.ndarray, "n k"]:
    """x -> m + T T'(x - m): each point put on the plane through its nearest points, which takes off noise normal to it.

    m is the mean of the `count` nearest points and T their first `dim` principal axes. Averages alone pull points
    together into clumps, and the holes between clumps look like loops; along the plane nothing moves here.
    O(n^2 k + n k^3) time, O(n (n + k^2)) memory at worst.

    Args:
        points: (n, k).
        count: how many nearest points, from 2 to n.
        dim: of the plane; with k or more nothing is changed.

    Returns:
        (n, k).

    Raises:
        ValueError: for a count outside 2..n, or points that are not finite.

    Reference: a single step of Zhang and Zha, https://doi.org/10.1137/S1064827502419154

    >>> line = np.array([[0.0, 0.1, 0.0], [1.0, -0.1, 0.0], [2.0, 0.1, 0.0], [3.0, -0.1, 0.0]])
    >>> bool(np.ptp(smooth(line, 4, dim=1)[:, 1]) < 0.15)
    True
    """
    array = check_points(points)
    if not 2 <= count <= len(array):
        raise ValueError(f"count must be from 2 to the {len(array)} points, got {count}")
    if array.shape[1] <= dim:
        return array
    means, planes, _ = _local_planes(array, count)
    axes = planes[:, :, -dim:]
    along = np.einsum("nij,ni->nj", axes, array - means)
    return means + np.einsum("nij,nj->ni", axes, along)


def _local_planes(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, principal axes (columns, the last the widest) and variances of each point's nearest points."""
    _, indices = neighbors(points, count)
    means = np.stack([points[column] for column in indices.T]).mean(axis=0)
    covariances = np.zeros((len(points), points.shape[1], points.shape[1]))
    for column in indices.T:
        centered = points[column] - means
        covariances += centered[:, :, None] * centered[:, None, :]
    variances, axes = np.linalg.eigh(covariances / count)
    return means, axes, variances


def geodesic_distances(points: Any, sources: np.ndarray, count: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of shortest paths over the graph that joins each point to its nearest ones.

    Pieces that no path joins are linked by the shortest edges between them, each to its nearest, until there is one.

    Args:
        points: (n, k).
        sources: (m,) indices.
        count: how many nearest points, from 1 to n - 1.

    Returns:
        (m, m) distances between the sources, and (n,) those of each point to the nearest source.

    Reference: Tenenbaum, de Silva and Langford, https://doi.org/10.1126/science.290.5500.2319

    >>> steps = np.arange(5.0)[:, None]
    >>> geodesic_distances(steps, np.array([0, 4]), count=1)[0]
    array([[0., 4.],
           [4., 0.]])
    """
    array = check_points(points)
    size = len(array)
    if not 1 <= count < size:
        raise ValueError(f"count must be from 1 to one less than the {size} points, got {count}")
    lengths, indices = neighbors(array, count + 1)
    # A graph cannot tell an edge of length 0 from none.
    lengths = np.maximum(lengths[:, 1:], np.finfo(float).tiny)
    rows = np.repeat(np.arange(size), count)
    graph = _linked(csr_array((lengths.ravel(), (rows, indices[:, 1:].ravel())), (size, size)), array)
    paths = dijkstra(graph, directed=False, indices=sources)
    between = paths[:, sources]
    return (between + between.T) / 2, paths.min(axis=0)


def _linked(graph: csr_array, points: np.ndarray) -> csr_array:
    """The graph with the shortest edge from each piece to another one added, until it is in one piece."""
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


def stretch(points: Float[np.ndarray, "n k"], count: int = 60) -> float:
    """Median over pairs of landmarks of the ratio of the distance along the sheet to the straight one: 1 if it is flat.

    Args:
        points: (n, k), n > 15.
        count: how many landmarks.
    """
    sources = np.unique(np.linspace(0, len(points) - 1, count).astype(int))
    along, _ = geodesic_distances(points, sources)
    straight = cdist(points[sources], points[sources])
    apart = straight > 0
    return float(np.median(along[apart] / straight[apart])) if apart.any() else 1.0


def neighbor_dimension(points: Any, count: int = 20) -> float:
    """d = (psi(2 c) - psi(c)) / mean log(r_2c / r_c), r_j the distance to the j-th neighbor, psi digamma.

    With c = 1 it is TwoNN; a larger c looks beyond noise that is smaller than r_c.

    Args:
        points: (n, k), n > 2 count.
        count: c, >= 1.

    Returns:
        The dimension; NaN if every distance is the same.

    Raises:
        ValueError: for too few points.

    Reference: Facco et al., https://doi.org/10.1038/s41598-017-11873-y; Denti et al., https://doi.org/10.1038/s41598-022-20991-1

    >>> plane = np.random.default_rng(0).uniform(size=(2000, 2)) @ np.ones((2, 5))
    >>> round(neighbor_dimension(plane), 1)
    1.0
    """
    array = check_points(points)
    if len(array) <= 2 * count:
        raise ValueError(f"points: {len(array)} are too few for {2 * count} neighbors")
    distances, _ = neighbors(array, 2 * count + 1)
    near, far = distances[:, count], distances[:, 2 * count]
    used = near > 0
    mean = np.log(far[used] / near[used]).mean() if used.any() else 0.0
    return float((digamma(2 * count) - digamma(count)) / mean) if mean > 0 else float("nan")


def plane_dimension(points: Any, count: int = 40) -> float:
    """mean over points of (sum v)^2 / sum v^2, v the variances of the nearest points along their principal axes.

    Args:
        points: (n, k).
        count: how many nearest points, from 2 to n.

    Returns:
        The dimension, between 1 and k; NaN if all points are the same.

    Reference: the participation ratio, local as in Fukunaga and Olsen, https://doi.org/10.1109/T-C.1971.223208

    >>> plane = np.random.default_rng(0).uniform(size=(500, 1)) @ np.ones((1, 5))
    >>> round(plane_dimension(plane), 2)
    1.0
    """
    array = check_points(points)
    if not 2 <= count <= len(array):
        raise ValueError(f"count must be from 2 to the {len(array)} points, got {count}")
    _, _, variances = _local_planes(array, count)
    variances = np.maximum(variances, 0.0)
    spread = variances.sum(axis=1) > 0
    ratios = variances[spread].sum(axis=1) ** 2 / (variances[spread] ** 2).sum(axis=1)
    return float(ratios.mean()) if spread.any() else float("nan")
