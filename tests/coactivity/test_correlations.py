"""Running correlations against the correlations of the whole."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod.coactivity import CoactivityLaw, RunningCorrelations
from riemod.regularization.inhibitors import Gaussian
from tests.strategies import generator, seeds


def activity(seed: int, rows: int = 60, units: int = 5, offset: float = 0.0) -> torch.Tensor:
    drawn = generator(seed)
    mixed = torch.randn(rows, units, generator=drawn) @ torch.randn(units, units, generator=drawn)
    return mixed + offset


def seen(*batches: torch.Tensor, forget: float = 0.0) -> RunningCorrelations:
    running = RunningCorrelations(batches[0].shape[-1], forget=forget)
    for batch in batches:
        running.observe(batch)
    return running


@given(seeds, st.lists(st.integers(1, 59), max_size=4, unique=True), st.sampled_from([0.0, 1e4, -1e6]))
def test_any_split_gives_the_correlations_of_the_whole(seed: int, cuts: list[int], offset: float) -> None:
    states = activity(seed, offset=offset)
    running = seen(*states.tensor_split(sorted(cuts)))
    expected = np.corrcoef(states.double().numpy().T)
    np.testing.assert_allclose(running.correlations(torch.float64).numpy(), expected, atol=1e-9)
    assert running.count.item() == len(states)


@given(seeds)
def test_the_order_of_batches_does_not_matter(seed: int) -> None:
    first, second = activity(seed, 20), activity(seed + 1, 33, offset=3.0)
    one, other = seen(first, second), seen(second, first)
    torch.testing.assert_close(one.correlations(torch.float64), other.correlations(torch.float64))


def test_every_leading_axis_counts() -> None:
    states = activity(0)
    torch.testing.assert_close(seen(states.view(3, 4, 5, 5)).comoments, seen(states).comoments)
    assert seen(states[0]).count.item() == 1
    assert not seen(states[0]).correlations().any()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e5 + 0.3])
def test_a_silent_unit_correlates_with_nothing(value: float) -> None:
    states = activity(1)
    states[:, 2] = value
    found = seen(*states.split(7)).correlations()
    assert not found[2].any()
    assert not found[:, 2].any()
    others = [0, 1, 3, 4]
    np.testing.assert_allclose(found[others][:, others].numpy(), np.corrcoef(states[:, others].numpy().T), atol=1e-5)


@given(seeds)
def test_correlations_are_symmetric_and_bounded(seed: int) -> None:
    found = seen(activity(seed, 3)).correlations()
    assert torch.equal(found, found.T)
    assert bool((found.abs() <= 1).all())
    torch.testing.assert_close(found.diagonal(), torch.ones(5))


def test_forgetting_weighs_batches_by_age() -> None:
    old, new = activity(2, 40), activity(3, 40, offset=2.0)
    found = seen(old, new, forget=0.25).correlations(torch.float64)
    weights = np.repeat([0.75, 1.0], 40)
    covariance = np.cov(torch.cat((old, new)).double().numpy().T, aweights=weights, ddof=0)
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(found.numpy(), covariance / np.outer(scale, scale), atol=1e-9)


def test_a_loaded_state_goes_on_to_the_same_bits() -> None:
    first, second = activity(4), activity(5, offset=1.0)
    running = seen(first, forget=0.1)
    loaded = RunningCorrelations(5, forget=0.1)
    loaded.load_state_dict(copy.deepcopy(running.state_dict()))
    for one in (running, loaded):
        one.observe(second)
    assert torch.equal(running.correlations(), loaded.correlations())


def test_a_change_of_dtype_leaves_the_sums_in_float64() -> None:
    running = seen(activity(6))
    before = running.correlations(torch.float64)
    assert torch.equal(running.half().correlations(torch.float64), before)


BAD_STATES = {
    "shape": (torch.zeros(3, 4), ValueError, r"states must have shape \(\.\.\., 5\), got \(3, 4\)"),
    "scalar": (torch.zeros(()), ValueError, "states must have shape"),
    "integers": (torch.zeros(3, 5, dtype=torch.int64), TypeError, "states must be floating-point, got torch.int64"),
    "array": (np.zeros((3, 5)), TypeError, "states must be a tensor, got ndarray"),
    "nan": (torch.full((3, 5), float("nan")), ValueError, "states must be finite"),
    "infinity": (torch.full((3, 5), float("inf")), ValueError, "states must be finite"),
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_bad_states_are_named_and_not_taken_up(name: str) -> None:
    states, error, message = BAD_STATES[name]
    running = seen(activity(7))
    before = running.state_dict()["comoments"].clone()
    with pytest.raises(error, match=message):
        running.observe(states)
    assert torch.equal(running.comoments, before)
    assert running.count.item() == 60


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RunningCorrelations(0), "size must be an integer >= 1, got 0"),
        (lambda: RunningCorrelations(3, forget=1.0), r"forget must be in \[0, 1\), got 1.0"),
        (lambda: CoactivityLaw(Gaussian(), scale=-1.0), "scale must be positive and finite, got -1.0"),
    ],
)
def test_bad_numbers_are_named(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_correlations_are_floating_point():
    seen = RunningCorrelations(3)
    for dtype, message in (
        (torch.int64, "dtype must be floating-point, got torch.int64"),
        ("x", "dtype must be a torch"),
    ):
        with pytest.raises(TypeError, match=message):
            seen.correlations(dtype)
