"""How often a 95 % interval of the mean of a few runs covers the true mean: Student's t against the BCa bootstrap.

python -m benchmarks.coverage
"""

import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats

from riemod.suites.statistics import student_interval

SIZES = (3, 4, 5, 6, 8, 10, 20)
SAMPLES = 1000
_SEED = 0


def _lost(random: np.random.Generator, n: int) -> np.ndarray:
    """Draw errors of which one in ten is that of a run that is lost."""
    return np.where(random.random(n) < 0.1, 0.4, random.normal(0.02, 0.005, n))


KINDS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float]] = {
    "normal": (lambda random, n: random.normal(size=n), 0.0),
    "lognormal": (lambda random, n: random.lognormal(size=n), float(np.exp(0.5))),
    "one in ten lost": (_lost, 0.1 * 0.4 + 0.9 * 0.02),
}
"""Draws n numbers; and their true mean."""


def bootstrap_interval(values: np.ndarray) -> tuple[float, float]:
    """Compute the bias-corrected and accelerated interval of a mean from 9,999 resamples, as SciPy does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of equal values
        found = stats.bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(_SEED))
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


INTERVALS = {"Student's t": student_interval, "BCa bootstrap": bootstrap_interval}


def coverage(kind: str, interval: str, n: int, samples: int = SAMPLES) -> float:
    """Return the share of samples of n numbers whose interval covers their true mean."""
    draw, mean = KINDS[kind]
    random, of = np.random.default_rng((_SEED, n)), INTERVALS[interval]
    ends = [of(draw(random, n)) for _ in range(samples)]
    return float(np.mean([low <= mean <= high for low, high in ends]))


def main() -> None:
    """Print a table of all kinds, intervals and numbers of runs."""
    print("| numbers | interval | " + " | ".join(f"n = {n}" for n in SIZES) + " |")
    print("|---|---|" + "---|" * len(SIZES))
    for kind in KINDS:
        for interval in INTERVALS:
            shares = [f"{100 * coverage(kind, interval, n):.0f}" for n in SIZES]
            print(f"| {kind} | {interval} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
