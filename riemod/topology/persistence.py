"""Persistent homology of points and distance matrices in degrees 0, 1 and 2, over a prime field.

A diagram is an (n, 2) array of births and deaths, in the unit of the distances; a class that never dies has death inf.
`persistence` returns one diagram for each degree. gudhi collapses the edges of the Vietoris-Rips complex, which changes
no diagram, and ripser computes the diagrams of the result. For 250 landmarks of a noisy torus, cut at 0.6 of the
enclosing radius, this takes about 0.1 s for each prime on one core.
"""

import importlib
import math
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array, csr_array, issparse
from scipy.spatial.distance import cdist

from riemod._arrays import as_array, check_distances, check_points
from riemod._checks import check_at_least, check_choice, check_integer, check_number, check_prime
from riemod.topology.landmarks import max_min

Diagram = Float[np.ndarray, "n 2"]
# Limits of one call. 600 points of a Gaussian in R^3 have 167,494 edges, of which the collapse leaves 5,458; this took
# a second on one core and 0.4 GiB. 16,333 collapsed edges of a torus in degree 2 also took a second, and 61,000 took
# more than a minute.
MOST_POINTS = 5000
MOST_EDGES = 200_000
MOST_COLLAPSED = {0: 200_000, 1: 200_000, 2: 20_000}


