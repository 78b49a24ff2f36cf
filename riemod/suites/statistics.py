"""Statistics of the runs of a suite: cells with their intervals, and paired comparisons with a control.

Few runs say little, and every function says how little. Intervals are Student's, because those of the bootstrap cover
the mean of few runs less often: of 3, 5 and 10 normal numbers 72, 84 and 89 % in place of 95, of lognormal ones 62, 73
and 83 % in place of 83, 81 and 84 (`python -m benchmarks.coverage`). Neither knows of rare losses that no run had:
where one run in ten is lost, both cover the mean of five in 38 % of cases. A permutation test of n pairs has no p-value
below 2^(1 - n).
"""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats
from scipy.special import ndtr

from riemod._arrays import check_array
from riemod._checks import check_at_least, check_fraction, check_integer, check_items, check_text
from riemod._statistics import holm, student_half_width
from riemod.suites.results import Result, check_results, is_collapsed, is_lost

__all__ = [
    "Cell",
    "Comparison",
    "compare",
    "control_of",
    "detectable_difference",
    "least_pairs",
    "paired_p_value",
    "student_interval",
    "summarize",
]

RESAMPLES = 9999
"""The number of random sign changes where not all of them are tried."""
LEVEL = 0.05
"""The level of the tests: a difference is shown where the corrected p-value is at most this."""
POWER = 0.8
"""The probability with which a difference that could have been shown is shown."""
_SEED = 0
_GRID = 2.0**32


@dataclass(frozen=True)
class Cell:
    """Summarizes the runs of one arm at one sparsity by one metric.

    Args:
        arm: of the runs.
        sparsity: of the runs.
        metric: name of the metric.
        values: of the metric, in the order of the seeds.
        low: lower end of the 95 % interval of the mean (`student_interval`), or NaN.
        high: upper end, or NaN.
        lost: number of lost runs among them.
        collapsed: number of collapsed runs among them.
    """

    arm: str
    sparsity: float
    metric: str
    values: tuple[float, ...]
    low: float
    high: float
    lost: int
    collapsed: int

    @property
    def n(self) -> int:
        """The number of runs."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """The mean over runs, lost ones among them."""
        return float(np.mean(self.values))

    @property
    def std(self) -> float:
        """The sample standard deviation, with n - 1 in its denominator; NaN for one run."""
        return float(np.std(self.values, ddof=1)) if self.n > 1 else math.nan


@dataclass(frozen=True)
class Comparison:
    """Compares an arm with the control at one sparsity, seed by seed.

    Args:
        arm: that is compared.
        control: that it is compared with.
        sparsity: of both.
        metric: name of the metric.
        pairs: number of seeds that both have.
        difference: mean of arm - control over the pairs, NaN for none.
        low: lower end of its 95 % interval (`student_interval`), or NaN.
        high: upper end, or NaN.
        p_value: of the paired permutation test, NaN for no pair.
        corrected: the same, corrected by Holm's method over all comparisons of the table.
        least: the smallest corrected p-value that this number of pairs can reach as the first of the table.
        detectable: the smallest true difference that a paired t-test at the level 5 % / (number of comparisons)
            would show with a probability of 80 %, at the standard deviation of these pairs; NaN for fewer than two.
    """

    arm: str
    control: str
    sparsity: float
    metric: str
    pairs: int
    difference: float
    low: float
    high: float
    p_value: float
    corrected: float
    least: float
    detectable: float


def student_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Compute Student's interval of a mean, mean -+ t_(n-1) s / sqrt(n).

    One or two values give no interval (NaN, NaN): that of two is 25 times as wide as they are apart.

    Args:
        values: n finite numbers.
        level: of the interval, in (0, 1).

    Returns:
        The lower and the upper end.

    Raises:
        TypeError: the values are no numbers.
        ValueError: there are none, or one is not finite; the level is not in (0, 1).

    Source: Student, https://doi.org/10.2307/2331554

    >>> [round(end, 3) for end in student_interval([1.0, 2.0, 3.0])], student_interval([1.0, 2.0])
    ([-0.484, 4.484], (nan, nan))
    """
    numbers, level = _check_values(values), check_fraction("level", level)
    if len(numbers) < 3:
        return math.nan, math.nan
    mean = float(numbers.mean())
    half = student_half_width(numbers, level)
    return mean - half, mean + half


