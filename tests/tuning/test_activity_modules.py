"""Modules told from activity alone: units that follow one another's coordinates, and none that do not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from riemod.tuning import activity_modules
from riemod.tuning.activity_modules import _cut, _share

TIMES = 4000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def walk(rng: np.random.Generator, dim: int = 1) -> np.ndarray:
    """An angle in each dimension, which drifts and does not know of others."""
    return rng.uniform(0, 2 * np.pi, dim) + np.cumsum(rng.standard_normal((TIMES, dim)), axis=0) * 0.4


def tuned(angles: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Roots of Poisson counts of units with a bump of activity somewhere among the angles."""
    preferred = rng.uniform(0, 2 * np.pi, (count, angles.shape[1]))
    rates = 8 * np.exp(2 * (np.cos(angles[:, None] - preferred) - 1).sum(axis=2))
    return np.sqrt(rng.poisson(rates))


@pytest.mark.parametrize("seed", range(3))
def test_rings_and_a_torus_are_told_from_one_another_and_from_unrelated_units(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [
        tuned(walk(rng), 14, rng),
        tuned(walk(rng, 2), 40, rng),
        tuned(walk(rng), 20, rng),
        np.sqrt(rng.poisson(2.0, (TIMES, 11))),
    ]
    found = activity_modules(np.concatenate(parts, axis=1), generator=generator(seed))
    assert found.tolist() == [2] * 14 + [0] * 40 + [1] * 20 + [-1] * 11


@pytest.mark.parametrize(("dim", "units"), [(1, 12), (1, 60), (2, 50)])
def test_units_of_one_kind_are_one_module(dim: int, units: int) -> None:
    rng = np.random.default_rng(units)
    assert (activity_modules(tuned(walk(rng, dim), units, rng), generator=generator()) == 0).all()


def test_unrelated_few_and_constant_units_are_of_no_module() -> None:
    rng = np.random.default_rng(0)
    for rates in (2.0, 2 + np.sin(walk(rng, 40))):
        assert (activity_modules(np.sqrt(rng.poisson(rates, (TIMES, 40))), generator=generator()) == -1).all()
    ring = tuned(walk(rng), 12, rng)
    assert (activity_modules(ring[:, :9], generator=generator()) == -1).all()
    assert (activity_modules(ring[:, :9], least_units=9, generator=generator()) == 0).all()
    still = np.full((TIMES, 2), 0.1)
    assert (
        activity_modules(np.concatenate([still, ring], axis=1), generator=generator()).tolist() == [-1] * 2 + [0] * 12
    )
    assert activity_modules(still, generator=generator()).tolist() == [-1] * 2


def test_a_chain_of_fields_is_not_cut() -> None:
    rng = np.random.default_rng(0)
    place = 9 * np.abs((np.cumsum(rng.standard_normal(TIMES)) * 0.1) % 2 - 1)
    rates = 8 * np.exp(-np.square(place[:, None] - np.linspace(0, 9, 60)) / 2)
    assert len({*activity_modules(np.sqrt(rng.poisson(rates)), generator=generator()).tolist()} - {-1}) == 1


@given(st.permutations(range(36)))
@settings(max_examples=3, deadline=None)
def test_the_order_scale_and_offset_of_units_do_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(1)
    activity = np.concatenate([tuned(walk(rng), 16, rng), tuned(walk(rng), 20, rng)], axis=1)
    scale, offset = np.geomspace(0.1, 50, 36), np.linspace(-3, 3, 36)
    found = activity_modules((scale * activity + offset)[:, order], generator=generator())
    assert adjusted_rand_score(found, activity_modules(activity, generator=generator())[order]) == 1


def test_the_smallest_normalized_cut_is_found() -> None:
    rng = np.random.default_rng(0)
    ties = 0.01 * rng.uniform(size=(40, 40))
    ties[:15, :15] += 1
    ties[15:, 15:] += 1
    ties = np.triu(ties, 1) + np.triu(ties, 1).T
    side = _cut(ties)
    assert side is not None
    assert sorted([side.tolist(), (~side).tolist()])[0] == [False] * 15 + [True] * 25
    # One unit may have many of its ties across the cut; two are a bridge.
    ties[0, 15:] = ties[15:, 0] = 0.25
    assert _cut(ties) is not None
    ties[39, :15] = ties[:15, 39] = 0.7
    assert _cut(ties) is None
    assert _cut(ties[:1, :1]) is None


def test_the_share_that_is_explained_is_that_of_a_regression() -> None:
    rng = np.random.default_rng(0)
    fit, test = rng.standard_normal((2, 500, 4)) @ rng.standard_normal((4, 4))
    axes = np.linalg.inv(np.linalg.cholesky(fit[:, :3].T @ fit[:, :3])).T
    members, moments = np.arange(3), test.T @ test
    share = _share(axes, members, (fit.T @ fit)[:, [3]], moments, moments[:, [3]], moments[3, [3]])
    left = test[:, 3] - test[:, :3] @ np.linalg.lstsq(fit[:, :3], fit[:, 3], rcond=None)[0]
    assert share == pytest.approx(1 - (left**2).sum() / (test[:, 3] ** 2).sum())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"components": 0}, "components must be"),
        ({"least_units": 1}, "least_units must be"),
        ({"blocks": 0}, "blocks must be"),
        ({"blocks": 2000}, "at least 4 times a block, 8000 here, got 4000"),
    ],
)
def test_numbers_outside_their_range_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        activity_modules(np.ones((TIMES, 3)), **arguments)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="activity"):
        activity_modules(np.full((TIMES, 3), np.nan))
