"""How well geometries agree: of learned points, of tuning curves and of the weight graph, unit by unit.

Every function takes two square matrices of distances between the same n units in the same order. `distance_matrix`
makes one of points or of tuning curves, `riemod.alignment.distances` one of weights. Points on one manifold are
compared point by point by `riemod.alignment.procrustes`.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import issparse
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

from riemod._arrays import check_distances, check_points
from riemod._statistics import rank_p_value
from riemod.manifolds import Manifold

__all__ = ["MantelTest", "distance_correlation", "distance_matrix", "mantel_test", "rank_correlation"]

Method = Literal["pearson", "spearman", "distance"]
Alternative = Literal["greater", "less", "two-sided"]
Square = Float[np.ndarray, "n n"]

# Fewer units leave the unbiased estimate without a degree of freedom: it divides by n - 3.
_FEWEST = 4


class MantelTest(NamedTuple):
    """What `mantel_test` found."""

    statistic: float
    """The correlation of the two matrices."""
    p_value: float
    """(1 + b) / (1 + m): b of m relabelings reached the statistic."""


def distance_matrix(points: Any, metric: Manifold | Literal["euclidean", "correlation"] = "euclidean") -> Square:
    """d(x_i, x_j): geodesic, |x_i - x_j|, or 1 - corr(x_i, x_j).

    Args:
        points: (n, k), one row a unit: points of the manifold, or tuning curves for "correlation".
        metric: the manifold of the points, "euclidean" or "correlation".

    Returns:
        (n, n), symmetric with zeros on the diagonal, in the manifold's unit of length; without unit for "correlation".

    Raises:
        ValueError: for NaN, a wrong shape, points off the manifold, an unknown metric, or a constant row, which
            correlates with nothing.

    Reference: scipy.spatial.distance.pdist,
    https://docs.scipy.org/doc/scipy/reference/generated/scipy.spatial.distance.pdist.html

    >>> distance_matrix([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], "correlation").round(6)
    array([[0., 2.],
           [2., 0.]])
    """
    array = check_points(points)
    if isinstance(metric, Manifold):
        tensor = torch.from_numpy(array)
        return metric.distance(tensor, tensor).detach().numpy()
    if metric not in ("euclidean", "correlation"):
        raise ValueError(f"metric must be a manifold, 'euclidean' or 'correlation', got {metric!r}")
    constant = np.ptp(array, axis=1) == 0
    if metric == "correlation" and constant.any():
        raise ValueError(
            f"points: {constant.sum()} of {len(array)} rows are constant, the first of them row {constant.argmax()}; "
            "they correlate with nothing"
        )
    return np.maximum(squareform(pdist(array, metric)), 0.0)


def distance_correlation(first: Any, second: Any, *, bias_corrected: bool = True) -> float:
    """R^2 = <A, B> / (|A| |B|), with A and B the two distance matrices after centring.

    A_ij = a_ij - a_i. - a_.j + a_.. with means over rows, columns and all: the square of the distance correlation of
    2007, in [0, 1], which grows with n -> small even for independent units. Bias-corrected (U-centered, 2014), the sums
    of rows and columns are divided by n - 2, that of all by (n - 1)(n - 2), and the diagonal is 0: its mean over
    independent units is near 0, and it can be negative. 1 for matrices that are equal up to scale.

    Args:
        first: (n, n), distances, n >= 4.
        second: (n, n), distances between the same units.
        bias_corrected: which of the two.

    Returns:
        The estimate of the squared distance correlation.

    Raises:
        ValueError: if either is not a matrix of distances, their sizes differ, n < 4, or one is constant after
            centring.

    Reference: Szekely, Rizzo and Bakirov 2007, https://doi.org/10.1214/009053607000000505; Szekely and Rizzo 2014,
    https://arxiv.org/abs/1310.2926

    >>> line = distance_matrix(np.arange(6.0)[:, None])
    >>> round(distance_correlation(line, 3 * line), 6)
    1.0
    """
    first, second = _pair(first, second)
    centered = _u_centered if bias_corrected else _double_centered
    return float(np.vdot(_unit(centered(first), "first"), _unit(centered(second), "second")))


def rank_correlation(first: Any, second: Any) -> float:
    """Spearman's correlation of the n (n - 1) / 2 distances of one matrix with those of the other; ties share ranks.

    Args:
        first: (n, n), distances, n >= 4.
        second: (n, n), distances between the same units.

    Returns:
        In [-1, 1]. The pairs are not independent: a p-value is `mantel_test`'s.

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
    """r = sum_{i<j} z(a_ij) z(b_ij), compared with the same after relabeling the units of the first matrix.

    z standardizes the distances ("pearson") or their ranks ("spearman"); "distance" takes the bias-corrected
    distance correlation. p = (1 + b) / (1 + m), with b of m uniform random relabelings as extreme as the data: at most
    alpha in a share alpha of cases if the units of one matrix are exchangeable, whatever the distances. Takes O(m n^2)
    time.

    Args:
        first: (n, n), distances, n >= 4.
        second: (n, n), distances between the same units.
        permutations: m, >= 1.
        generator: of the relabelings, on the CPU.
        method: the statistic.
        alternative: which statistics are extreme: large ones, small ones, or those of large absolute value.

    Returns:
        statistic and p_value.

    Raises:
        ValueError: as `distance_correlation`, or for an unknown method or alternative or permutations < 1.

    Reference: Mantel 1967, https://pubmed.ncbi.nlm.nih.gov/6018555/; Phipson and Smyth 2010 (the count of 1),
    https://doi.org/10.2202/1544-6115.1585

    >>> line = distance_matrix(np.arange(8.0)[:, None])
    >>> mantel_test(line, line, permutations=99, generator=torch.Generator().manual_seed(0)).p_value
    0.01
    """
    first, second = _pair(first, second)
    check_permutations(permutations, 1)
    if method not in ("pearson", "spearman", "distance"):
        raise ValueError(f"method must be 'pearson', 'spearman' or 'distance', got {method!r}")
    if alternative not in ("greater", "less", "two-sided"):
        raise ValueError(f"alternative must be 'greater', 'less' or 'two-sided', got {alternative!r}")
    scores, others = _scores(first, method, "first"), _scores(second, method, "second")
    statistic = float(np.vdot(scores, others))
    drawn = np.empty(permutations)
    for index in range(permutations):
        order = torch.randperm(len(scores), generator=generator).numpy()
        drawn[index] = np.vdot(scores[np.ix_(order, order)], others)
    extreme = {"greater": drawn, "less": -drawn, "two-sided": np.abs(drawn)}[alternative]
    reached = {"greater": statistic, "less": -statistic, "two-sided": abs(statistic)}[alternative]
    return MantelTest(statistic, rank_p_value(reached, extreme))