def paired_p_value(differences: Sequence[float] | np.ndarray) -> float:
    """Test whether paired differences are symmetric about 0: the two-sided permutation test of their mean.

    The signs of n differences are changed in all 2^n ways where these are at most 9,999, that is up to n = 13; beyond
    that in 9,999 random ones of a fixed seed, by p = 2 (1 + b) / (1 + m) of one side.

    Args:
        differences: n finite numbers, one a pair.

    Returns:
        p in (0, 1]. All 2^n ways give at least 2^(1 - n).

    Raises:
        TypeError: the differences are no numbers.
        ValueError: there are none, or one is not finite.

    Source: `scipy.stats.permutation_test`.

    >>> paired_p_value([0.1, 0.3, 0.2, 0.5])
    0.125
    """
    numbers = _check_values(differences, "differences")
    if len(numbers) == 1 or not numbers.any():
        return 1.0
    found = stats.permutation_test(
        (_on_grid(numbers / np.abs(numbers).max()),),
        np.mean,
        permutation_type="samples",
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(_SEED),
    )
    return float(found.pvalue)


def detectable_difference(std: float, pairs: int, level: float = LEVEL, power: float = POWER) -> float:
    """Compute the smallest true difference that a two-sided paired t-test shows with the given probability.

    It is std / sqrt(n) times the x at which P(|T| > t) = power, for T noncentral t with n - 1 degrees of freedom and
    noncentrality x, and t the critical value of the level.

    Args:
        std: standard deviation of the differences, >= 0.
        pairs: n, the number of pairs, >= 2.
        level: of the test, in (0, 1), already divided by the number of comparisons.
        power: in (level, 1).

    Raises:
        ValueError: an argument is out of its range.

    >>> round(detectable_difference(1.0, pairs=10), 3)  # G*Power and R's power.t.test: 0.996
    0.996
    """
    std, pairs = check_at_least("std", std, 0), check_integer("pairs", pairs, 2)
    level, power = check_fraction("level", level), check_fraction("power", power)
    if power <= level:
        raise ValueError(f"power must be above the level {level:g}, got {power:g}")
    return std / math.sqrt(pairs) * _noncentrality(pairs - 1, level, power)


def least_pairs(comparisons: int, level: float = LEVEL) -> int:
    """Compute how many pairs a permutation test needs to show anything among so many comparisons, by Holm's method.

    It is the smallest n with 2^(1 - n) <= level / comparisons.

    >>> least_pairs(1), least_pairs(5)
    (6, 8)
    """
    comparisons, level = check_integer("comparisons", comparisons, 1), check_fraction("level", level)
    return 1 + math.ceil(math.log2(comparisons / level))


def summarize(rows: Iterable[Result], metric: str) -> list[Cell]:
    """Summarize the runs of each arm and sparsity by one metric, in the order in which they first appear.

    Args:
        rows: finished runs.
        metric: that every row has.

    Raises:
        TypeError: the rows are none.
        ValueError: there are no rows, one lacks the metric, or one run is there twice.
    """
    grouped: dict[tuple[str, float], list[Result]] = {}
    for row in check_results(rows, [check_text("metric", metric)]):
        grouped.setdefault((row.arm, row.sparsity), []).append(row)
    cells = []
    for (arm, sparsity), runs in grouped.items():
        values = tuple(float(run.metrics[metric]) for run in sorted(runs, key=lambda run: run.seed))
        lost, collapsed = sum(map(is_lost, runs)), sum(map(is_collapsed, runs))
        cells.append(Cell(arm, sparsity, metric, values, *student_interval(values), lost, collapsed))
    return cells


