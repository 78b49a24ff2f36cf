"""Statistics of suites: intervals, paired tests and what could have been shown, against oracles and by their laws."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.coverage import coverage
from riemod.suites.statistics import (
    compare,
    detectable_difference,
    least_pairs,
    paired_p_value,
    student_interval,
    summarize,
)
from tests.suites.rows import Row, rows

NUMBERS = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))


@given(st.lists(NUMBERS, min_size=3, max_size=7), st.floats(0.5, 0.999))
@settings(max_examples=30, deadline=None)
def test_interval_is_that_of_a_t_test(values: list[float], level: float) -> None:
    if np.ptp(values):
        found = stats.ttest_1samp(values, 0.0).confidence_interval(level)
        np.testing.assert_allclose(student_interval(values, level), (found.low, found.high), rtol=1e-9, atol=1e-6)


@given(st.lists(st.integers(-50, 50).map(float), min_size=3, max_size=6), st.floats(0.01, 100), st.floats(-100, 100))
@settings(max_examples=15, deadline=None)
def test_interval_moves_with_origin_and_unit(values: list[float], unit: float, origin: float) -> None:
    low, high = student_interval(values)
    moved = student_interval(unit * np.array(values) + origin)
    np.testing.assert_allclose(moved, (unit * low + origin, unit * high + origin), rtol=1e-9, atol=1e-6)


def test_few_and_equal_values() -> None:
    assert all(math.isnan(end) for values in ([3.0], [3.0, 4.0], [3.0, 3.0]) for end in student_interval(values))
    assert student_interval([0.25, 0.25, 0.25]) == (0.25, 0.25)


@pytest.mark.parametrize(("kind", "expected"), [("normal", 0.95), ("lognormal", 0.81), ("one in ten lost", 0.38)])
def test_coverage_is_what_the_module_says(kind: str, expected: float) -> None:
    assert coverage(kind, "Student's t", n=5, samples=400) == pytest.approx(expected, abs=0.07)
    if kind != "one in ten lost":
        assert coverage(kind, "BCa bootstrap", n=5, samples=150) < expected


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=7))
@settings(max_examples=30, deadline=None)
def test_p_value_counts_all_sign_changes(differences: list[int]) -> None:
    found = abs(Fraction(sum(differences)))
    sums = [sum(s * d for s, d in zip(signs, differences, strict=True)) for signs in _signs(len(differences))]
    expected = Fraction(sum(abs(total) >= found for total in sums), len(sums))
    assert paired_p_value([0.1 * d for d in differences]) == pytest.approx(float(expected), abs=1e-12)


@given(st.lists(NUMBERS, min_size=1, max_size=7), st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_p_value_knows_neither_sign_nor_unit(differences: list[float], unit: float) -> None:
    p = paired_p_value(differences)
    assert 2.0 ** (1 - len(differences)) <= p <= 1
    assert paired_p_value([-d for d in differences]) == p
    assert paired_p_value([unit * d for d in differences]) == pytest.approx(p)


def test_many_pairs_are_sampled_alike_each_time() -> None:
    differences = np.random.default_rng(0).standard_normal(20) + 0.5
    p = paired_p_value(differences)
    assert p == paired_p_value(differences)
    assert p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.02)


@pytest.mark.parametrize(("pairs", "level"), [(2, 0.05), (3, 0.01), (5, 0.05), (5, 0.0025), (20, 0.05)])
def test_detectable_difference_has_its_power(pairs: int, level: float) -> None:
    shift = detectable_difference(2.0, pairs, level)
    drawn = np.random.default_rng(0).normal(shift, 2.0, (20_000, pairs))
    t = drawn.mean(axis=1) / drawn.std(axis=1, ddof=1) * math.sqrt(pairs)
    assert np.mean(np.abs(t) > stats.t.isf(level / 2, pairs - 1)) == pytest.approx(0.8, abs=0.012)


@given(st.integers(2, 30), st.floats(0.001, 0.2), st.floats(0.3, 0.95))
@settings(max_examples=10, deadline=None)
def test_detectable_difference_is_that_of_the_noncentral_t(pairs: int, level: float, power: float) -> None:
    shift = detectable_difference(1.0, pairs, level, power)
    critical, center = stats.t.isf(level / 2, pairs - 1), shift * math.sqrt(pairs)
    found = stats.nct.sf(critical, pairs - 1, center) + stats.nct.cdf(-critical, pairs - 1, center)
    assert math.isnan(found) or found == pytest.approx(power, abs=1e-6)


def test_what_could_be_shown_shrinks_with_pairs_and_grows_with_comparisons() -> None:
    by_pairs = [detectable_difference(1.0, pairs) for pairs in range(2, 8)]
    assert by_pairs == sorted(by_pairs, reverse=True)
    assert detectable_difference(1.0, 5, 0.05 / 6) > detectable_difference(1.0, 5)
    assert detectable_difference(0.0, 5) == 0


@given(st.integers(1, 60), st.floats(0.001, 0.2))
def test_least_pairs_are_the_fewest(comparisons: int, level: float) -> None:
    pairs = least_pairs(comparisons, level)
    assert comparisons * 2.0 ** (1 - pairs) <= level * (1 + 1e-12)
    assert comparisons * 2.0 ** (2 - pairs) > level * (1 - 1e-12)


def test_cells_sum_up_the_runs_in_the_order_of_arms_and_seeds() -> None:
    runs = [
        Row("torus", 0.9, 1, {"rmse": 3.0, "lost": 1.0}),
        Row("none", 0.9, 0, {"rmse": 7.0, "lost": 1.0, "test_collapsed": 1.0}),
        Row("torus", 0.9, 0, {"rmse": 1.0}),
        Row("torus", 0.5, 0, {"rmse": 4.0}),
    ]
    first, second, third = summarize(runs, "rmse")
    assert (first.arm, first.sparsity, first.values, first.n) == ("torus", 0.9, (1.0, 3.0), 2)
    assert (first.mean, first.std, first.lost, first.collapsed) == (2.0, math.sqrt(2), 1, 0)
    assert (second.lost, second.collapsed, third.sparsity) == (1, 1, 0.5)
    assert math.isnan(second.std)
    assert math.isnan(second.low)


def test_comparisons_pair_by_seed_and_are_corrected_over_the_table() -> None:
    runs = rows({"none": [1, 2, 3, 4, 5], "torus": [2, 3, 4, 5, 6], "circle": [1, 3, 2, 4, 6]})
    runs += rows({"none": [1, 2, 3], "torus": [3, 4, 6, 9]}, 0.5)
    high, even, low = compare(runs, ["rmse"], "none")
    assert [(c.arm, c.sparsity, c.pairs) for c in (high, even, low)] == [
        ("torus", 0.9, 5),
        ("circle", 0.9, 5),
        ("torus", 0.5, 3),
    ]
    assert (high.difference, high.p_value, high.corrected, high.least) == (1, 1 / 16, 3 / 16, 3 / 16)
    assert (low.difference, low.p_value, low.corrected) == (pytest.approx(7 / 3), 0.25, 0.5)
    assert (high.detectable, even.p_value) == (0, 1)
    spread = np.std([0, 1, -1, 0, 1], ddof=1)
    assert even.detectable == pytest.approx(detectable_difference(float(spread), 5, 0.05 / 3))


def test_arms_without_a_common_seed_are_said_and_not_counted() -> None:
    runs = [*rows({"none": [1, 2], "torus": [2, 3]}), Row("circle", 0.9, 7, {"rmse": 1.0})]
    torus, circle = compare(runs, ["rmse"], "none")
    assert (torus.pairs, torus.corrected, circle.pairs) == (2, torus.p_value, 0)
    assert all(math.isnan(x) for x in (circle.difference, circle.p_value, circle.corrected, circle.detectable))


def test_tickets_are_compared_with_the_ticket_of_the_control() -> None:
    runs = rows({"none": [1, 2], "torus": [2, 4], "torus, lottery": [7, 9], "none, lottery": [3, 4]})
    runs += rows({"torus, ours": [1, 1]})
    found = {c.arm: (c.control, c.difference) for c in compare(runs, ["rmse"], "none")}
    assert found == {"torus": ("none", 1.5), "torus, lottery": ("none, lottery", 4.5)}


def test_under_the_null_few_tables_show_anything() -> None:
    generator = np.random.default_rng(3)
    shown = 0
    for _ in range(60):
        drawn = {arm: list(generator.standard_normal(7)) for arm in ("none", "torus", "circle")}
        shown += any(c.corrected <= 0.05 for c in compare(rows(drawn), ["rmse"], "none"))
    assert shown <= 8  # of 60 at 5 %: more in 1 of 500 tries


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arm": 3}, "arm must be a string, got int"),
        ({"sparsity": 1.5}, "sparsity must be from 0 to 1, got 1.5"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"metrics": {"rmse": math.nan}}, "rmse of the run of 'none' at 90 %, seed 0 must be a finite number, got nan"),
        ({"metrics": 3}, "metrics must be a mapping from name to number, got int"),
    ],
)
def test_rows_say_what_is_wrong(change: dict, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        summarize([Row("none", 0.9, 0, {"rmse": 1.0})._replace(**change)], "rmse")


def test_bad_tables_are_refused() -> None:
    runs = rows({"none": [1.0], "torus": [2.0]})
    with pytest.raises(ValueError, match="control must be one of the arms 'none', 'torus', got 'L1'"):
        compare(runs, ["rmse"], "L1")
    with pytest.raises(ValueError, match="rows must hold at least one run, got none"):
        summarize([], "rmse")
    with pytest.raises(ValueError, match="seed 0 must have the metric 'loss', got rmse"):
        summarize(runs, "loss")
    with pytest.raises(ValueError, match="rows must hold each run once, got the run of 'none' at 90 %, seed 0 twice"):
        summarize([*runs, runs[0]], "rmse")
    with pytest.raises(TypeError, match=r"rows must have arm, sparsity, seed and metrics, got \{'arm': 'none'\}"):
        summarize([{"arm": "none"}], "rmse")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="power must be above the level"):
        detectable_difference(1.0, 5, 0.05, 0.01)
    with pytest.raises(ValueError, match="values must be finite numbers, at least one"):
        student_interval([])


def _signs(count: int) -> list[tuple[int, ...]]:
    return list(itertools.product((1, -1), repeat=count))
