"""Correlations of distance matrices: how well two geometries of the same units agree.

Every test takes two square matrices of distances between the same n units in the same order. `distance_matrix`
makes one of learned points or of tuning curves, and `graph_distances` makes one of weights. `manifold_procrustes`
compares points on one manifold point by point.
"""

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import issparse
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

from riemod._arrays import check_distances, check_points
from riemod._checks import check_boolean, check_choice, check_generator, check_repeats, shown
from riemod._machine import check_fits
from riemod._statistics import rank_p_value
from riemod.manifolds import Manifold, geodesic_distances

__all__ = ["MantelTest", "distance_correlation", "distance_matrix", "mantel_test", "rank_correlation"]

Method = Literal["pearson", "spearman", "distance"]
Alternative = Literal["greater", "less", "two-sided"]
Square = Float[np.ndarray, "n n"]

# The unbiased estimate divides by n - 3, so it has no degree of freedom left for fewer units.
_FEWEST = 4


class MantelTest(NamedTuple):
    """Holds what `mantel_test` finds."""

    statistic: float
    """The correlation of the two matrices."""
    p_value: float
    """(1 + b) / (1 + m), where b of m relabelings reach the statistic."""


def distance_matrix(points: Any, metric: Manifold | Literal["euclidean", "correlation"] = "euclidean") -> Square:
    """Compute the distance of each pair of units: geodesic (by geomstats), |x_i - x_j|, or 1 - corr(x_i, x_j).

    Args:
        points: (n, k), one row a unit: points of the manifold, or tuning curves for "correlation".
        metric: the manifold of the points, "euclidean" or "correlation".

    Returns:
        (n, n), symmetric with zeros on the diagonal, in the manifold's unit of length; without unit for "correlation".

    Raises:
        ValueError: if the points hold NaN, have a wrong shape or are not on the manifold, the metric is unknown, or a
            row is constant, so that its correlation is undefined.

    Reference: scipy.spatial.distance.pdist,
    https://docs.scipy.org/doc/scipy/reference/generated/scipy.spatial.distance.pdist.html

    >>> distance_matrix([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], "correlation").round(6)
    array([[0., 2.],
           [2., 0.]])
    """
    array = check_points(points)
    if isinstance(metric, Manifold):
        return geodesic_distances(torch.from_numpy(array), metric)
    if not isinstance(metric, str) or metric not in ("euclidean", "correlation"):
        raise ValueError(f"metric must be a manifold, 'euclidean' or 'correlation', got {shown(metric)}")
    constant = np.ptp(array, axis=1) == 0
    if metric == "correlation" and constant.any():
        raise ValueError(
            f"points must have no constant rows for 'correlation', got {constant.sum()} of {len(array)}, the first of "
            f"them row {constant.argmax()}"
        )
    return np.maximum(squareform(pdist(array, metric)), 0.0)


def distance_correlation(first: Any, second: Any, *, bias_corrected: bool = True) -> float:
    """Estimate the squared distance correlation, R^2 = <A, B> / (|A| |B|), of two centered distance matrices A and B.

    The estimate of 2007 centers by A_ij = a_ij - a_i. - a_.j + a_.. with the means of rows, of columns and of all
    entries. It lies in [0, 1], and for independent units it is above 0, the more so the smaller n. The bias-corrected
    estimate of 2014 divides the sums of rows and columns by n - 2 and the sum of all entries by (n - 1)(n - 2), and
    sets the diagonal to 0 (U-centering). Its mean over independent units is near 0, and it can be negative. Both are
    1 for matrices that are equal up to scale.

    Args:
        first: (n, n), distances, n >= 4.
        second: (n, n), distances between the same units.
        bias_corrected: whether to take the bias-corrected estimate.

    Returns:
        The estimate.

    Raises:
        ValueError: if either is not a distance matrix, their sizes differ, n < 4, or one is constant after centering.

    Reference: Szekely, Rizzo and Bakirov 2007, https://doi.org/10.1214/009053607000000505; Szekely and Rizzo 2014,
    https://arxiv.org/abs/1310.2926

    >>> line = distance_matrix(np.arange(6.0)[:, None])
    >>> round(distance_correlation(line, 3 * line), 6)
    1.0
    """
    first, second = _pair(first, second)
    centered = _u_centered if check_boolean("bias_corrected", bias_corrected) else _double_centered
    return float(np.vdot(_unit(centered(first), "first"), _unit(centered(second), "second")))


