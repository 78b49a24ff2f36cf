"""Recovered angles against true ones: whatever basis they come in, and nothing where there are none."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod.inspection.coordinates import angles_of_places, match_angles, recover_coordinates
from riemod.inspection.navigation import NavigationArena
from riemod.inspection.states import Sample
from riemod.manifolds import Euclidean, KleinBottle, Manifold, Sphere, Torus
from riemod.topology import ModuliRecovery
from riemod.tuning import regular_bins
from tests.strategies import seeds

BASES = [[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 1], [0, 1]], [[-1, 0], [1, 1]], [[2, 1], [1, 1]]]


def arena(manifold: Manifold) -> NavigationArena:
    return NavigationArena("box", "contractible", manifold, regular_bins(manifold, 9), 0.1)


@given(seed=seeds, basis=st.sampled_from(BASES), shift=st.floats(-9, 9))
def test_two_angles_are_matched_in_any_basis(seed: int, basis: list[list[int]], shift: float) -> None:
    true = np.random.default_rng(seed).uniform(0, 2 * np.pi, (200, 2))
    found = np.mod(true @ np.array(basis).T + shift, 2 * np.pi)
    np.testing.assert_allclose(match_angles(found, true), 1)


@given(seed=seeds)
def test_one_angle_is_matched_up_to_rotation_and_reflection(seed: int) -> None:
    true = np.random.default_rng(seed).uniform(0, 2 * np.pi, (200, 1))
    np.testing.assert_allclose(match_angles(1 - true, true), 1)
    np.testing.assert_array_less(match_angles(2 * true, true), 0.35)


def test_an_angle_that_has_nothing_to_do_with_the_true_one_is_told_apart() -> None:
    true = np.random.default_rng(0).uniform(0, 2 * np.pi, (2000, 2))
    other = np.random.default_rng(1).uniform(0, 2 * np.pi, (2000, 1))
    right, wrong = match_angles(np.concatenate((true[:, 1:], other), 1), true)[::-1]
    assert right == pytest.approx(1)
    assert wrong < 0.1


def test_angles_of_places() -> None:
    circle = angles_of_places(arena(Sphere(1)), torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    np.testing.assert_allclose(circle, [[np.pi / 2], [np.pi]], atol=1e-6)
    torus = angles_of_places(arena(Torus(2, period=4.0)), torch.tensor([[1.0, 3.0]]))
    np.testing.assert_allclose(torus, [[np.pi / 2, 3 * np.pi / 2]])
    # The two names that a point on the glued edge of a Klein bottle has must have one angle.
    klein = angles_of_places(arena(KleinBottle(4.0)), torch.tensor([[0.0, 1.0], [4.0 - 1e-6, 3.0]]))
    assert klein is not None
    np.testing.assert_allclose(np.exp(1j * klein), 1, atol=1e-5)


@pytest.mark.parametrize("manifold", [Sphere(2), Euclidean(2)])
def test_places_without_a_loop_have_no_angle(manifold: Manifold) -> None:
    assert angles_of_places(arena(manifold), torch.zeros(3, manifold.coordinate_dim)) is None


def ring(count: int = 400) -> Sample:
    """States of tuned units on a circle, and where they were taken."""
    angle = torch.rand(count, generator=torch.Generator().manual_seed(0)) * (2 * np.pi)
    likes = torch.arange(8) * (2 * np.pi / 8)
    return Sample((2 * torch.cos(angle[:, None] - likes)).exp(), torch.stack((angle.cos(), angle.sin()), 1))


def fitted(states: torch.Tensor) -> ModuliRecovery:
    return ModuliRecovery(n_nulls=50, n_subsamples=2).fit(states)


def test_angles_of_states_are_compared_with_those_of_the_arena() -> None:
    sample = ring()
    found = recover_coordinates(sample, fitted(sample.states), arena(Sphere(1)))
    assert found is not None
    assert found.angles is not None
    assert found.angles.shape == (400, 1)
    assert found.problem is None
    assert found.to_dict()["correlations"] == [pytest.approx(1, abs=0.02)]


def test_without_an_arena_the_verdict_says_how_many_angles_there_are() -> None:
    sample = ring()
    recovery = fitted(sample.states)
    assert recovery.manifold_ == "circle"
    found = recover_coordinates(sample._replace(positions=None), recovery, None)
    assert found is not None
    assert (found.count, found.correlations, found.angles is None) == (1, None, False)
    recovery.manifold_ = "undecided"
    assert recover_coordinates(sample, recovery, None) is None
    assert recover_coordinates(sample, recovery, arena(Euclidean(2))) is None


def test_states_without_a_loop_have_a_problem_in_place_of_angles() -> None:
    line = torch.linspace(0, 1, 200)[:, None] * torch.ones(3)
    sample = Sample(line, ring(200).positions)
    found = recover_coordinates(sample, fitted(line), arena(Sphere(1)))
    assert found is not None
    assert (found.angles, found.correlations) == (None, None)
    assert found.problem is not None
    assert "n_coordinates" in found.problem
