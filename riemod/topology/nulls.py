"""Null models: surrogate data without the manifold under test, whose bars are compared with those of the data.

A null keeps what says nothing about the manifold (spread, marginals, time course) and draws the rest anew from a
torch.Generator. `ModuliRecovery(nulls=[function])` takes any function of the data and a generator as a null, for
example one that returns the states of an untrained network.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from riemod._arrays import check_points
from riemod._checks import check_integer, check_type
from riemod._machine import check_fits
from riemod._statistics import holm, rank_p_value

__all__ = [
    "BY_NAME",
    "Null",
    "Points",
    "gaussian",
    "holm",
    "rank_p_value",
    "rolled",
    "shuffled",
    "uniform_ball",
    "uniform_sphere",
]

Points = Float[np.ndarray, "n k"]
Null = Callable[[Any, torch.Generator], Any]


def shuffled(points: Any, generator: torch.Generator) -> Points:
    """Permute each column independently; this keeps the marginals and removes the dependence between columns.

    Args:
        points: (n, k).
        generator: draws the permutations.

    >>> shuffled([[1.0, 5.0], [2.0, 6.0]], torch.Generator().manual_seed(0)).sum(axis=0)
    array([ 3., 11.])
    """
    array = check_points(points)
    check_type("generator", generator, torch.Generator, "a torch.Generator")
    order = torch.rand(array.shape, generator=generator, dtype=torch.float64).argsort(dim=0).numpy()
    return np.take_along_axis(array, order, axis=0)


def rolled(points: Any, generator: torch.Generator) -> Points:
    """Shift each column in time by a random offset, cyclically; every unit keeps its time course.

    Args:
        points: (time, units), rows in the order of time, from one uninterrupted walk.
        generator: draws the offsets.

    >>> sorted(rolled([[1.0], [2.0], [3.0]], torch.Generator().manual_seed(0)).ravel().tolist())
    [1.0, 2.0, 3.0]
    """
    array = check_points(points)
    check_type("generator", generator, torch.Generator, "a torch.Generator")
    offsets = torch.randint(len(array), (array.shape[1],), generator=generator).numpy()
    return np.take_along_axis(array, (np.arange(len(array))[:, None] - offsets) % len(array), axis=0)


def gaussian(points: Any, generator: torch.Generator) -> Points:
    """Draw from a Gaussian with the mean and covariance of the points.

    Args:
        points: (n, k).
        generator: draws the points.

    >>> gaussian([[1.0, 2.0], [1.0, 4.0]], torch.Generator().manual_seed(0))[:, 0]
    array([1., 1.])
    """
    array = check_points(points)
    check_type("generator", generator, torch.Generator, "a torch.Generator")
    centered = array - array.mean(axis=0)
    _, scales, axes = np.linalg.svd(centered, full_matrices=False)
    drawn = torch.randn(len(array), len(scales), generator=generator, dtype=torch.float64).numpy()
    return array.mean(axis=0) + (drawn * scales / math.sqrt(max(len(array) - 1, 1))) @ axes


def uniform_ball(n: int, dim: int, generator: torch.Generator) -> Points:
    """Draw uniformly from the unit ball; any bars of these points come from sampling.

    Args:
        n: how many points.
        dim: of the ball, >= 1.
        generator: draws the points.

    >>> bool((np.linalg.norm(uniform_ball(9, 3, torch.Generator().manual_seed(0)), axis=1) <= 1).all())
    True
    """
    check_integer("dim", dim, 1)
    check_fits("n", check_integer("n", n, 0), 8 * n * dim)
    check_type("generator", generator, torch.Generator, "a torch.Generator")
    drawn = torch.randn(n, dim, generator=generator, dtype=torch.float64)
    radius = torch.rand(n, 1, generator=generator, dtype=torch.float64) ** (1 / dim)
    return (radius * drawn / drawn.norm(dim=1, keepdim=True)).numpy()


def uniform_sphere(n: int, dim: int, generator: torch.Generator) -> Points:
    """Draw uniformly from the unit sphere S^dim in R^(dim + 1); it has no class of degree 1 to dim - 1.

    Args:
        n: how many points.
        dim: of the sphere, >= 1.
        generator: draws the points.

    >>> np.linalg.norm(uniform_sphere(2, 3, torch.Generator().manual_seed(0)), axis=1).round(6)
    array([1., 1.])
    """
    check_integer("dim", dim, 1)
    check_fits("n", check_integer("n", n, 0), 8 * n * (dim + 1))
    check_type("generator", generator, torch.Generator, "a torch.Generator")
    drawn = torch.randn(n, dim + 1, generator=generator, dtype=torch.float64)
    return (drawn / drawn.norm(dim=1, keepdim=True)).numpy()


BY_NAME: Mapping[str, Null] = {"shuffled": shuffled, "rolled": rolled, "gaussian": gaussian}
