"""Circular coordinates against the angles that the points were made from."""

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import estimator_checks_generator

from analysis.clouds import circle, noisy
from riemod.topology import CircularCoordinates, circular_correlation
from riemod.topology.circular import reduced_basis

seeds = st.integers(0, 2**32 - 1)


def angles(points: np.ndarray) -> np.ndarray:
    return np.arctan2(points[:, 1], points[:, 0])


def torus(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first, second = circle(n, rng), circle(n, rng)
    points = np.concatenate([first, second], axis=1)
    return points + 0.1 * rng.standard_normal(points.shape), np.stack([angles(first), angles(second)], axis=1)


def test_circle_out_of_sample() -> None:
    rng = np.random.default_rng(700)
    clean = circle(1500, rng)
    points = clean + 0.1 * rng.standard_normal(clean.shape)
    found = CircularCoordinates().fit(points[:1000]).transform(points[1000:])
    assert found.shape == (500, 1)
    assert circular_correlation(angles(clean[1000:]), found[:, 0]) > 0.97


@pytest.mark.parametrize("metric", ["euclidean", "geodesic"])
def test_torus_out_of_sample(metric: str) -> None:
    points, true = torus(1300, 701)
    model = CircularCoordinates(2, metric=metric, n_landmarks=200).fit(points[:1000])  # pyright: ignore[reportArgumentType]
    found = model.transform(torch.tensor(points[1000:]))
    agreement = np.array([[circular_correlation(a, b) for a in true[1000:].T] for b in found.T])
    assert (agreement.max(axis=1) > 0.95).all()
    assert set(agreement.argmax(axis=1)) == {0, 1}
    assert abs(model.correlations_[0, 1]) < 0.2


def test_sheared_torus_is_decorrelated() -> None:
    """Whichever cocycles the reduction happens to give, the coordinates turn around one circle each."""
    forms = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.1]])
    shear = np.array([[3.0, 2.0], [4.0, 3.0]])
    basis = reduced_basis(shear @ forms)
    np.testing.assert_allclose(sorted(np.abs(basis @ shear).tolist()), [[0.0, 1.0], [1.0, 0.0]], atol=1e-12)


@given(seeds)
def test_reduced_basis_is_unimodular_and_short(seed: int) -> None:
    forms = np.random.default_rng(seed).standard_normal((2, 5))
    basis = reduced_basis(forms)
    first, second = basis @ forms
    assert abs(np.linalg.det(basis)) == pytest.approx(1)
    np.testing.assert_array_equal(basis, basis.round())
    assert abs(first @ second) <= 0.5 * min(first @ first, second @ second) * (1 + 1e-6)


def test_forms_are_closed_and_turn_once() -> None:
    points = circle(400, np.random.default_rng(702))
    model = CircularCoordinates(n_landmarks=40).fit(points)
    form = model.forms_[0].toarray()
    np.testing.assert_allclose(form, -form.T)
    i, j, k = np.argwhere(model.joined_[:, :, None] & model.joined_[None] & model.joined_.T[:, None]).T
    np.testing.assert_allclose(form[i, j] + form[j, k] + form[k, i], 0, atol=1e-6)
    order = np.argsort(angles(model.landmarks_))
    assert abs(form[order, np.roll(order, -1)].sum()) == pytest.approx(1, abs=1e-6)


@given(seeds, st.floats(-10, 10), st.sampled_from([1, -1]))
def test_correlation_knows_rotation_and_reflection(seed: int, turn: float, sign: int) -> None:
    angle = np.random.default_rng(seed).uniform(0, 7, 50)
    assert circular_correlation(angle, turn + sign * angle) == pytest.approx(1)
    assert circular_correlation(angle, np.random.default_rng(seed + 1).uniform(0, 7, 50)) < 0.65


def test_same_seed_same_bits() -> None:
    points = noisy(circle)(300, np.random.default_rng(703))
    first, second = (CircularCoordinates(random_state=1).fit(points).transform(points) for _ in range(2))
    np.testing.assert_array_equal(first, second)


# Its data have no loop, which is an error.
LOOPLESS = {"check_n_features_in_after_fitting": "the data have no bar in degree 1"}


@pytest.mark.parametrize(
    ("estimator", "check"),
    list(estimator_checks_generator(CircularCoordinates(), expected_failed_checks=LOOPLESS, mark="xfail")),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_s_own_checks(estimator: CircularCoordinates, check: object) -> None:
    jaxtyping.config.update("jaxtyping_disable", True)  # parameters of any type may be set; `fit` looks at them
    check(estimator)  # pyright: ignore[reportCallIssue]


RING = circle(60, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prime": 2}, "odd"),
        ({"prime": 9}, "prime"),
        ({"n_coordinates": 0}, "n_coordinates"),
        ({"n_coordinates": 400}, r"of bars of X in degree 1, \d+, got 400"),
        ({"metric": "cosine"}, "metric"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CircularCoordinates(**options).fit(RING)  # pyright: ignore[reportArgumentType]


def test_points_without_a_loop_are_refused() -> None:
    with pytest.raises(ValueError, match="bars of X in degree 1, 0, got 1"):
        CircularCoordinates().fit(np.linspace(0, 1, 60)[:, None] * np.ones(2))


def test_angles_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        circular_correlation(np.zeros(3), np.zeros(4))


def test_several_columns_of_angles_are_refused_and_one_is_not() -> None:
    angle = np.linspace(0, 6, 20)
    assert circular_correlation(angle[:, None], angle) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"first must be one angle a row, \(n,\) or \(n, 1\), got the shape \(10, 2\)"):
        circular_correlation(angle.reshape(10, 2), angle)
