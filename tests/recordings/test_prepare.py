"""The whole preparation: what it leaves out is counted, and what it gives belongs together."""

import dataclasses

import numpy as np
import pytest

from riemod.recordings import Recording, Spikes, Track, bin_activity, from_samples, from_spikes, prepare, simulate
from tests.recordings.populations import generator, heads, trains_of


def test_nothing_is_left_out_without_being_counted() -> None:
    recording = heads(10, 3)
    burst = np.sort((np.arange(0.5, 170, 1.0)[:, None] + [0, 0.003, 0.006]).ravel())
    trains = [*trains_of(recording), np.array([1.0]), burst]
    position = recording.position
    assert position is not None
    lost = (position.times > 20) & (position.times < 25)
    rest = (position.times > 60) & (position.times < 70)
    values = np.where(rest[:, None], position.values[rest][0], position.values)
    track = Track(position.times[~lost], values[~lost], int(lost.sum()))
    units = tuple(map(str, range(12)))
    recording = Recording(units, Spikes(tuple(trains)), recording.spans, track, recording.heading)
    found = prepare(recording, most_bins=1500, most_points=900, share=0.9, generator=generator())
    tally = found.tally
    assert (tally.units, tally.silent, tally.bursting, tally.units_used) == (12, 1, 1, 10)
    assert tally.bins == 1800
    # Positions are known up to a quarter of a second into the gap.
    assert 40 <= tally.untracked <= 50
    assert 90 <= tally.slow <= 130
    left_out = tally.untracked + tally.slow + tally.over_budget + tally.outlying + tally.not_drawn
    assert tally.bins - left_out == tally.points == len(found.cloud) == 900
    assert tally.over_budget == 1800 - tally.untracked - tally.slow - 1500
    assert tally.outlying == 150
    assert len(found.times) == len(found.points) == len(found.activity) == 1500
    text = found.report()
    for part in ("10 of 12 used, 1 silent", "1 bursting", f"{tally.untracked} untracked", "over the budget of 1,500"):
        assert part in text
    assert found.to_dict()["tally"]["outlying"] == 150


def test_points_activity_and_behavior_belong_to_the_same_bins() -> None:
    recording = heads(8, 2)
    found = prepare(recording, generator=generator())
    binned = bin_activity(recording, found.settings["bin_width"])
    index = np.searchsorted(binned.times, found.times - 1e-6)
    np.testing.assert_array_equal(binned.values[index], found.activity)
    assert found.position is not None
    assert found.heading is not None
    assert recording.position is not None
    near = np.searchsorted(recording.position.times, found.times)
    assert np.abs(found.position - recording.position.values[near]).max() < 0.05
    np.testing.assert_array_equal(found.cloud, found.points[found.drawn])
    assert (np.diff(found.drawn) > 0).all()


def test_the_same_generator_gives_the_same_cloud() -> None:
    recording = heads(8, 2)
    first, second = (prepare(recording, most_points=300, generator=generator(4)).cloud for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_without_a_position_no_bin_is_slow() -> None:
    recording = dataclasses.replace(heads(8, 1), position=None)
    tally = prepare(recording).tally
    assert (tally.untracked, tally.slow) == (0, 0)


def test_calcium_traces_are_standardized_and_may_be_negative() -> None:
    angle = np.linspace(0, 40, 600)
    traces = np.stack([10 * np.cos(angle) - 50, np.sin(angle), np.full(600, 3.0)], axis=1)
    found = prepare(from_samples(traces, kind="calcium", seconds=0.1), smoothing=0.0, share=1.0, components=2)
    assert found.tally.silent == 1
    np.testing.assert_allclose(found.points.std(axis=0), 1, atol=0.05)


def test_a_ring_of_cells_makes_a_ring_of_points() -> None:
    found = prepare(heads(40, 4), generator=generator())
    assert found.heading is not None
    plane = found.points[:, :2]
    around = np.arctan2(plane[:, 1], plane[:, 0])
    aligned = max(abs(np.exp(1j * (around - sign * found.heading)).mean()) for sign in (1, -1))
    assert aligned > 0.9
    assert found.variance.sum() > 0.5


REFUSED = [
    ({"bin_width": 0}, "bin_width must be positive"),
    ({"smoothing": -1}, "smoothing must be finite and >= 0"),
    ({"least_rate": -1}, "least_rate must be"),
    ({"most_bursting": 2}, "most_bursting must be from -1 to 1, got 2"),
    ({"least_speed": -1}, "least_speed must be"),
    ({"components": 0}, "components must be an integer >= 1"),
    ({"share": 0}, "share must be in"),
    ({"most_bins": 10}, "most_bins must be an integer >= 100"),
    ({"most_points": 0}, "most_points must be an integer >= 1"),
    ({"bin_width": 1.0}, "at least 100 bins that can be used, got"),
    ({"least_rate": 100.0}, "at least 2 units that can be used, got 0 of 6: 6 are silent and 0 fire in bursts"),
    ({"least_speed": 9.0}, "in .* the animal is slower than 9 m/s"),
    ({"generator": 3}, "generator must be"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_bad_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        prepare(heads(6, 0.5), **arguments)


def test_centimeters_are_refused() -> None:
    recording = heads(6, 0.5)
    assert recording.position is not None
    track = recording.position._replace(values=100 * recording.position.values)
    with pytest.raises(
        ValueError, match=r"position must be in m and span at most 30 m, got a span of .*: divide cm by 100"
    ):
        prepare(dataclasses.replace(recording, position=track))
    assert prepare(dataclasses.replace(recording, position=track), least_speed=2.5).tally.points > 100


def test_what_does_not_vary_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0 of 2: 2 are silent"):
        prepare(from_samples(np.ones((300, 2)), kind="rates", seconds=0.1))
    with pytest.raises(TypeError, match="recording must be a Recording, got ndarray"):
        prepare(np.ones((300, 2)))
    with pytest.raises(ValueError, match="at least 100 bins"):
        prepare(from_spikes([[0.1, 0.9], [0.2, 0.7]], spans=(0, 1)))


def test_a_grid_module_keeps_its_units() -> None:
    found = prepare(simulate.grid_module(10, 2, generator=generator()), generator=generator())
    assert found.tally.units_used == 10
    assert found.tally.bursting == 0
