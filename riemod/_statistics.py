"""Statistics that several rooms share."""

import math
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

import numpy as np

from riemod._arrays import as_array
from riemod._checks import check_at_least, check_mapping

_Key = TypeVar("_Key", bound=Hashable)


def rank_p_value(observed: Any, drawn: Any) -> Any:
    """Return the Monte Carlo p-value (1 + b) / (1 + m), b of m drawn values being at least the observed one.

    A draw counts if it falls short by no more than rounding (1e-12, relative): one that repeats the data must count.

    Args:
        observed: the statistic of the data, a number or (...) numbers.
        drawn: (m,) or (m, ...), the statistic of each draw.

    Returns:
        p in (0, 1], a float or (...) floats.

    Raises:
        TypeError: an argument is no array of numbers.
        ValueError: the shapes do not fit.

    Reference: Phipson and Smyth, https://doi.org/10.2202/1544-6115.1585

    >>> rank_p_value(2.0, [0.0, 1.0, 3.0])
    0.5
    """
    found, values = as_array(observed, "observed"), as_array(drawn, "drawn")
    if values.ndim < 1 or values.shape[1:] != found.shape:
        raise ValueError(f"drawn must have the shape (m, *{found.shape}) of m draws, got {values.shape}")
    reached = (values >= found - 1e-12 * np.maximum(1.0, np.abs(found))).sum(axis=0)
    p = (1 + reached) / (1 + len(values))
    return float(p) if np.ndim(p) == 0 else p


def student_half_width(numbers: np.ndarray, level: float = 0.95) -> float:
    """Return half the width of Student's interval of a mean, t_(n-1) s / sqrt(n); NaN for fewer than two numbers.

    Source: Student, https://doi.org/10.2307/2331554

    >>> round(student_half_width(np.array([1.0, 2.0, 3.0])), 3)
    2.484
    """
    # SciPy is slow to import, and most of what imports this file does not need it.
    from scipy.special import stdtrit

    n = len(numbers)
    return float(stdtrit(n - 1, (1 + level) / 2) * numbers.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan


def holm(p_values: Mapping[_Key, float]) -> dict[_Key, float]:
    """Correct m p-values by Holm's method: multiply the i-th smallest by m - i + 1.

    Corrected values are at most 1 and keep the order of the p-values.

    Args:
        p_values: p-values by key.

    Reference: https://www.jstor.org/stable/4615733

    >>> holm({1: 0.01, 2: 0.04})
    {1: 0.02, 2: 0.04}
    """
    for p_value in check_mapping("p_values", p_values, "a mapping from key to p-value").values():
        check_at_least("p_values", p_value, 0, 1)
    corrected, largest = {}, 0.0
    for index, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, p_values[key] * (len(p_values) - index)))
        corrected[key] = largest
    return {key: corrected[key] for key in p_values}