def rank_correlation(first: Any, second: Any) -> float:
    """Compute Spearman's correlation of the n (n - 1) / 2 distances of two matrices; ties get their mean rank.

    Args:
        first: (n, n), distances, n >= 4.
        second: (n, n), distances between the same units.

    Returns:
        A number in [-1, 1]. Pairs are not independent; use `mantel_test` for a p-value.

    Raises:
        ValueError: as `distance_correlation`.

    Reference: https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.spearmanr.html

    >>> line = distance_matrix(np.arange(6.0)[:, None])
    >>> round(rank_correlation(line, line**2), 6)
    1.0
    """
    first, second = _pair(first, second)
    return float(np.vdot(_scores(first, "spearman", "first"), _scores(second, "spearman", "second")))


def mantel_test(
    first: Any,
    second: Any,
    *,
    permutations: int = 999,
    generator: torch.Generator | None = None,
    method: Method = "pearson",
    alternative: Alternative = "greater",
) -> MantelTest:
    """Test r = sum_{i<j} z(a_ij) z(b_ij) against its values after random relabelings of the units of the first matrix.

    z standardizes the distances ("pearson") or their ranks ("spearman"); "distance" takes the bias-corrected distance
    correlation instead. p = (1 + b) / (1 + m), where b of m uniform relabelings are at least as extreme as the data. If
    the units of one matrix are exchangeable, p <= alpha has a probability of at most alpha, whatever the distances are.
    Takes O(m n^2) time.

    Args:
        first: (n, n), distances, n >= 4.
        second: (n, n), distances between the same units.
        permutations: m, >= 1.
        generator: of the relabelings, on the CPU.
        method: the statistic.
        alternative: which statistics are extreme: large ones, small ones, or those of large absolute value.

    Returns:
        The statistic and its p-value.

    Raises:
        ValueError: as `distance_correlation`, or if method or alternative is unknown, or permutations < 1.

    Reference: Mantel 1967, https://pubmed.ncbi.nlm.nih.gov/6018555/; Phipson and Smyth 2010 (the count of 1),
    https://doi.org/10.2202/1544-6115.1585

    >>> line = distance_matrix(np.arange(8.0)[:, None])
    >>> mantel_test(line, line, permutations=99, generator=torch.Generator().manual_seed(0)).p_value
    0.01
    """
    first, second = _pair(first, second)
    check_generator(generator)
    check_fits("permutations", check_repeats("permutations", permutations), 8 * permutations)
    check_choice("method", method, get_args(Method))
    check_choice("alternative", alternative, get_args(Alternative))
    scores, others = _scores(first, method, "first"), _scores(second, method, "second")
    statistic = float(np.vdot(scores, others))
    drawn = np.empty(permutations)
    for index in range(permutations):
        order = torch.randperm(len(scores), generator=generator).numpy()
        drawn[index] = np.vdot(scores[np.ix_(order, order)], others)
    extreme = {"greater": drawn, "less": -drawn, "two-sided": np.abs(drawn)}[alternative]
    reached = {"greater": statistic, "less": -statistic, "two-sided": abs(statistic)}[alternative]
    return MantelTest(statistic, rank_p_value(reached, extreme))


def _pair(first: Any, second: Any) -> tuple[Square, Square]:
    for distances, name in ((first, "first"), (second, "second")):
        if issparse(distances):
            raise ValueError(f"{name} must be a dense matrix of distances, got a sparse one")
    first, second = check_distances(first, "first"), check_distances(second, "second")
    if first.shape != second.shape:
        raise ValueError(f"second must have as many units as first, {len(first)}, got {len(second)}")
    if len(first) < _FEWEST:
        raise ValueError(f"first must have at least {_FEWEST} units, got {len(first)}")
    return first, second


def _scores(distances: Square, method: Method, name: str) -> Square:
    """Return the matrix whose inner product with that of the other geometry is the statistic.

    Relabeling the units of the distances permutes its rows and columns.
    """
    if method == "distance":
        return _unit(_u_centered(distances), name)
    values = squareform(distances, checks=False)
    if np.ptp(values) == 0:
        raise ValueError(f"{name} must have distances that differ, got {values[0]:g} for all pairs")
    values = rankdata(values) if method == "spearman" else values
    return _unit(squareform(values - values.mean()), name)


def _unit(matrix: Square, name: str) -> Square:
    size = np.linalg.norm(matrix)
    if not size > 1e-12 * len(matrix):
        raise ValueError(f"{name} must not be constant after centering, got the norm {size:.3g}")
    return matrix / size


def _double_centered(distances: Square) -> Square:
    scaled = distances / max(distances.max(), np.finfo(float).tiny)
    means = scaled.mean(axis=0)
    return scaled - means - means[:, None] + means.mean()


def _u_centered(distances: Square) -> Square:
    n = len(distances)
    scaled = distances / max(distances.max(), np.finfo(float).tiny)
    sums = scaled.sum(axis=0)
    centered = scaled - (sums + sums[:, None]) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centered, 0.0)
    return centered
