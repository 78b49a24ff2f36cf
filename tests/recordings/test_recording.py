"""Recordings from arrays: what they hold, and what is refused with which words."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemod.recordings import Samples, Spikes, from_samples, from_spikes


def test_spikes_by_unit_and_spikes_with_ids_are_the_same() -> None:
    by_unit = from_spikes([[0.2, 0.9], [0.1], [0.5, 0.5]], spans=(0, 1), units=["7", "8", "12"])
    together = from_spikes([0.1, 0.2, 0.5, 0.5, 0.9], [8, 7, 12, 12, 7], spans=(0, 1))
    assert by_unit.units == together.units == ("7", "8", "12")
    assert isinstance(by_unit.activity, Spikes)
    assert isinstance(together.activity, Spikes)
    for first, second in zip(by_unit.activity.times, together.activity.times, strict=True):
        np.testing.assert_array_equal(first, second)
    assert by_unit.seconds == together.seconds == 1.0


def test_units_without_spikes_are_kept_if_they_are_named() -> None:
    found = from_spikes([0.1, 0.2, 0.3], ["a", "b", "a"], units=["a", "b", "c"])
    assert isinstance(found.activity, Spikes)
    assert [len(train) for train in found.activity.times] == [2, 1, 0]
    assert from_spikes([0.1, 0.3], [1.0, 2.0]).units == ("1", "2")
    with pytest.raises(ValueError, match="units must name every unit of ids, got none of the name 'b'"):
        from_spikes([0.1, 0.2], ["a", "b"], units=["a", "c"])


def test_the_span_is_what_was_tracked_or_the_spikes() -> None:
    trains = [[1.0, 2.0], [3.0]]
    np.testing.assert_array_equal(from_spikes(trains).spans, [[1, 3]])
    tracked = from_spikes(trains, position=np.zeros((3, 2)), position_times=[0.0, 2.0, 5.0])
    np.testing.assert_array_equal(tracked.spans, [[0, 5]])
    assert tracked.position is not None
    assert from_spikes(trains, heading=[0.0, 1.0], heading_times=[0, 4]).heading is not None


def test_lost_positions_are_counted_and_left_out() -> None:
    places = [[0.0, 0.0], [math.nan, 0.0], [1.0, 1.0]]
    found = from_spikes([[1.0], [2.0]], position=places, position_times=[0, 1, 3], heading=[0, math.nan, 1])
    assert found.position is not None
    assert found.heading is not None
    np.testing.assert_array_equal(found.position.times, [0, 3])
    assert (found.position.lost, found.heading.lost) == (1, 1)


@given(st.integers(2, 5), st.integers(2, 40), st.floats(0.01, 1.0))
def test_samples_without_gaps_are_one_span(units: int, count: int, seconds: float) -> None:
    values = np.ones((count, units))
    found = from_samples(values, kind="rates", seconds=seconds)
    assert isinstance(found.activity, Samples)
    assert found.activity.interval == pytest.approx(seconds)
    np.testing.assert_allclose(found.spans, [[0, count * seconds]], atol=1e-9)


def test_a_gap_divides_samples() -> None:
    times = np.concatenate([np.arange(30), np.arange(100, 130)]) * 0.1
    found = from_samples(np.ones((60, 2)), times, kind="calcium", position=np.zeros((60, 2)))
    np.testing.assert_allclose(found.spans, [[-0.05, 2.95], [9.95, 12.95]])
    assert found.position is not None
    np.testing.assert_array_equal(found.position.times, times)


SPIKES = [
    ({"times": [[0.1]]}, "at least 2 units, got 1"),
    ({"times": [[], []]}, "times must hold spikes, got none of any unit"),
    ({"times": [[0.2, 0.1], [0.3]]}, "times of unit 0 must ascend, got 0.1 s after 0.2 s: sort them"),
    ({"times": [[0.2, math.nan], [0.3]]}, "times of unit 0 must be finite"),
    (
        {"times": [[0.1, 0.2], [0.3, 7.0]], "spans": (0, 1)},
        "0 to 1 s, got 1 of 4 spikes outside, the first of unit 1 at 7",
    ),
    (
        {"times": [[0.1], [0.5]], "spans": [(0, 0.2), (0.6, 1)]},
        "in 2 spans, got 1 of 2 spikes outside, the first of unit 1",
    ),
    ({"times": [[0.1], [0.5]], "spans": (1, 0)}, "spans must ascend and not overlap"),
    ({"times": [[0.1], [0.5]], "spans": [(0, 0.4), (0.3, 1)]}, "spans must ascend and not overlap"),
    ({"times": [[0.1], [0.5]], "spans": (0, math.inf)}, "spans must be finite starts and stops"),
    ({"times": [[0.1], [0.5]], "units": ["a"]}, "units must be one name for each of the 2 units, got 1"),
    ({"times": [[0.1], [0.5]], "units": ["a", "a"]}, "units must differ, got 'a' twice"),
    ({"times": [0.1, 0.5], "ids": [1]}, "ids must be the unit of each of the 2 spikes"),
    ({"times": [0.1, 0.5], "ids": [1, math.nan]}, "ids must be finite"),
    ({"times": [[0.1], [0.5]], "position": [[0, 0], [1, 1]]}, "position_times must be given with position"),
    (
        {"times": [[0.1], [0.5]], "position": np.zeros((2, 3)), "position_times": [0, 1]},
        r"\(p, 1\) or \(p, 2\), got \(2, 3\)",
    ),
    (
        {"times": [[0.1], [0.5]], "position": np.zeros((2, 2)), "position_times": [0, 1, 2]},
        "position_times must have the shape",
    ),
    ({"times": [[0.1], [0.5]], "position": np.zeros((2, 2)), "position_times": [1, 0]}, "position_times must ascend"),
    (
        {"times": [[0.1], [0.5]], "position": np.full((2, 2), np.nan), "position_times": [0, 1]},
        "2 samples that are not NaN",
    ),
    (
        {"times": [[0.1], [0.5]], "heading": [0, 90.0], "heading_times": [0, 1]},
        "heading must be in rad, from -2 pi to 2 pi, got up to 90",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), SPIKES)
def test_bad_spikes_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_spikes(**arguments)


SAMPLES = [
    ({"values": [[1, -1], [0, 0]], "kind": "counts"}, "counts must not be negative, got -1"),
    ({"values": [[1, -0.5], [0, 0]], "kind": "rates"}, "rates must not be negative, got -0.5"),
    ({"values": [[1, 0.5], [0, 0]], "kind": "counts"}, "counts must be whole numbers"),
    (
        {"values": [[1, math.nan], [0, 0]], "kind": "calcium"},
        "values must be finite, got NaN or infinity in 1 of 2 rows",
    ),
    ({"values": [[1], [0]], "kind": "calcium"}, "at least 2 samples of 2 units"),
    ({"values": [[1, 2]], "kind": "calcium"}, "at least 2 samples of 2 units"),
    ({"values": [[1, 2], [3, 4]], "kind": "spikes"}, "kind must be 'counts', 'rates' or 'calcium', got 'spikes'"),
    ({"values": [[1, 2], [3, 4]], "kind": "rates", "seconds": None}, "times or seconds must be given"),
    ({"values": [[1, 2], [3, 4]], "kind": "rates", "times": [0, 1]}, "seconds must be None beside times"),
    ({"values": [[1, 2], [3, 4]], "kind": "rates", "times": [1, 1], "seconds": None}, "times must ascend"),
    (
        {"values": np.ones((6, 2)), "kind": "rates", "times": [0, 1, 2, 5, 6, 7], "seconds": None},
        "1 gaps among 6 samples",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), SAMPLES)
def test_bad_samples_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_samples(**{"seconds": 0.1, **arguments})


def test_what_is_no_number_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="times must be a list of arrays, one a unit"):
        from_spikes(3)
    with pytest.raises(TypeError, match="values must be an array of numbers"):
        from_samples([["a", "b"]], kind="rates", seconds=1)


def test_some_units_are_the_recording_without_the_others() -> None:
    spikes = from_spikes([[0.2, 0.9], [0.1], [0.5]], spans=(0, 1), units=["7", "8", "12"]).only(["12", "7"])
    assert spikes.units == ("7", "12")
    assert isinstance(spikes.activity, Spikes)
    assert [train.tolist() for train in spikes.activity.times] == [[0.2, 0.9], [0.5]]
    samples = from_samples([[0, 1, 2], [3, 4, 5]], kind="counts", seconds=0.5)
    chosen = samples.only(["0", "2"])
    assert isinstance(chosen.activity, Samples)
    assert chosen.activity.values.tolist() == [[0, 2], [3, 5]]
    assert samples.only(samples.units).units == samples.units
    for units, words in ((["0", "7"], "no unit of the name '7'"), (["0"], "got 1"), (["0", "0"], "must differ")):
        with pytest.raises(ValueError, match=words):
            samples.only(units)
