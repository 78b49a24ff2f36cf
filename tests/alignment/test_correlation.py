"""Correlations of distance matrices against their definitions, and permutation tests against enumeration."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from scipy import sparse
from scipy.stats import spearmanr

from riemod.alignment.correlation import distance_correlation, distance_matrix, mantel_test, rank_correlation
from riemod.manifolds import KleinBottle, Sphere
from tests.strategies import generator, seeds


def drawn(n, seed, dim=3):
    return distance_matrix(np.random.default_rng(seed).normal(size=(n, dim)))


def noisy_pair(n, seed, noise=1.0):
    source = np.random.default_rng(seed)
    points = source.normal(size=(n, 2))
    return distance_matrix(points), distance_matrix(points + noise * source.normal(size=(n, 2)))


def centered_by_definition(a, unbiased):
    n = len(a)
    out = np.zeros((n, n))
    for i, j in itertools.product(range(n), repeat=2):
        if unbiased:
            whole = a.sum() / ((n - 1) * (n - 2))
            out[i, j] = 0 if i == j else a[i, j] - a[i].sum() / (n - 2) - a[:, j].sum() / (n - 2) + whole
        else:
            out[i, j] = a[i, j] - a[i].mean() - a[:, j].mean() + a.mean()
    return out


def pairs(distances):
    return distances[np.triu_indices(len(distances), 1)]


@pytest.mark.parametrize("corrected", [True, False])
@given(seed=seeds)
def test_distance_correlation_is_its_definition(corrected, seed):
    first, second = noisy_pair(7, seed)
    a, b = (centered_by_definition(matrix, corrected) for matrix in (first, second))
    expected = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    assert distance_correlation(first, second, bias_corrected=corrected) == pytest.approx(expected, abs=1e-12)


def test_the_bias_correction_takes_the_bias_away():
    found = np.array(
        [
            [distance_correlation(drawn(12, s), drawn(12, s + 1000), bias_corrected=c) for c in (True, False)]
            for s in range(200)
        ]
    )
    error = found[:, 0].std() / np.sqrt(len(found))
    assert abs(found[:, 0].mean()) < 3 * error
    assert found[:, 1].min() > 0.15


@given(seed=seeds)
def test_correlations_do_not_depend_on_unit_of_length_or_order_of_units(seed):
    first, second = noisy_pair(8, seed)
    order = np.random.default_rng(seed).permutation(8)
    again = [1e-9 * first[np.ix_(order, order)], 1e9 * second[np.ix_(order, order)]]
    for measure in (distance_correlation, rank_correlation):
        assert measure(*again) == pytest.approx(measure(first, second), abs=1e-9)
        assert measure(first, first) == pytest.approx(1.0)
        assert measure(second, first) == pytest.approx(measure(first, second), abs=1e-12)


@given(seed=seeds)
def test_statistics_are_pearson_s_and_spearman_s(seed):
    first, second = noisy_pair(9, seed)
    first = first.round(1)  # ties
    rank = spearmanr(pairs(first), pairs(second)).statistic
    assert rank_correlation(first, second) == pytest.approx(rank, abs=1e-12)
    assert mantel_test(first, second, permutations=1, method="spearman").statistic == pytest.approx(rank, abs=1e-12)
    pearson = np.corrcoef(pairs(first), pairs(second))[0, 1]
    assert mantel_test(first, second, permutations=1).statistic == pytest.approx(pearson, abs=1e-12)
    both = mantel_test(first, second, permutations=1, method="distance").statistic
    assert both == pytest.approx(distance_correlation(first, second), abs=1e-12)


@pytest.mark.parametrize("alternative", ["greater", "less", "two-sided"])
def test_p_values_approach_those_of_all_relabelings(alternative):
    first, second = noisy_pair(6, 3, noise=1.5)
    every = [pairs(first[np.ix_(p, p)]) for p in map(list, itertools.permutations(range(6)))]
    values = np.array([np.corrcoef(values, pairs(second))[0, 1] for values in every])
    value = values[0]
    share = {
        "greater": (values >= value - 1e-12).mean(),
        "less": (values <= value + 1e-12).mean(),
        "two-sided": (np.abs(values) >= abs(value) - 1e-12).mean(),
    }[alternative]
    found = mantel_test(first, second, permutations=4000, generator=generator(0), alternative=alternative)
    assert found.p_value == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 4000) + 1 / 4000)


@pytest.mark.parametrize("method", ["pearson", "spearman", "distance"])
def test_unrelated_units_are_seldom_significant_and_related_ones_always(method):
    source = generator(1)
    p_values = [
        mantel_test(drawn(10, s), drawn(10, s + 500), permutations=39, generator=source, method=method).p_value
        for s in range(200)
    ]
    # 10 of 200 are expected below 0.05; 20 is more than three standard deviations above that.
    assert sum(p <= 0.05 for p in p_values) <= 20
    assert 0.4 < np.mean(p_values) < 0.6
    assert mantel_test(*noisy_pair(20, 0, 0.3), permutations=99, generator=source, method=method).p_value == 0.01


def test_the_same_seed_gives_the_same_p_value():
    pair = noisy_pair(10, 2, 2.0)
    p_values = [mantel_test(*pair, permutations=50, generator=generator(4)).p_value for _ in range(2)]
    assert p_values[0] == p_values[1]


def test_distances_are_geodesic_on_a_manifold_and_correlations_between_tuning_curves():
    bottle = KleinBottle()
    points = bottle.sample(5, generator=generator(0), dtype=torch.float32)
    exact = points.double()
    found, (first, second) = distance_matrix(points, bottle), torch.triu_indices(5, 5, 1)
    np.testing.assert_array_equal(found[first, second], bottle.reference_distance(exact[first], exact[second]))
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found, bottle.distance(exact, exact).numpy(), rtol=1e-12, atol=0)
    curves = np.random.default_rng(0).random((5, 20))
    np.testing.assert_allclose(distance_matrix(curves, "correlation"), 1 - np.corrcoef(curves), atol=1e-12)


@pytest.mark.parametrize("measure", [distance_correlation, rank_correlation, mantel_test])
@pytest.mark.parametrize(
    ("second", "message"),
    [
        (np.full((6, 6), np.nan), "second must be finite"),
        (np.triu(np.ones((6, 6)), 1), "second must be symmetric"),
        (np.eye(6), "second must be zero on the diagonal"),
        (-drawn(6, 0), "second must not be negative"),
        (np.ones((6, 3)), "second must be a square matrix"),
        (drawn(7, 0), "second must have as many units as first, 6, got 7"),
        (1.0 - np.eye(6), "second must (have distances that differ|not be constant)"),
        (np.zeros((6, 6)), "second must (have distances that differ|not be constant)"),
        (sparse.csr_matrix(drawn(6, 0)), "second must be a dense matrix"),
    ],
)
def test_what_is_no_matrix_of_distances_is_refused(measure, second, message):
    with pytest.raises(ValueError, match=message):
        measure(drawn(6, 1), second)


def test_other_bad_arguments_are_refused():
    first = drawn(6, 0)
    with pytest.raises(ValueError, match="at least 4 units, got 3"):
        rank_correlation(drawn(3, 0), drawn(3, 1))
    with pytest.raises(ValueError, match="permutations must be an integer >= 1, got 0"):
        mantel_test(first, first, permutations=0)
    with pytest.raises(ValueError, match="method must be"):
        mantel_test(first, first, method="kendall")
    with pytest.raises(ValueError, match="alternative must be"):
        mantel_test(first, first, alternative="both")
    with pytest.raises(ValueError, match="got 2 of 3, the first of them row 1"):
        distance_matrix([[0.0, 1.0], [2.0, 2.0], [1.0, 1.0]], "correlation")
    with pytest.raises(ValueError, match="metric must be"):
        distance_matrix(np.ones((3, 2)), "cosine")
    with pytest.raises(ValueError, match="unit vectors"):
        distance_matrix(np.ones((3, 3)), Sphere(2))
