"""Checks of arrays and tensors that several rooms share: points, distances, and tensors as arrays."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from riemod._checks import kind_of, shown

# What rounding may leave of a distance of 0, and of the difference of two equal ones, over the largest distance.
_ROUNDING = 1e-8


def as_array(values: Any, name: str = "values") -> np.ndarray:
    """Return the values as a float64 array; a tensor is detached and copied to the CPU.

    Raises:
        TypeError: they are no real numbers.
        ValueError: they are no array, such as rows of different lengths.
    """
    if isinstance(values, torch.Tensor):
        if values.is_meta or values.is_sparse or values.is_complex():
            raise TypeError(f"{name} must be dense real numbers, got {_layout_of(values)}")
        values = values.detach().cpu().double().numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of numbers, got rows of different lengths") from error
    except Exception as error:
        raise TypeError(f"{name} must be an array of numbers, got {kind_of(values)}") from error
    if array.dtype.kind not in "biuf" and not (array.dtype.kind == "O" and _holds_numbers(array)):
        raise TypeError(f"{name} must be an array of numbers, got {shown(values)}")
    return array.astype(np.float64, copy=False)


def check_tensor(name: str, value: Any, shape: Sequence[int | str | None] | None = None) -> torch.Tensor:
    """Return the value; raise an error unless it is a dense tensor of real numbers, which it has, of that shape.

    Args:
        name: of the argument.
        value: what to check.
        shape: a number an axis, or a name or None where any number is right; any shape if None.

    Raises:
        TypeError: it is no tensor, or a sparse, complex or meta one.
        ValueError: it has another shape.

    >>> check_tensor("path", torch.zeros(3), ("n", 2))
    Traceback (most recent call last):
    ValueError: path must have the shape (n, 2), got (3,)
    """
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a tensor, got {kind_of(value)}")
    if value.is_meta or value.layout != torch.strided or value.is_complex():
        raise TypeError(f"{name} must be a dense tensor of real numbers, got {_layout_of(value)}")
    if shape is not None:
        _check_shape(name, tuple(value.shape), shape)
    return value


def check_array(name: str, values: Any, shape: Sequence[int | str | None]) -> np.ndarray:
    """Return the values as a float64 array; raise an error as `as_array` does, and a ValueError for another shape."""
    array = as_array(values, name)
    _check_shape(name, array.shape, shape)
    return array


def check_square(name: str, values: Any, least: int = 1) -> np.ndarray:
    """Return the values as a float64 array; raise a ValueError unless they are a finite (n, n) with n >= `least`.

    >>> check_square("weight", [[1.0, 2.0]])
    Traceback (most recent call last):
    ValueError: weight must be a finite square matrix, got the shape (1, 2)
    """
    array = as_array(values, name)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or len(array) < least:
        of_size = f" of {least} rows or more" if least > 1 else ""
        raise ValueError(f"{name} must be a finite square matrix{of_size}, got the shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be a finite square matrix, got NaN or infinity in it")
    return array


def check_order(name: str, values: Any, count: int) -> np.ndarray:
    """Return the values as an int64 array; raise an error unless they are a permutation of 0 to count - 1."""
    array = check_array(name, values, (count,))
    if not np.array_equal(np.sort(array), np.arange(count)):
        raise ValueError(f"{name} must hold each number from 0 to {count - 1} once, got {shown(array.tolist())}")
    return array.astype(np.int64)


def check_indices(name: str, values: Any, count: int) -> np.ndarray:
    """Return the values as a 1-dimensional int64 array; raise an error unless they are some of 0 to count - 1."""
    array = check_array(name, values, ("m",))
    if not len(array) or not np.isin(array, np.arange(count)).all():
        raise ValueError(f"{name} must be some of the indices 0 to {count - 1}, got {shown(array.tolist())}")
    return array.astype(np.int64)


def check_points(points: Any, name: str = "points") -> np.ndarray:
    """Return the points as an (n, k) array; raise a ValueError unless n, k >= 1 and all values are finite."""
    array = as_array(points, name)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have the shape (n, k) with n, k >= 1, got {array.shape}")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).any(axis=1).sum())
        raise ValueError(f"{name} must be finite, but {bad} of {len(array)} rows hold NaN or infinity")
    return array


def check_distances(distances: Any, name: str = "distances") -> Any:
    """Return the distances in float64, dense or sparse; raise a ValueError unless they are a finite distance matrix.

    A distance matrix is square and, up to rounding, symmetric, >= 0 and zero on the diagonal. `1 - np.corrcoef(...)` is
    one, with -2e-16 where it should be 0; such entries are returned as 0.
    """
    array: Any = distances.tocsr().astype(np.float64) if _is_sparse(distances) else as_array(distances, name)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.shape[0] == 0:
        raise ValueError(f"{name} must be a square matrix, got the shape {array.shape}")
    values = array.data if _is_sparse(array) else array
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, but {int((~np.isfinite(values)).sum())} entries are NaN or infinite")
    rounding = _ROUNDING * (values.max() if values.size else 0)
    if values.size and values.min() < -rounding:
        raise ValueError(f"{name} must not be negative, the smallest entry is {values.min():.3g}")
    if np.any(np.abs(array.diagonal()) > (0 if _is_sparse(array) else rounding)):
        raise ValueError(f"{name} must be zero on the diagonal, got up to {np.abs(array.diagonal()).max():.3g}")
    asymmetry = abs(array - array.T).max()
    if asymmetry > rounding:
        raise ValueError(f"{name} must be symmetric, but d(i, j) and d(j, i) differ by up to {asymmetry:.3g}")
    if _is_sparse(array) or not (values.min() < 0 or np.any(array.diagonal() != 0)):
        return array
    array = np.maximum(array, 0.0)
    np.fill_diagonal(array, 0.0)
    return array


def _check_shape(name: str, shape: tuple[int, ...], wanted: Sequence[int | str | None]) -> None:
    fits = len(shape) == len(wanted) and all(
        not isinstance(size, int) or size == own for own, size in zip(shape, wanted, strict=True)
    )
    if not fits:
        sizes = ", ".join("n" if size is None else str(size) for size in wanted)
        raise ValueError(f"{name} must have the shape ({sizes}{',' * (len(wanted) == 1)}), got {shape}")


def _holds_numbers(array: np.ndarray) -> bool:
    """Tell whether an array of objects holds what floats can hold: fractions, and integers that are not too large."""
    try:
        array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        return False
    return not any(value is None or isinstance(value, str | bytes) for value in array.flat)


def _layout_of(tensor: torch.Tensor) -> str:
    if tensor.is_meta:
        return "a tensor without numbers, on the meta device"
    return f"{tensor.dtype}" if tensor.is_complex() else f"the layout {tensor.layout}"


def _is_sparse(value: object) -> bool:
    # Only who has imported scipy.sparse can have made one. Its import changes the filters of warnings.
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and sparse.issparse(value)
