"""Intervals of the mean of a few runs: Student's t, and the bootstrap."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from riemod._arrays import check_array
from riemod._checks import check_fraction

__all__ = ["RESAMPLES", "bootstrap_interval", "student_interval"]

RESAMPLES = 9999
"""The number of bootstrap resamples."""
_SEED = 0
_GRID = 2.0**32


def student_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Compute Student's interval of a mean, mean -+ t_(n-1) s / sqrt(n).

    Args:
        values: n finite numbers.
        level: of the interval, in (0, 1).

    Returns:
        The lower and the upper end; NaN for one value, which has no spread.

    Raises:
        TypeError: the values are no numbers.
        ValueError: there are none, or one is not finite; the level is not in (0, 1).

    Source: Student, https://doi.org/10.2307/2331554

    >>> [round(end, 3) for end in student_interval([1.0, 2.0, 3.0])]
    [-0.484, 4.484]
    """
    numbers, level = check_values(values), check_fraction("level", level)
    if len(numbers) < 2:
        return math.nan, math.nan
    mean = float(numbers.mean())
    half = float(stats.t.isf((1 - level) / 2, len(numbers) - 1) * numbers.std(ddof=1) / math.sqrt(len(numbers)))
    return mean - half, mean + half


def bootstrap_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Compute the bias-corrected and accelerated bootstrap interval of a mean, from 9,999 resamples of a fixed seed.

    One or two values give no interval (NaN, NaN): the resamples of two cannot leave them, and the mean lies between
    two values in half of all cases only. Equal values, three or more, give themselves as both ends.

    Args:
        values: n finite numbers.
        level: of the interval, in (0, 1).

    Returns:
        The lower and the upper end, within the smallest and the largest value.

    Raises:
        TypeError: the values are no numbers.
        ValueError: there are none, or one is not finite; the level is not in (0, 1).

    Source: Efron, https://doi.org/10.2307/2289144, by `scipy.stats.bootstrap`.

    >>> bootstrap_interval([1.0, 1.0, 1.0]), bootstrap_interval([1.0, 2.0])
    ((1.0, 1.0), (nan, nan))
    """
    numbers, level = check_values(values), check_fraction("level", level)
    if len(numbers) < 3:
        return math.nan, math.nan
    start, span = float(numbers.min()), float(np.ptp(numbers))
    if span <= 1e-12 * float(np.abs(numbers).max()):
        return start, float(numbers.max())
    found = stats.bootstrap(
        (on_grid((numbers - start) / span),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=level,
        method="BCa",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    low, high = (start + span * float(np.clip(end, 0, 1)) for end in (found.low / _GRID, found.high / _GRID))
    return low, high


def on_grid(numbers: np.ndarray) -> np.ndarray:
    """Return numbers of [-1, 1] as whole multiples of 2^-32: their sums are exact, so that equal sums are ties."""
    return np.rint(numbers * _GRID)


def check_values(values: Sequence[float] | np.ndarray, name: str = "values") -> np.ndarray:
    """Return the values as an array; raise an error unless they are finite numbers, at least one."""
    numbers = check_array(name, values, ("n",))
    if not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be finite numbers, at least one, got {numbers.tolist()}")
    return numbers
