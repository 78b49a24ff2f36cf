"""Data without the shape in question, to compare the lengths of bars with. Each draw takes a torch.Generator.

A null keeps what says nothing about the manifold (spread, marginals, time course, degrees) and redraws the rest.
Untrained networks are a null as well: `ModuliRecovery(nulls=[function])` takes any function of the data and a
generator, such as one that returns the states of a freshly drawn net.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from riemod._arrays import as_array, check_points
from riemod._statistics import rank_p_value

__all__ = [
    "BY_NAME",
    "Null",
    "Points",
    "gaussian",
    "holm",
    "rank_p_value",
    "rewired",
    "rolled",
    "shuffled",
    "uniform_ball",
]

Points = Float[np.ndarray, "n k"]
Null = Callable[[Any, torch.Generator], Any]


def shuffled(points: Any, generator: torch.Generator) -> Points:
    """Each column in an order of its own: the marginals stay, what joins the columns goes.

    Args:
        points: (n, k).
        generator: of the draws.

    >>> shuffled([[1.0, 5.0], [2.0, 6.0]], torch.Generator().manual_seed(0)).sum(axis=0)
    array([ 3., 11.])
    """
    array = check_points(points)
    order = torch.rand(array.shape, generator=generator, dtype=torch.float64).argsort(dim=0).numpy()
    return np.take_along_axis(array, order, axis=0)


def rolled(points: Any, generator: torch.Generator) -> Points:
    """Each column rolled in time by an offset of its own: every unit keeps its time course.

    Args:
        points: (time, units), rows in the order of time, from one uninterrupted walk.
        generator: of the draws.

    >>> sorted(rolled([[1.0], [2.0], [3.0]], torch.Generator().manual_seed(0)).ravel().tolist())
    [1.0, 2.0, 3.0]
    """
    array = check_points(points)
    offsets = torch.randint(len(array), (array.shape[1],), generator=generator).numpy()
    return np.take_along_axis(array, (np.arange(len(array))[:, None] - offsets) % len(array), axis=0)


def gaussian(points: Any, generator: torch.Generator) -> Points:
    """A Gaussian with the mean and covariance of the points.

    Args:
        points: (n, k).
        generator: of the draws.

    >>> gaussian([[1.0, 2.0], [1.0, 4.0]], torch.Generator().manual_seed(0))[:, 0]
    array([1., 1.])
    """
    array = check_points(points)
    centered = array - array.mean(axis=0)
    _, scales, axes = np.linalg.svd(centered, full_matrices=False)
    drawn = torch.randn(len(array), len(scales), generator=generator, dtype=torch.float64).numpy()
    return array.mean(axis=0) + (drawn * scales / math.sqrt(max(len(array) - 1, 1))) @ axes


def uniform_ball(n: int, dim: int, generator: torch.Generator) -> Points:
    """Uniform points in the unit ball of a dimension: the bars that sampling alone makes.

    Args:
        n: how many.
        dim: of the ball, >= 1.
        generator: of the draws.

    >>> bool((np.linalg.norm(uniform_ball(9, 3, torch.Generator().manual_seed(0)), axis=1) <= 1).all())
    True
    """
    drawn = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    radius = torch.rand(n, 1, generator=generator, dtype=torch.float64) ** (1 / dim)
    return (radius * drawn / drawn.norm(dim=1, keepdim=True)).numpy()


def rewired(weight: Any, generator: torch.Generator, swaps: int = 10) -> Float[np.ndarray, "n n"]:
    """A random graph with the same degrees and the same weights: edges swap ends, then trade their weights.

    A swap takes edges a-b and c-d to a-d and c-b, unless that makes a loop or a double edge.

    Args:
        weight: (n, n) symmetric, zero where there is no edge; the diagonal is not looked at.
        generator: of the draws.
        swaps: attempts an edge.

    Returns:
        (n, n) symmetric, zero on the diagonal.

    Raises:
        ValueError: for a matrix that is not square, finite and symmetric.

    Reference: Maslov and Sneppen, https://doi.org/10.1126/science.1065103

    >>> ring = np.roll(np.eye(6), 1, 0) + np.roll(np.eye(6), -1, 0)
    >>> rewired(ring, torch.Generator().manual_seed(0)).sum(axis=0)
    array([2., 2., 2., 2., 2., 2.])
    """
    array = as_array(weight)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not np.isfinite(array).all():
        raise ValueError(f"weight must be a finite square matrix, got the shape {array.shape}")
    if not np.allclose(array, array.T):
        raise ValueError("weight must be symmetric; (|W| + |W'|) / 2 is")
    rows, columns = np.nonzero(np.triu(array, 1))
    edges = np.stack([rows, columns], axis=1).tolist()
    weights, count = array[rows, columns], len(rows)
    if count > 1:
        present = {tuple(edge) for edge in edges}
        picks = torch.randint(count, (swaps * count, 2), generator=generator).tolist()
        flips = torch.randint(2, (swaps * count,), generator=generator).tolist()
        for (first, second), flip in zip(picks, flips, strict=True):
            (a, b), (c, d) = edges[first], edges[second][:: 1 - 2 * flip]
            new = (min(a, d), max(a, d)), (min(c, b), max(c, b))
            if len({a, b, c, d}) == 4 and not present & set(new):
                present -= {tuple(edges[first]), tuple(edges[second])}
                present |= set(new)
                edges[first], edges[second] = list(new[0]), list(new[1])
    result = np.zeros_like(array)
    if count:
        ends = np.array(edges).T
        result[ends[0], ends[1]] = weights[torch.randperm(count, generator=generator).numpy()]
    return result + result.T


BY_NAME: Mapping[str, Null] = {"shuffled": shuffled, "rolled": rolled, "gaussian": gaussian}


def holm(p_values: Mapping[int, float]) -> dict[int, float]:
    """Holm's correction: the i-th smallest of m p-values times m - i + 1, never falling, at most 1.

    Args:
        p_values: by any key.

    Reference: https://www.jstor.org/stable/4615733

    >>> holm({1: 0.01, 2: 0.04})
    {1: 0.02, 2: 0.04}
    """
    corrected, largest = {}, 0.0
    for index, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, p_values[key] * (len(p_values) - index)))
        corrected[key] = largest
    return {key: corrected[key] for key in p_values}
