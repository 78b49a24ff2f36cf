import itertools
import math
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemod.pruning import ConstantSchedule, CubicSchedule, LinearSchedule, Schedule

RAMPS = (LinearSchedule, CubicSchedule)


@st.composite
def ramps(draw, kind=None):
    start, pruning, tail = draw(st.integers(0, 5)), draw(st.integers(1, 30)), draw(st.integers(0, 5))
    kind = draw(st.sampled_from(RAMPS)) if kind is None else kind
    return kind(final=draw(st.floats(0, 1)), epochs=start + pruning + tail, tail=tail, start=start)


@given(ramps(LinearSchedule))
def test_linear_formula(schedule):
    pruning = schedule.epochs - schedule.tail - schedule.start
    for k in range(1, pruning):
        expected = schedule.final * k / (pruning - 1)
        assert schedule(schedule.start + k) == pytest.approx(expected, rel=1e-12, abs=1e-300)


@given(ramps(CubicSchedule))
def test_cubic_formula(schedule):
    pruning = schedule.epochs - schedule.tail - schedule.start
    for k in range(1, pruning):
        expected = schedule.final * (1 - (1 - k / (pruning - 1)) ** 3)
        assert schedule(schedule.start + k) == pytest.approx(expected, rel=1e-12, abs=1e-300)


@given(ramps())
def test_ends(schedule):
    last = schedule.epochs - schedule.tail - 1
    assert all(schedule(epoch) == 0 for epoch in range(schedule.start))
    assert all(schedule(epoch) == schedule.final for epoch in range(last, schedule.epochs + 3))
    assert schedule(schedule.start) == (schedule.final if last == schedule.start else 0)


@given(ramps())
def test_monotone_within_bounds(schedule):
    values = [schedule(epoch) for epoch in range(schedule.epochs + 2)]
    assert all(isinstance(value, float) and 0 <= value <= schedule.final for value in values)
    assert all(first <= second for first, second in itertools.pairwise(values))


def test_paper_schedule():
    schedule = LinearSchedule(final=0.9, epochs=30)
    assert schedule(0) == 0
    assert schedule(29) == 0.9
    assert schedule(1) == pytest.approx(0.9 / 29)


def test_cubic_is_ahead_of_linear():
    linear, cubic = LinearSchedule(0.9, 10, tail=2), CubicSchedule(0.9, 10, tail=2)
    assert all(cubic(epoch) > linear(epoch) for epoch in range(1, 7))


@pytest.mark.parametrize("kind", RAMPS)
@pytest.mark.parametrize(
    ("error", "argument", "fields"),
    [
        (ValueError, "final", {"final": -0.1, "epochs": 3}),
        (ValueError, "final", {"final": 1.1, "epochs": 3}),
        (ValueError, "final", {"final": math.nan, "epochs": 3}),
        (ValueError, "final", {"final": True, "epochs": 3}),
        (ValueError, "final", {"final": "0.5", "epochs": 3}),
        (ValueError, "epochs", {"final": 0.5, "epochs": 0}),
        (ValueError, "epochs", {"final": 0.5, "epochs": True}),
        (ValueError, "epochs", {"final": 0.5, "epochs": 3.0}),
        (ValueError, "tail", {"final": 0.5, "epochs": 3, "tail": -1}),
        (ValueError, "tail", {"final": 0.5, "epochs": 3, "tail": False}),
        (ValueError, "start", {"final": 0.5, "epochs": 3, "start": -1}),
        (ValueError, "start . tail must be less than epochs", {"final": 0.5, "epochs": 3, "tail": 3}),
        (ValueError, "start . tail must be less than epochs", {"final": 0.5, "epochs": 3, "start": 3}),
        (ValueError, "start . tail must be less than epochs", {"final": 0.5, "epochs": 3, "start": 2, "tail": 1}),
    ],
)
def test_bad_fields(kind, error, argument, fields):
    with pytest.raises(error, match=argument):
        kind(**fields)


@pytest.mark.parametrize("schedule", [LinearSchedule(0.5, 3), CubicSchedule(0.5, 3), ConstantSchedule(0.5)])
def test_bad_epochs(schedule):
    with pytest.raises(ValueError, match="epoch"):
        schedule(-1)
    for epoch in (True, 1.0):
        with pytest.raises(ValueError, match="epoch"):
            schedule(epoch)


def test_constant():
    assert {ConstantSchedule(0.25)(epoch) for epoch in range(5)} == {0.25}
    with pytest.raises(ValueError, match="final"):
        ConstantSchedule(1.5)


def test_frozen_and_schedules():
    schedule = LinearSchedule(0.5, 3)
    with pytest.raises(FrozenInstanceError):
        schedule.final = 0.1
    assert isinstance(schedule, Schedule)
    assert schedule == LinearSchedule(0.5, 3) != CubicSchedule(0.5, 3)
