"""Nulls keep what they promise to keep, and lose the rest."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod._statistics import rank_p_value
from riemod.topology import nulls
from tests.strategies import generator

seeds = st.integers(0, 2**32 - 1)


def walk(seed: int = 0, n: int = 400, dim: int = 3) -> np.ndarray:
    steps = np.random.default_rng(seed).standard_normal((n, dim))
    steps[:, 1] += 2 * steps[:, 0]
    return steps.cumsum(axis=0)


@given(seeds)
def test_shuffled_keeps_marginals(seed: int) -> None:
    points = walk(seed, 50)
    drawn = nulls.shuffled(points, generator(seed))
    np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(points, axis=0))


@given(seeds)
def test_rolled_turns_each_column(seed: int) -> None:
    points = walk(seed, 20)
    drawn = nulls.rolled(points, generator(seed))
    for column, original in zip(drawn.T, points.T, strict=True):
        assert any(np.array_equal(column, np.roll(original, shift)) for shift in range(len(points)))


def test_shuffled_and_rolled_make_columns_independent() -> None:
    points = np.diff(walk(n=4001), axis=0)
    assert np.corrcoef(points.T)[0, 1] > 0.8
    for null in (nulls.shuffled, nulls.rolled):
        assert abs(np.corrcoef(null(points, generator(0)).T)[0, 1]) < 0.1


def test_gaussian_keeps_mean_and_covariance() -> None:
    points = np.random.default_rng(0).uniform(size=(200_000, 2)) @ np.array([[1.0, 2.0], [0.0, 0.5]]) + 3.0
    drawn = nulls.gaussian(points, generator(0))
    np.testing.assert_allclose(drawn.mean(axis=0), points.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(points.T), rtol=0.02)
    assert np.abs(drawn - drawn.mean(axis=0)).max() > 1.3 * np.abs(points - points.mean(axis=0)).max()


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_uniform_ball_is_uniform(dim: int) -> None:
    radius = np.linalg.norm(nulls.uniform_ball(100_000, dim, generator(0)), axis=1)
    assert radius.max() <= 1
    assert (radius < 0.5).mean() == pytest.approx(0.5**dim, abs=0.01)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_uniform_sphere_is_uniform(dim: int) -> None:
    points = nulls.uniform_sphere(50_000, dim, generator(0))
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=0.015)
    np.testing.assert_allclose(np.cov(points.T), np.eye(dim + 1) / (dim + 1), atol=0.01)


@pytest.mark.parametrize("null", [*nulls.BY_NAME.values(), lambda points, g: nulls.uniform_ball(9, 2, g)])
def test_same_seed_same_bits(null: nulls.Null) -> None:
    np.testing.assert_array_equal(null(walk(), generator(5)), null(walk(), generator(5)))
    assert not np.array_equal(null(walk(), generator(5)), null(walk(), generator(6)))


def test_rank_p_value_is_uniform_under_the_null() -> None:
    drawn = np.random.default_rng(0).standard_normal((4000, 20))
    values = np.array([rank_p_value(row[0], row[1:]) for row in drawn])
    assert (values <= 0.05).mean() == pytest.approx(0.05, abs=0.012)


@given(st.dictionaries(st.integers(0, 5), st.floats(0.0, 1.0), min_size=1))
def test_holm_lies_between_the_raw_value_and_bonferroni(p_values: dict[int, float]) -> None:
    corrected = nulls.holm(p_values)
    for key, p in p_values.items():
        assert p <= corrected[key] <= min(1.0, len(p_values) * p)
    order = sorted(p_values, key=lambda key: p_values[key])
    assert [corrected[key] for key in order] == sorted(corrected.values())


@pytest.mark.parametrize("draw", [nulls.uniform_ball, nulls.uniform_sphere])
def test_draws_that_cannot_be_made_are_named(draw: Callable[..., object]) -> None:
    generator = torch.Generator()
    for arguments, error, message in (
        ((-1, 2, generator), ValueError, "n must be an integer >= 0, got -1"),
        ((10**13, 2, generator), ValueError, "n must fit the .* of memory here"),
        ((5, 0, generator), ValueError, "dim must be an integer >= 1, got 0"),
        ((5, 2, None), TypeError, "generator must be a torch.Generator, got None"),
    ):
        with pytest.raises(error, match=message):
            draw(*arguments)
