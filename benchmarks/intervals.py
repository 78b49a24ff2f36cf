"""Student's interval of a mean, for the tables of benchmarks and studies."""

import math
from collections.abc import Iterable

import numpy as np
from scipy.special import stdtrit


def student_interval(values: Iterable[float], level: float = 0.95) -> tuple[float, float]:
    """Compute the mean and the half-width of its confidence interval, t_(n-1) s / sqrt(n), by Student's t.

    Args:
        values: n numbers.
        level: coverage of the interval, in (0, 1).

    Returns:
        The mean, NaN for no values, and the half-width, NaN for fewer than two values.

    >>> mean, half = student_interval([1.0, 2.0, 3.0])
    >>> mean, round(half, 3)
    (2.0, 2.484)
    """
    numbers = np.array(list(values), dtype=float)
    if len(numbers) < 2:
        return float(numbers.mean()) if len(numbers) else math.nan, math.nan
    half = float(stdtrit(len(numbers) - 1, (1 + level) / 2)) * numbers.std(ddof=1) / math.sqrt(len(numbers))
    return float(numbers.mean()), float(half)
