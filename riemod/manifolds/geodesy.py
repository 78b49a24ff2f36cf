"""Geodesic distances, geodesics and Frechet means of points by geomstats, for analysis and figures.

The penalty computes distances by `Manifold.squared_distance`, which is differentiable and takes tiles.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from riemod._arrays import check_array
from riemod._checks import check_integer, check_type
from riemod._machine import check_fits
from riemod.manifolds import _geomstats
from riemod.manifolds.base import Manifold

__all__ = ["frechet_means", "geodesic_distances", "geodesics"]

_MOST_STEPS = 60
_LEAST_STRIDE = 1e-3
# Pairs of points whose distances are computed at once.
_PAIRS = 1 << 18


def geodesic_distances(points: Float[Tensor, "n k"], manifold: Manifold) -> Float[np.ndarray, "n n"]:
    """Compute d(x_i, x_j) of all pairs with geomstats, one row for each unit.

    Takes O(n^2) memory, and about 1 s for n = 2,000 points of a torus.

    Args:
        points: (n, coordinate_dim).
        manifold: of the points.

    Returns:
        (n, n), float64, symmetric with zeros on the diagonal, in the manifold's unit of length. geomstats' arccosines
        are exact to about 1e-7 of it.

    Raises:
        TypeError: if the points are not a floating-point tensor, or the manifold does not define `make_space` and
            `to_space`.
        ValueError: if they are not points of the manifold.

    >>> from riemod.manifolds import Torus
    >>> geodesic_distances(torch.tensor([[1.0], [9.0], [6.0]]), Torus(1)).round(6)
    array([[0., 2., 5.],
           [2., 0., 3.],
           [5., 3., 0.]])
    """
    check_type("manifold", manifold, Manifold, "a Manifold").check_points(points)
    check_fits("points", len(points), 8 * len(points) ** 2)
    if not len(points):
        return np.zeros((0, 0))
    array = manifold.to_space(points)
    distances = np.zeros((len(array), len(array)))
    first, second = np.triu_indices(len(array), 1)
    for start in range(0, len(first), _PAIRS):
        rows, columns = first[start : start + _PAIRS], second[start : start + _PAIRS]
        distances[rows, columns] = _geomstats.distance(manifold.space, array[rows], array[columns])
    return distances + distances.T


def geodesics(x: Float[Tensor, "n k"], y: Float[Tensor, "n k"], manifold: Manifold, steps: int) -> Tensor:
    """Compute points at equal distances along the shortest geodesic from each x_i to y_i with geomstats.

    Args:
        x: (n, coordinate_dim), points.
        y: (n, coordinate_dim), as many points as x.
        manifold: of the points.
        steps: number of points of each geodesic, both ends among them; >= 2.

    Returns:
        (n, steps, coordinate_dim), float64, on the CPU. Where there are several shortest geodesics, one of them.

    Raises:
        TypeError: if x or y is not a floating-point tensor, or the manifold does not define `make_space`,
            `to_space` and `from_space`.
        ValueError: if they do not hold the same number of points of the manifold, or steps is not an integer >= 2.

    >>> from riemod.manifolds import Torus
    >>> geodesics(torch.tensor([[9.0]]), torch.tensor([[1.0]]), Torus(1), 3).squeeze().round(decimals=6) % 10
    tensor([9., 0., 1.], dtype=torch.float64)
    """
    check_type("manifold", manifold, Manifold, "a Manifold").check_points(x, "x")
    manifold.check_points(y, "y")
    if x.shape != y.shape:
        raise ValueError(f"y must hold as many points as x, {len(x)}, got {len(y)}")
    check_fits("steps", check_integer("steps", steps, least=2), 8 * steps * max(1, x.numel()))
    times = np.linspace(0, 1, steps)
    if not len(x):
        return torch.empty(0, steps, manifold.coordinate_dim, dtype=torch.float64)
    found = _geomstats.geodesics(manifold.space, manifold.to_space(x), manifold.to_space(y), times)
    return manifold.from_space(found.reshape(len(x) * steps, -1)).unflatten(0, (len(x), steps))


def frechet_means(
    points: Float[Tensor, "b k"], weights: Float[Tensor, "n b"], manifold: Manifold
) -> Float[Tensor, "n k"]:
    """Find weighted Frechet means, argmin over x of sum_b w_b d(x, y_b)^2, with geomstats.

    The search for a mean starts at the best of the points and takes steps exp_x(sum_b w_b log_x y_b), which are halved
    where they do not help. It ends in the local minimum near that point. geomstats' own `FrechetMean` does not check
    its steps; on a torus it can end above where it began. Takes O((n + b) b) memory.

    Args:
        points: y, (b, coordinate_dim), b >= 1.
        weights: (n, b), finite, >= 0, with a positive sum in each row.
        manifold: of the points.

    Returns:
        (n, coordinate_dim), float64, on the CPU.

    Raises:
        TypeError: if the points are not a floating-point tensor, the weights are not numbers, or the manifold does not
            define `make_space`, `to_space` and `from_space`.
        ValueError: if they are not points of the manifold, or the weights are not as described.

    Reference: Karcher 1977, https://doi.org/10.1002/cpa.3160300502

    >>> from riemod.manifolds import Sphere
    >>> corners = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> frechet_means(corners, torch.tensor([[1.0, 1.0]]), Sphere(2)).square().round(decimals=6)
    tensor([[0.5000, 0.5000, 0.0000]], dtype=torch.float64)
    """
    check_type("manifold", manifold, Manifold, "a Manifold").check_points(points)
    if not len(points):
        raise ValueError("points must be at least one, got none")
    weights = torch.tensor(check_array("weights", weights, ("n", len(points))))
    total = weights.sum(1, keepdim=True)
    if not bool(weights.isfinite().all() and (weights >= 0).all() and (total > 0).all()):
        raise ValueError("weights must be finite and >= 0, with a positive sum in each row")
    if not len(weights):
        return torch.empty(0, manifold.coordinate_dim, dtype=torch.float64)
    weights, points = weights / total, points.detach().double().cpu()
    with torch.no_grad():
        start = points[(weights @ manifold.distance(points, points).square()).argmin(1)]
    found = _descended(manifold.space, manifold.to_space(start), manifold.to_space(points), weights.numpy())
    return manifold.from_space(found)


def _descended(space: Any, means: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Descend from the means (n, k), each with a stride of its own, which is halved where a step does not help."""
    means = means.copy()
    vectors, lengths = _geomstats.logarithms(space, means, points)
    pulls, costs = _weighted(weights, vectors), (weights * lengths**2).sum(1)
    strides, moving = np.ones(len(means)), np.arange(len(means))
    for _ in range(_MOST_STEPS):
        trials = _geomstats.exponentials(space, means[moving], strides[moving, None] * pulls[moving])
        vectors, lengths = _geomstats.logarithms(space, trials, points)
        remains = (weights[moving] * lengths**2).sum(1)
        better = remains < costs[moving]
        moved = moving[better]
        means[moved], costs[moved] = trials[better], remains[better]
        pulls[moved] = _weighted(weights[moved], vectors[better])
        strides[moving[~better]] /= 2
        moving = moving[strides[moving] >= _LEAST_STRIDE]
        if not len(moving):
            break
    return means


def _weighted(weights: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.einsum("nb,nbk->nk", weights, vectors)
