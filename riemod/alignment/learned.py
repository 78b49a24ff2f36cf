"""How learned points are spread over their manifold, and points of the same units in a space that nothing was given."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from riemod._arrays import as_array, check_square
from riemod._checks import check_integer, check_type
from riemod.manifolds import Manifold, geodesic_distances

__all__ = ["dissimilarities", "neutral_points", "spread"]

Square = Float[np.ndarray, "n n"]

_UNIFORM_POINTS = 1000


def spread(points: Tensor, manifold: Manifold) -> float:
    """Compute the mean distance of all pairs of points over that of 1,000 uniform points; 1 is uniform, 0 one place.

    The uniform points are those of `manifold.sample` with seed 0. That ratio of n other uniform points deviates from 1
    by about 0.9 / n on the circle, 0.3 / n on the sphere and 0.6 / n on the torus (15 draws of n = 100).

    Args:
        points: (n, coordinate_dim), n >= 2.
        manifold: of the points.

    Returns:
        A number >= 0, without unit.

    Raises:
        TypeError: if the points are not a floating-point tensor.
        ValueError: if they are not points of the manifold, or fewer than 2.

    >>> from riemod.manifolds import Torus
    >>> spread(torch.zeros(5, 2), Torus(2))
    0.0
    """
    check_type("manifold", manifold, Manifold, "a Manifold").check_points(points)
    if len(points) < 2:
        raise ValueError(f"points must be at least 2, got {len(points)}")
    uniform = manifold.sample(_UNIFORM_POINTS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, expected = (
        distances.sum() / (len(distances) * (len(distances) - 1))
        for distances in (geodesic_distances(points, manifold), geodesic_distances(uniform, manifold))
    )
    return float(found / expected)


def dissimilarities(similarities: Any) -> Square:
    """Turn similarities s into distances max(s) - s, symmetrized and with zeros on the diagonal; s_jj is not read.

    A rank correlation of distances with these is positive if near units are alike.

    Args:
        similarities: (n, n), finite, of any sign, such as a weight matrix; n >= 2.

    Returns:
        (n, n), from max over j < k of (s_jk + s_kj) / 2.

    Raises:
        ValueError: if the matrix is not square and finite, or n < 2.

    >>> dissimilarities([[9.0, 1.0, -2.0], [3.0, 9.0, 0.0], [-2.0, 0.0, 9.0]])
    array([[0., 0., 4.],
           [0., 0., 2.],
           [4., 2., 0.]])
    """
    array = check_square("similarities", similarities, least=2)
    mean = (array + array.T) / 2
    np.fill_diagonal(mean, -math.inf)
    distances = mean.max() - mean
    np.fill_diagonal(distances, 0.0)
    return distances


def neutral_points(rows: Any, dim: int = 5) -> Float[np.ndarray, "n k"]:
    """Place units on the sphere S^dim such that cosines of their points approach the cosines of their rows.

    The rows are scaled to unit length. They are projected on the dim + 1 leading eigenvectors of their cosine
    similarities, which is the best approximation of that rank, and scaled to unit length again. No manifold of the
    data enters, so the shape of these points is evidence about the rows.

    Args:
        rows: (n, k), finite, one row a unit, such as its incoming weights; no row may be zero.
        dim: of the sphere, >= 1.

    Returns:
        (n, dim + 1), unit vectors.

    Raises:
        ValueError: if the rows are not a finite matrix, n <= dim, dim is not an integer >= 1, or a row is zero.

    Reference: Young and Householder 1938, https://doi.org/10.1007/BF02287916 (classical scaling)

    >>> turn = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    >>> points = neutral_points(np.stack([3 * np.cos(turn), 3 * np.sin(turn), 0 * turn], axis=1), 1)
    >>> bool(np.allclose(points @ points.T, np.cos(turn - turn[:, None])))
    True
    """
    array, dim = as_array(rows, "rows"), check_integer("dim", dim, least=1)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ValueError(f"rows must be a finite matrix, got shape {array.shape}")
    if len(array) <= dim:
        raise ValueError(f"rows must be more than dim, {dim}, got {len(array)}")
    lengths = np.linalg.norm(array, axis=1)
    if not lengths.all():
        raise ValueError(f"rows must not be zero, got {(lengths == 0).sum()} zero rows, the first {lengths.argmin()}")
    left, values, _ = np.linalg.svd(array / lengths[:, None], full_matrices=False)
    points = left[:, : dim + 1] * values[: dim + 1]
    points = np.pad(points, ((0, 0), (0, dim + 1 - points.shape[1])))
    norms = np.linalg.norm(points, axis=1)
    if not norms.all():
        raise ValueError(f"rows must not vanish in the {dim + 1} leading directions, got {(norms == 0).sum()} that do")
    return points / norms[:, None]