def compare(rows: Iterable[Result], metrics: Sequence[str], control: str) -> list[Comparison]:
    """Compare every other arm with the control, at each sparsity and by each metric, seed by seed.

    The control of lottery tickets "ARM, GROUP" is "CONTROL, GROUP"; without it they are not compared. Seeds that only
    one of the two has are left out. The p-values are corrected over all of these comparisons.

    Args:
        rows: finished runs.
        metrics: that every row has.
        control: name of the arm to compare with.

    Returns:
        The comparisons, metric by metric, in the order in which arms and sparsities first appear. One without a common
        seed has pairs = 0 and NaN, and does not count for the correction.

    Raises:
        TypeError: the rows are none, or the metrics are no list of names.
        ValueError: there are no rows, one lacks a metric, one run is there twice, or no run is of the control.
    """
    metrics = [check_text("metrics", metric) for metric in check_items("metrics", metrics, "a list of names")]
    found = check_results(rows, metrics)
    arms = list(dict.fromkeys(row.arm for row in found))
    if check_text("control", control) not in arms:
        raise ValueError(f"control must be one of the arms {', '.join(map(repr, arms))}, got {control!r}")
    partners = {arm: control_of(arm, control) for arm in arms}
    cells = dict.fromkeys(
        (row.arm, row.sparsity) for row in found if row.arm != partners[row.arm] and partners[row.arm] in arms
    )
    differences = {
        (metric, arm, sparsity): _differences(found, metric, arm, partners[arm], sparsity)
        for metric in metrics
        for arm, sparsity in cells
    }
    p_values = {key: paired_p_value(paired) for key, paired in differences.items() if len(paired)}
    corrected, count = holm(p_values), len(p_values)
    comparisons = []
    for (metric, arm, sparsity), paired in differences.items():
        key, pairs = (metric, arm, sparsity), len(paired)
        low, high = student_interval(paired) if pairs else (math.nan, math.nan)
        spread = float(np.std(paired, ddof=1)) if pairs > 1 else math.nan
        comparisons.append(
            Comparison(
                arm,
                partners[arm],
                sparsity,
                metric,
                pairs,
                float(np.mean(paired)) if pairs else math.nan,
                low,
                high,
                p_values.get(key, math.nan),
                corrected.get(key, math.nan),
                min(1.0, count * 2.0 ** (1 - pairs)) if pairs else math.nan,
                detectable_difference(spread, pairs, LEVEL / count) if pairs > 1 else math.nan,
            )
        )
    return comparisons


def control_of(arm: str, control: str) -> str:
    """Return the arm that an arm is compared with.

    >>> control_of("torus fixed", "none"), control_of("torus fixed, lottery", "none")
    ('none', 'none, lottery')
    """
    _, comma, group = arm.partition(", ")
    return f"{control}{comma}{group}"


def _differences(rows: Sequence[Result], metric: str, arm: str, control: str, sparsity: float) -> np.ndarray:
    """Return arm - control for the seeds that both have at a sparsity, in their order."""
    by_seed = {
        name: {row.seed: row.metrics[metric] for row in rows if (row.arm, row.sparsity) == (name, sparsity)}
        for name in (arm, control)
    }
    seeds = sorted(by_seed[arm].keys() & by_seed[control].keys())
    return np.array([by_seed[arm][seed] - by_seed[control][seed] for seed in seeds])


@functools.lru_cache
def _noncentrality(freedom: int, level: float, power: float) -> float:
    critical = float(stats.t.isf(level / 2, freedom))
    found = optimize.root_scalar(
        lambda x: _power_at(x, freedom, critical) - power, bracket=(0, 2 * critical + 10), xtol=1e-8
    )
    return float(found.root)


def _power_at(noncentrality: float, freedom: int, critical: float) -> float:
    """Return P(|T| > critical) as an integral over s, distributed as chi / sqrt(freedom), by Gauss and Legendre.

    `scipy.stats.nct` is NaN for some large critical values.
    """
    scale = 1 / math.sqrt(freedom)
    # In the middle part, the probability given s falls from 1 to 0.
    middle, width = noncentrality / critical, 8 / critical
    ends = sorted({0.0, max(middle - width, 0.0), middle + width, float(stats.chi.isf(1e-14, freedom, scale=scale))})
    nodes, weights = np.polynomial.legendre.leggauss(64)
    total = 0.0
    for start, end in itertools.pairwise(ends):
        s = start + (end - start) * (nodes + 1) / 2
        given = ndtr(noncentrality - critical * s) + ndtr(-noncentrality - critical * s)
        total += (end - start) / 2 * float(weights @ (stats.chi.pdf(s, freedom, scale=scale) * given))
    return total


def _on_grid(numbers: np.ndarray) -> np.ndarray:
    """Return numbers of [-1, 1] as whole multiples of 2^-32: their sums are exact, so that equal sums are ties."""
    return np.rint(numbers * _GRID)


def _check_values(values: Sequence[float] | np.ndarray, name: str = "values") -> np.ndarray:
    numbers = check_array(name, values, ("n",))
    if not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be finite numbers, at least one, got {numbers.tolist()}")
    return numbers
