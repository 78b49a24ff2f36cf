"""Means with Student's intervals, for the tables of studies."""

import math
from collections.abc import Iterable

import numpy as np

from riemod._statistics import student_half_width


def mean_and_half_width(values: Iterable[float], level: float = 0.95) -> tuple[float, float]:
    """Compute the mean, NaN for no values, and the half-width of its interval, NaN for fewer than two.

    Args:
        values: n numbers.
        level: coverage of the interval, in (0, 1).

    >>> mean, half = mean_and_half_width([1.0, 2.0, 3.0])
    >>> mean, round(half, 3)
    (2.0, 2.484)
    """
    numbers = np.array(list(values), dtype=float)
    return float(numbers.mean()) if len(numbers) else math.nan, student_half_width(numbers, level)