def library(name: str) -> Any:
    """Import an optional module, or raise an ImportError that says how to install it.

    Args:
        name: of the module.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        top = name.split(".")[0]
        raise ImportError(f"{top} is needed for this; pip install 'riemod[topology]' installs it") from error


def enclosing_radius(distances: Float[np.ndarray, "n n"]) -> float:
    """Return min_i max_j d(i, j): at larger scales the Rips complex is a cone, and only one component remains.

    Args:
        distances: (n, n).

    >>> enclosing_radius(np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]]))
    1.0
    """
    return float(distances.max(axis=1).min())


def collapsed_edges(distances: Any, threshold: float) -> csr_array:
    """Remove or delay dominated edges up to a threshold; the persistence is the same, with far fewer simplices.

    Args:
        distances: (n, n), symmetric, zero on the diagonal; or sparse, where a missing entry means infinity.
        threshold: edges longer than this are left out.

    Returns:
        A symmetric sparse matrix of edge lengths.

    Raises:
        ImportError: without gudhi.

    Reference: Boissonnat and Pritam, https://doi.org/10.4230/LIPIcs.SoCG.2020.19
    """
    if issparse(distances):
        entries = distances.tocoo()
        kept = (entries.row < entries.col) & (entries.data <= threshold)
        rows, columns, lengths = entries.row[kept], entries.col[kept], entries.data[kept]
    else:
        rows, columns = np.nonzero(np.triu(distances <= threshold, 1))
        lengths = distances[rows, columns]
    graph = coo_array((lengths, (rows, columns)), shape=distances.shape)
    left = library("gudhi.flag_filtration.edge_collapse").reduce_graph(graph)
    ends = np.concatenate([left.row, left.col]), np.concatenate([left.col, left.row])
    return coo_array((np.concatenate([left.data, left.data]), ends), shape=left.shape).tocsr()


def rips_diagrams(edges: csr_array, prime: int, max_dimension: int = 2) -> list[Diagram]:
    """Compute the diagrams of the flag complex of a graph, such as `collapsed_edges` returns.

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
    """Compute the diagrams of the Vietoris-Rips filtration, in which a simplex appears at its longest edge's length.

    Time and memory grow with the number of edges to the power of (max_dimension + 2) / 2 at worst. Data with more than
    `MOST_POINTS` points, `MOST_EDGES` edges or `MOST_COLLAPSED` collapsed edges are refused.

    Args:
        data: (n, k) points, or (n, n) distances, dense or scipy sparse (a missing entry means infinity).
        metric: "euclidean" for points, "precomputed" for distances. Sparse data are always distances.
        prime: coefficients are integers modulo this prime.
        max_dimension: highest degree: 0, 1 or 2.
        threshold: longest edge. If None, the enclosing radius, beyond which diagrams do not change, or the longest
            entry of sparse distances.
        count: if given, use only this many max-min landmarks of dense data.

    Returns:
        One diagram for each degree, from 0 on. A class that lives at the threshold has death inf.

    Raises:
        ValueError: for NaN or infinite values, distances that are not symmetric or not zero on the diagonal, an
            argument outside its range, or more points or edges than the limits.
        ImportError: without gudhi or ripser.

    Reference: Bauer, Ripser, https://doi.org/10.1007/s41468-021-00071-5

    >>> angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    >>> persistence(np.stack([np.cos(angle), np.sin(angle)], 1), max_dimension=1)[1].round(3)
    array([[0.518, 1.732]])
    """
    check_prime(prime)
    check_choice("metric", metric, ("euclidean", "precomputed"))
    check_integer("max_dimension", max_dimension, 0, 2)
    if issparse(data):
        distances = check_distances(data, "data")
        reach = float(distances.max()) if distances.nnz else 0.0
    else:
        points = check_distances(data, "data") if metric == "precomputed" else check_points(data, "data")
        if count is not None and check_integer("count", count, 1) < len(points):
            chosen, _ = max_min(points, count, 0, metric)
            points = points[np.ix_(chosen, chosen)] if metric == "precomputed" else points[chosen]
        if len(points) > MOST_POINTS:
            raise ValueError(
                f"data must have at most {MOST_POINTS} points, got {len(points)}; give a count of landmarks"
            )
        distances = points if metric == "precomputed" else cdist(points, points)
        reach = enclosing_radius(distances)
    threshold = reach if threshold is None else check_number("threshold", threshold)
    joined: Any = distances.data if issparse(distances) else distances
    advice = "give a threshold, or a count of landmarks" if count is None else "give a threshold, or a smaller count"
    number = int((joined <= threshold).sum() - (0 if issparse(data) else len(joined))) // 2
    _check_budget(number, MOST_EDGES, "edges", advice)
    edges = collapsed_edges(distances, threshold)
    what = f"collapsed edges in degree {max_dimension}"
    _check_budget(edges.nnz // 2, MOST_COLLAPSED[max_dimension], what, advice)
    return rips_diagrams(edges, prime, max_dimension)


def _check_budget(found: int, most: int, what: str, advice: str) -> None:
    if found > most:
        raise ValueError(f"data must have at most {most} {what}, got {found}; {advice}")


def alpha_persistence(points: Any, prime: int = 2) -> list[Diagram]:
    """Compute the diagrams of the alpha complex of points in R^2 or R^3; a filtration value is an empty ball's radius.

    The alpha complex is the part of gudhi that links CGAL and is under the GPL; nothing else in riemod uses it. 4,096
    points in R^3 take about a second.

    Args:
        points: (n, 2) or (n, 3).
        prime: coefficients are integers modulo this prime.

    Returns:
        One diagram for each degree, from 0 to k - 1, in the unit of the points.

    Raises:
        ValueError: for points of another dimension, values that are not finite, or a number that is not a prime.
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
    """Compute the minimum over matchings of the maximum over pairs of |x - y|_inf.

    A point without a partner is matched with the diagonal.

    Args:
        first: (n, 2) diagram.
        second: (m, 2) diagram.

    Raises:
        ImportError: without gudhi.

    Reference: Kerber, Morozov and Nigmetov (Hera), https://doi.org/10.1145/3064175

    >>> bottleneck_distance([[0.0, 2.0]], [[0.0, 1.5]])
    0.5
    """
    return float(library("gudhi.hera").bottleneck_distance(_diagram("first", first), _diagram("second", second), 0.0))


def wasserstein_distance(first: Any, second: Any, order: float = 1.0) -> float:
    """Compute (minimum over matchings of the sum over pairs of |x - y|_inf^order)^(1/order).

    A point without a partner is matched with the diagonal. The result is exact, by an assignment of n + m points, which
    takes O((n + m)^3) time, a second for 1,000 points.

    Args:
        first: (n, 2) diagram.
        second: (m, 2) diagram.
        order: >= 1, finite.

    Returns:
        The distance; infinity if the diagrams have different numbers of classes that never die.

    Raises:
        ValueError: for an order below 1.

    Reference: Cohen-Steiner et al., https://doi.org/10.1007/s10208-010-9060-6

    >>> round(wasserstein_distance([[0.0, 2.0], [0.0, 0.2]], [[0.0, 1.5]]), 6)
    0.6
    """
    check_at_least("order", order, 1)
    diagrams = _diagram("first", first), _diagram("second", second)
    births = [np.sort(diagram[np.isinf(diagram[:, 1]), 0]) for diagram in diagrams]
    if len(births[0]) != len(births[1]):
        return math.inf
    one, other = (diagram[np.isfinite(diagram[:, 1])] for diagram in diagrams)
    n, m = len(one), len(other)
    # hera's auction may not terminate on diagrams that are nearly alike, so it is not used here.
    costs = np.zeros((n + m, n + m))
    costs[:n, :m] = np.abs(one[:, None] - other).max(axis=2, initial=0.0)
    costs[:n, m:] = (one[:, 1:] - one[:, :1]) / 2
    costs[n:, :m] = (other[:, 1] - other[:, 0]) / 2
    costs **= order
    total = costs[linear_sum_assignment(costs)].sum() + (np.abs(births[0] - births[1]) ** order).sum()
    return float(total ** (1 / order))


def _diagram(name: str, diagram: Any) -> np.ndarray:
    array = as_array(diagram, name)
    if array.size == 0:
        return np.empty((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"{name} must be a diagram (n, 2), got the shape {array.shape}")
    if np.isnan(array).any() or np.isinf(array[:, 0]).any() or (array[:, 0] > array[:, 1]).any():
        raise ValueError(f"{name} must be a diagram of finite births and later deaths, without NaN")
    return array