def check_permutations(permutations: int, least: int) -> None:
    """Raise ValueError unless it is an integer >= least."""
    if isinstance(permutations, bool) or not isinstance(permutations, int) or permutations < least:
        raise ValueError(f"permutations must be an integer >= {least}, got {permutations!r}")


def _pair(first: Any, second: Any) -> tuple[Square, Square]:
    for distances, name in ((first, "first"), (second, "second")):
        if issparse(distances):
            raise ValueError(f"{name} must be a dense matrix of distances, got a sparse one")
    first, second = check_distances(first, "first"), check_distances(second, "second")
    if first.shape != second.shape:
        raise ValueError(f"second must be of as many units as first, {len(first)}, got {len(second)}")
    if len(first) < _FEWEST:
        raise ValueError(f"first must be of at least {_FEWEST} units, got {len(first)}")
    return first, second


def _scores(distances: Square, method: Method, name: str) -> Square:
    """A matrix whose inner product with another such is the statistic, and which permutes as the distances do."""
    if method == "distance":
        return _unit(_u_centered(distances), name)
    values = squareform(distances, checks=False)
    if np.ptp(values) == 0:
        raise ValueError(f"{name}: all its distances are equal, so nothing correlates with them")
    values = rankdata(values) if method == "spearman" else values
    return _unit(squareform(values - values.mean()), name)


def _unit(matrix: Square, name: str) -> Square:
    size = np.linalg.norm(matrix)
    if not size > 1e-12 * len(matrix):
        raise ValueError(f"{name}: its distances are constant after centring, so nothing correlates with them")
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
