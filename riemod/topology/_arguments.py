"""Checks of what the estimators are given: data as scikit-learn checks it, and random states."""

from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from riemod._arrays import as_array
from riemod._checks import check_integer

_LARGEST_SEED = 2**32 - 1


def validated(estimator: BaseEstimator, X: Any, **options: Any) -> np.ndarray:
    """Return the data of an estimator as a float64 array, checked by scikit-learn's `validate_data`.

    Args:
        estimator: whose data they are.
        X: an array, a tensor, or whatever scikit-learn takes.
        options: of `validate_data`.

    Raises:
        TypeError, ValueError: scikit-learn's own, or one that names X for what is no array of numbers.
    """
    if isinstance(X, torch.Tensor):
        X = as_array(X, "X")
    try:
        return np.asarray(validate_data(estimator, X, dtype=np.float64, **options))
    except OverflowError as error:
        raise ValueError(f"X must be an array of numbers that float64 can hold: {error}") from error
    except (TypeError, ValueError) as error:
        if "X" in str(error) or "array" in str(error) or "features" in str(error):
            raise
        raise type(error)(f"X must be an array of numbers: {error}") from error


def random_source(random_state: Any) -> np.random.RandomState:
    """Return scikit-learn's generator for a seed, a RandomState or None.

    Raises:
        ValueError: it is something else, or a seed that NumPy does not take.
    """
    if isinstance(random_state, Integral):
        check_integer("random_state", random_state, 0, _LARGEST_SEED)
    return check_random_state(random_state)
