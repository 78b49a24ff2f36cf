"""Persistent homology of points and distance matrices in degrees 0, 1 and 2, over a prime field.

A diagram is an (n, 2) array of births and deaths, in the unit of the distances; a class that never dies has death inf.
`persistence` returns one diagram a degree. gudhi collapses the edges of the Vietoris-Rips complex, which leaves every
diagram as it is, and ripser reduces what is left: on 250 landmarks of a noisy torus, cut at 0.6 of the enclosing
radius, about 0.1 s a prime on one core.
"""

import importlib
import math
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array, csr_array, issparse
from scipy.spatial.distance import cdist

from riemod._arrays import as_array, check_distances, check_points
from riemod._checks import check_prime

Diagram = Float[np.ndarray, "n 2"]
# What one call takes. 600 points of a Gaussian in R^3, 167,494 edges of which the collapse leaves 5,458, took a second
# on one core and 0.4 GiB; 16,333 collapsed edges of a torus in degree 2 another; 61,000 took more than a minute.
MOST_POINTS = 5000
MOST_EDGES = 200_000
MOST_COLLAPSED = {0: 200_000, 1: 200_000, 2: 20_000}


def library(name: str) -> Any:
    """An optional module, or an ImportError that says how to get it.

    Args:
        name: of the module.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        top = name.split(".")[0]
        raise ImportError(f"{top} is needed for this; pip install 'riemod[topology]' brings it") from error


def enclosing_radius(distances: Float[np.ndarray, "n n"]) -> float:
    """min_i max_j d(i, j): from here on the Rips complex is a cone, and nothing but its one component lives.

    Args:
        distances: (n, n).

    >>> enclosing_radius(np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]]))
    1.0
    """
    return float(distances.max(axis=1).min())


def landmarks(
    points: Any, count: int, *, start: int = 0, metric: Literal["euclidean", "precomputed"] = "euclidean"
) -> tuple[Int[np.ndarray, " m"], float]:
    """Max-min landmarks: each is the point that lies farthest from those before it. O(count n) time and memory O(n).

    Args:
        points: (n, k), or (n, n) distances if `metric` is "precomputed".
        count: how many, from 1 to n; fewer come back if so many points do not differ.
        start: index of the first.
        metric: what `points` is.

    Returns:
        Their indices in the order of choice, and the covering radius: no point is farther than that from a landmark,
        and no two landmarks are nearer than that.

    Raises:
        ValueError: for a count outside 1..n, a start outside 0..n-1, or values that are not finite.

    Reference: de Silva and Carlsson, https://doi.org/10.2312/SPBG/SPBG04/157-166

    >>> landmarks(np.array([[0.0], [1.0], [5.0], [9.0]]), 3)
    (array([0, 3, 2]), 1.0)
    """
    data = check_distances(points) if metric == "precomputed" else check_points(points)
    if not 1 <= count <= len(data):
        raise ValueError(f"count must be from 1 to the {len(data)} points, got {count}")
    if not 0 <= start < len(data):
        raise ValueError(f"start must be from 0 to {len(data) - 1}, got {start}")
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


def collapsed_edges(distances: Any, threshold: float) -> csr_array:
    """The edges up to a threshold with dominated edges removed or delayed: the same persistence, far fewer simplices.

    Args:
        distances: (n, n), symmetric, zero on the diagonal; or sparse, with infinity wherever it has no entry.
        threshold: edges longer than this are left out.

    Returns:
        A symmetric sparse matrix of edge lengths.

    Raises:
        ImportError: without gudhi.

    Reference: Boissonnat and Pritam, https://doi.org/10.4230/LIPIcs.SoCG.2020.19
    """
    gudhi = library("gudhi")
    size = distances.shape[0]
    if issparse(distances):
        tree, entries = gudhi.SimplexTree(), distances.tocoo()
        tree.insert_batch(np.arange(size)[None], np.zeros(size))
        kept = (entries.row < entries.col) & (entries.data <= threshold)
        tree.insert_batch(np.stack([entries.row[kept], entries.col[kept]]), entries.data[kept])
    else:
        tree = gudhi.SimplexTree.create_from_array(distances, max_filtration=threshold)
    tree.collapse_edges()
    edges = [(*simplex, length) for simplex, length in tree.get_filtration() if len(simplex) == 2]
    rows, columns, lengths = np.array(edges).reshape(-1, 3).T
    ends = np.concatenate([rows, columns]).astype(int), np.concatenate([columns, rows]).astype(int)
    return coo_array((np.concatenate([lengths, lengths]), ends), shape=(size, size)).tocsr()


def rips_diagrams(edges: csr_array, prime: int, max_dimension: int = 2) -> list[Diagram]:
    """The diagrams of the flag complex of an edge list, such as `collapsed_edges` gives.

    Args:
        edges: symmetric sparse matrix of edge lengths.
        prime: of the coefficients.
        max_dimension: highest degree.

    Raises:
        ImportError: without ripser.
    """
    found = library("ripser").ripser(edges, maxdim=max_dimension, coeff=prime, distance_matrix=True)["dgms"]
    return [np.asarray(diagram, dtype=float).reshape(-1, 2) for diagram in found]


def persistence(
    data: Any,
    *,
    metric: Literal["euclidean", "precomputed"] = "euclidean",
    prime: int = 2,
    max_dimension: int = 2,
    threshold: float | None = None,
    count: int | None = None,
) -> list[Diagram]:
    """Diagrams of the Vietoris-Rips filtration: a simplex enters at the length of its longest edge.

    Time and memory grow with the edges to the power of (max_dimension + 2) / 2 at worst; a call above `MOST_POINTS`,
    `MOST_EDGES` or, once edges are collapsed, `MOST_COLLAPSED` is refused.

    Args:
        data: (n, k) points, or (n, n) distances, dense or scipy sparse (what is missing is infinite).
        metric: "euclidean" for points, "precomputed" for distances.
        prime: coefficients are integers modulo this prime.
        max_dimension: highest degree: 0, 1 or 2.
        threshold: longest edge; the enclosing radius if None, beyond which nothing happens (sparse: the longest entry).
        count: use this many max-min landmarks only.

    Returns:
        One diagram a degree, from 0 on. What lives at the threshold has death inf.

    Raises:
        ValueError: for NaN or infinite values, distances that are not symmetric or not zero on the diagonal, a number
            that is no prime, or more edges than the budget.
        ImportError: without gudhi or ripser.

    Reference: Bauer, Ripser, https://doi.org/10.1007/s41468-021-00071-5

    >>> angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    >>> persistence(np.stack([np.cos(angle), np.sin(angle)], 1), max_dimension=1)[1].round(3)
    array([[0.518, 1.732]])
    """
    check_prime(prime)
    if max_dimension not in MOST_COLLAPSED:
        raise ValueError(f"max_dimension must be 0, 1 or 2, got {max_dimension!r}")
    if issparse(data):
        distances = check_distances(data)
        reach = float(distances.max()) if distances.nnz else 0.0
    else:
        points = check_distances(data) if metric == "precomputed" else check_points(data)
        if count is not None and count < len(points):
            chosen, _ = landmarks(points, count, metric=metric)
            points = points[np.ix_(chosen, chosen)] if metric == "precomputed" else points[chosen]
        if len(points) > MOST_POINTS:
            raise ValueError(f"data: {len(points)} points are more than {MOST_POINTS}; give a count of landmarks")
        distances = points if metric == "precomputed" else cdist(points, points)
        reach = enclosing_radius(distances)
    threshold = reach if threshold is None else float(threshold)
    joined: Any = distances.data if issparse(distances) else distances
    _check_budget(int((joined <= threshold).sum() - (0 if issparse(data) else len(joined))) // 2, MOST_EDGES, "edges")
    edges = collapsed_edges(distances, threshold)
    _check_budget(edges.nnz // 2, MOST_COLLAPSED[max_dimension], f"collapsed edges, in degree {max_dimension},")
    return rips_diagrams(edges, prime, max_dimension)


def _check_budget(found: int, most: int, what: str) -> None:
    if found > most:
        raise ValueError(f"data: {found} {what} are more than {most}; give a threshold, or a count of landmarks")


def alpha_persistence(points: Any, prime: int = 2) -> list[Diagram]:
    """Diagrams of the alpha complex, whose filtration value is the radius of the smallest empty ball, in R^2 or R^3.

    The alpha complex is the part of gudhi that links CGAL and is under the GPL; nothing else in riemod uses it. 4,096
    points in R^3 take about a second.

    Args:
        points: (n, 2) or (n, 3).
        prime: coefficients are integers modulo this prime.

    Returns:
        One diagram a degree, from 0 to k - 1, in the unit of the points.

    Raises:
        ValueError: for points of another dimension, values that are not finite, or a number that is no prime.
        ImportError: without gudhi.

    Reference: https://gudhi.inria.fr/python/latest/alpha_complex_user.html

    >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.1]])
    >>> [len(diagram) for diagram in alpha_persistence(square)]
    [4, 1]
    """
    array = check_points(points)
    if array.shape[1] not in (2, 3):
        raise ValueError(f"points must have 2 or 3 coordinates, got {array.shape[1]}")
    tree = library("gudhi").AlphaComplex(points=array).create_simplex_tree()
    tree.compute_persistence(homology_coeff_field=check_prime(prime))
    degrees = range(array.shape[1])
    return [np.sqrt(np.reshape(tree.persistence_intervals_in_dimension(k), (-1, 2))) for k in degrees]


def bottleneck_distance(first: Any, second: Any) -> float:
    """min over matchings of max over pairs of |x - y|_inf, unmatched points going to the diagonal.

    Args:
        first: (n, 2) diagram.
        second: (m, 2) diagram.

    Raises:
        ImportError: without gudhi.

    Reference: Kerber, Morozov and Nigmetov (Hera), https://doi.org/10.1145/3064175

    >>> bottleneck_distance([[0.0, 2.0]], [[0.0, 1.5]])
    0.5
    """
    return float(library("gudhi.hera").bottleneck_distance(_diagram(first), _diagram(second), 0.0))


def wasserstein_distance(first: Any, second: Any, order: float = 1.0) -> float:
    """(min over matchings of sum over pairs of |x - y|_inf^order)^(1/order), unmatched points going to the diagonal.

    Exact, by an assignment of n + m points: O((n + m)^3) time, a second at 1,000.

    Args:
        first: (n, 2) diagram.
        second: (m, 2) diagram.
        order: >= 1, finite.

    Returns:
        The distance; infinity if the numbers of classes that never die differ.

    Raises:
        ValueError: for an order below 1.

    Reference: Cohen-Steiner et al., https://doi.org/10.1007/s10208-010-9060-6

    >>> round(wasserstein_distance([[0.0, 2.0], [0.0, 0.2]], [[0.0, 1.5]]), 6)
    0.6
    """
    if not 1 <= order < np.inf:
        raise ValueError(f"order must be at least 1 and finite, got {order!r}")
    diagrams = _diagram(first), _diagram(second)
    births = [np.sort(diagram[np.isinf(diagram[:, 1]), 0]) for diagram in diagrams]
    if len(births[0]) != len(births[1]):
        return math.inf
    one, other = (diagram[np.isfinite(diagram[:, 1])] for diagram in diagrams)
    n, m = len(one), len(other)
    # Not by hera, whose auction need not end on diagrams that are nearly alike.
    costs = np.zeros((n + m, n + m))
    costs[:n, :m] = np.abs(one[:, None] - other).max(axis=2, initial=0.0)
    costs[:n, m:] = (one[:, 1:] - one[:, :1]) / 2
    costs[n:, :m] = (other[:, 1] - other[:, 0]) / 2
    costs **= order
    total = costs[linear_sum_assignment(costs)].sum() + (np.abs(births[0] - births[1]) ** order).sum()
    return float(total ** (1 / order))


def _diagram(diagram: Any) -> np.ndarray:
    array = as_array(diagram).reshape(-1, 2)
    if np.isnan(array).any() or (array[:, 0] > array[:, 1]).any():
        raise ValueError("a diagram must hold births and later deaths, without NaN")
    return array
