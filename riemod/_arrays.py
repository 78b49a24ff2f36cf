"""Checks of arrays that several rooms share: points, distances, and tensors as arrays."""

from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse


def as_array(values: Any) -> np.ndarray:
    """Return the values as a float64 array; a tensor is detached and copied to the CPU."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def check_points(points: Any, name: str = "points") -> np.ndarray:
    """Return the points as an (n, k) array; raise a ValueError unless n, k >= 1 and all values are finite."""
    array = as_array(points)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have the shape (n, k) with n, k >= 1, got {array.shape}")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).any(axis=1).sum())
        raise ValueError(f"{name} must be finite, but {bad} of {len(array)} rows hold NaN or infinity")
    return array


def check_distances(distances: Any, name: str = "distances") -> Any:
    """Return the distances in float64, dense or sparse; raise a ValueError unless they are a finite distance matrix.

    A distance matrix is square, symmetric up to rounding, >= 0, and zero on the diagonal.
    """
    array: Any = distances.tocsr().astype(np.float64) if issparse(distances) else as_array(distances)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.shape[0] == 0:
        raise ValueError(f"{name} must be a square matrix, got the shape {array.shape}")
    values = array.data if issparse(array) else array
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, but {int((~np.isfinite(values)).sum())} entries are NaN or infinite")
    if values.size and values.min() < 0:
        raise ValueError(f"{name} must not be negative, the smallest entry is {values.min():.3g}")
    if np.any(array.diagonal() != 0):
        raise ValueError(f"{name} must be zero on the diagonal, got up to {np.abs(array.diagonal()).max():.3g}")
    asymmetry = abs(array - array.T).max()
    if asymmetry > 1e-8 * (values.max() if values.size else 0):
        raise ValueError(f"{name} must be symmetric, but d(i, j) and d(j, i) differ by up to {asymmetry:.3g}")
    return array
