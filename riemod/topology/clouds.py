"""Point-cloud preprocessing: PCA, local-PCA denoising, graph geodesics, densest points, intrinsic dimension."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from riemod._arrays import check_indices, check_points
from riemod._checks import check_integer, shown
from riemod.topology._neighbors import neighborhood, participation_ratio, project, shortest_paths, two_nn


def principal_axes(points: Float[np.ndarray, "n k"], components: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean and the first principal axes.

    Args:
        points: (n, k).
        components: how many axes. If k is not larger, the k coordinate axes are returned instead.

    Returns:
        The mean (k,) and the axes as columns (k, components).
    """
    mean = points.mean(axis=0)
    if points.shape[1] <= components:
        return mean, np.eye(points.shape[1])
    _, _, rows = np.linalg.svd(points - mean, full_matrices=False)
    axes = rows[:components]
    # Rounding decides the sign of an axis; make its largest entry positive instead.
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1))
    return mean, (axes * signs).T


def apart(points: Float[np.ndarray, "n k"], jitter: float = 1e-4) -> np.ndarray:
    """Keep one point of each group whose points are joined by steps shorter than a jitter.

    Args:
        points: (n, k).
        jitter: as a share of the root mean square distance of points from their mean.
    """
    size = math.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean())
    pairs = KDTree(points).query_pairs(jitter * size, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(points), len(points)))
    _, group = connected_components(graph, directed=False)
    return points[np.sort(np.unique(group, return_index=True)[1])]


def scaled_coordinates(distances: Float[np.ndarray, "n n"], components: int) -> np.ndarray:
    """Compute coordinates whose Euclidean distances are closest to these, by classical scaling.

    Axes with an eigenvalue that is not positive, which any distances but Euclidean ones have, are left out.
    scikit-learn has a class for this from version 1.8 on, which makes NaN of such axes.

    Args:
        distances: (n, n).
        components: largest number of coordinates.

    Returns:
        (n, at most components).
    """
    squared = distances**2
    means = squared.mean(axis=0)
    values, vectors = np.linalg.eigh((means + means[:, None] - means.mean() - squared) / 2)
    kept = [index for index in range(len(values) - 1, -1, -1) if values[index] > 1e-9 * values[-1]][:components]
    return vectors[:, kept] * np.sqrt(values[kept])


def densest(points: Any, share: float = 0.7, count: int = 20) -> Int[np.ndarray, " m"]:
    """Keep the densest points: those with the smallest distance to their `count`-th neighbor.

    This leaves out outliers and sparse regions. If the manifold itself is sampled unevenly, its sparse regions are left
    out as well, and the holes that remain are not holes of the manifold.

    Args:
        points: (n, k).
        share: of the points that are kept, in (0, 1]; their number is rounded up.
        count: which neighbor, from 1 to n - 1.

    Returns:
        (m,) indices, ascending.

    Raises:
        ValueError: if a number is outside its range, or points are not finite.

    Reference: the k-codensity of Carlsson, Ishkhanov, de Silva and Zomorodian, https://doi.org/10.1007/s11263-007-0056-x

    >>> densest(np.array([[0.0], [0.1], [5.0], [0.2]]), 0.75, count=1)
    array([0, 1, 3])
    """
    array = check_points(points)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {shown(share)}")
    check_integer("count", count, 1, len(array) - 1)
    reach = neighborhood(array, count + 1).distances[:, -1]
    return np.sort(np.argsort(reach, kind="stable")[: math.ceil(share * len(array) - 1e-9)])


def local_pca_projection(points: Any, count: int = 20, dim: int = 2) -> Float[np.ndarray, "n k"]:
    """Project each point onto the plane through its nearest points, x -> m + T T'(x - m), to remove normal noise.

    m is the mean of the `count` nearest points and T their first `dim` principal axes. Replacing points by local means
    would pull them into clumps, whose gaps look like loops; the projection moves points only off the plane, not
    along it. Takes O(n^2 k + n k^3) time and O(n k^2) memory.

    Args:
        points: (n, k).
        count: how many nearest points, from 2 to n.
        dim: of the plane. If it is k or more, nothing changes.

    Returns:
        (n, k).

    Raises:
        ValueError: if the count is outside 2..n, or points are not finite.

    Reference: one step of Zhang and Zha, https://doi.org/10.1137/S1064827502419154

    >>> line = np.array([[0.0, 0.1, 0.0], [1.0, -0.1, 0.0], [2.0, 0.1, 0.0], [3.0, -0.1, 0.0]])
    >>> bool(np.ptp(local_pca_projection(line, 4, dim=1)[:, 1]) < 0.15)
    True
    """
    array = check_points(points)
    check_integer("count", count, 2, len(array))
    check_integer("dim", dim, 1)
    return array if array.shape[1] <= dim else project(neighborhood(array, count), dim)


def geodesic_distances(points: Any, sources: np.ndarray, count: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """Measure shortest paths over the graph that joins each point to its nearest points.

    If the graph has several pieces, the shortest edge from each piece to another is added until it has one.

    Args:
        points: (n, k).
        sources: (m,) indices.
        count: how many nearest points, from 1 to n - 1.

    Returns:
        (m, m) distances between the sources, and (n,) the distance of each point to the nearest source.

    Raises:
        ValueError: if the count is outside 1..n - 1, or points are not finite.

    Reference: Tenenbaum, de Silva and Langford, https://doi.org/10.1126/science.290.5500.2319

    >>> steps = np.arange(5.0)[:, None]
    >>> geodesic_distances(steps, np.array([0, 4]), count=1)[0]
    array([[0., 4.],
           [4., 0.]])
    """
    array = check_points(points)
    check_integer("count", count, 1, len(array) - 1)
    return shortest_paths(neighborhood(array, count + 1), check_indices("sources", sources, len(array)))


def two_nn_dimension(points: Any, count: int = 20) -> float:
    """Estimate the dimension d = (psi(2 c) - psi(c)) / mean log(r_2c / r_c) from distances to neighbors.

    r_j is the distance to the j-th neighbor and psi the digamma function. With c = 1 this is TwoNN; with a larger c the
    estimate ignores noise that is smaller than r_c.

    Args:
        points: (n, k), n > 2 count.
        count: c, >= 1.

    Returns:
        The dimension; NaN if all distances are equal.

    Raises:
        ValueError: if there are too few points, or they are not finite.

    Reference: Facco et al., https://doi.org/10.1038/s41598-017-11873-y; Denti et al., https://doi.org/10.1038/s41598-022-20991-1

    >>> plane = np.random.default_rng(0).uniform(size=(2000, 2)) @ np.ones((2, 5))
    >>> round(two_nn_dimension(plane), 1)
    1.0
    """
    array = check_points(points)
    check_integer("count", count, 1)
    if len(array) <= 2 * count:
        raise ValueError(f"points must be more than {2 * count} for a count of {count}, got {len(array)}")
    return two_nn(neighborhood(array, 2 * count + 1))


def local_pca_dimension(points: Any, count: int = 40) -> float:
    """Estimate the dimension as the mean over points of (sum v)^2 / sum v^2.

    v are the variances of the nearest points along their principal axes.

    Args:
        points: (n, k).
        count: how many nearest points, from 2 to n.

    Returns:
        The dimension, between 1 and k; NaN if all points are equal.

    Raises:
        ValueError: if the count is outside 2..n, or points are not finite.

    Reference: the participation ratio, local as in Fukunaga and Olsen, https://doi.org/10.1109/T-C.1971.223208

    >>> plane = np.random.default_rng(0).uniform(size=(500, 1)) @ np.ones((1, 5))
    >>> round(local_pca_dimension(plane), 2)
    1.0
    """
    array = check_points(points)
    check_integer("count", count, 2, len(array))
    return participation_ratio(neighborhood(array, count))
