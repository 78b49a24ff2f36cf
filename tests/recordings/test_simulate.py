"""Simulated populations fire as they say."""

import math

import numpy as np
import pytest
import torch

from riemod.recordings import Spikes, mean_rates, simulate


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_walk_stays_in_its_box_and_the_head_points_along_it() -> None:
    walk = simulate.random_walk(3, 0.8, generator=generator())
    assert walk.position.min() >= 0
    assert walk.position.max() <= 0.8
    steps = np.diff(walk.position, axis=0)
    along = steps[:, 0] * np.cos(walk.heading[1:]) + steps[:, 1] * np.sin(walk.heading[1:])
    inside = (walk.position[1:] > 0.03).all(1) & (walk.position[1:] < 0.77).all(1)
    np.testing.assert_allclose(along[inside], np.linalg.norm(steps, axis=1)[inside], atol=1e-12)
    assert np.linalg.norm(steps, axis=1).mean() / 0.02 == pytest.approx(0.15 * math.sqrt(math.pi / 2), rel=0.15)


def test_poisson_spikes_have_their_rates() -> None:
    rates = np.tile([2.0, 30.0], (50_000, 1))
    rates[:25_000, 0] = 0
    trains = simulate.poisson_spikes(rates, generator=generator())
    counts = [len(train) for train in trains]
    for count, mean in zip(counts, rates.sum(axis=0) * 0.02, strict=True):
        assert abs(count - mean) < 4 * math.sqrt(mean)
    assert trains[0].min() >= 500
    intervals = np.diff(trains[1])
    assert intervals.std() / intervals.mean() == pytest.approx(1, abs=0.03)
    assert (intervals >= 0).all()


def test_populations_have_the_rates_of_their_docstrings() -> None:
    for make, share in ((simulate.head_direction_cells, 0.25), (simulate.grid_module, 0.2)):
        recording = make(40, 4, peak_rates=(20.0, 20.0), generator=generator())
        assert mean_rates(recording).mean() == pytest.approx(20 * share, rel=0.15)
        assert recording.seconds == pytest.approx(240)
        assert len(recording.units) == 40


def test_a_grid_cell_has_equal_fields_one_spacing_apart() -> None:
    recording = simulate.grid_module(
        2, 40, peak_rates=(40.0, 40.0), spacing=0.5, orientation=0.2, generator=generator()
    )
    assert isinstance(recording.activity, Spikes)
    assert recording.position is not None
    train = recording.activity.times[0]
    index = np.clip(np.searchsorted(recording.position.times, train), 0, len(recording.position.times) - 1)
    places = recording.position.values[index]
    # The spikes gather where all three waves are in phase: mean exp(i k x) is long for each, and short for others.
    length = 4 * math.pi / (math.sqrt(3) * 0.5)

    def gathered(angle: float, scale: float = 1.0) -> float:
        wave = scale * length * np.array([math.cos(angle), math.sin(angle)])
        everywhere = np.exp(1j * recording.position.values @ wave).mean()
        return float(abs(np.exp(1j * places @ wave).mean() - everywhere))

    for turn in range(3):
        assert gathered(0.2 + math.pi / 2 + turn * math.pi / 3) > 0.3
        assert gathered(0.2 + math.pi / 2 + (turn + 0.5) * math.pi / 3) < 0.1
    assert gathered(0.2 + math.pi / 2, 0.7) < 0.1


def test_the_same_seed_gives_the_same_recording() -> None:
    first, second = (simulate.place_cells(3, 1, generator=generator(5)) for _ in range(2))
    assert isinstance(first.activity, Spikes)
    assert isinstance(second.activity, Spikes)
    for one, other in zip(first.activity.times, second.activity.times, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 1}, "units must be an integer from 2 to 100000, got 1"),
        ({"minutes": 0}, "minutes must be positive"),
        ({"minutes": 2000.0}, "minutes must be at most 1440"),
        ({"peak_rates": (30.0, 10.0)}, "peak_rates must be the lowest and the highest rate"),
        ({"peak_rates": (0.0, 10.0)}, "peak_rates must be positive"),
        ({"width": 0}, "width must be positive"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate.head_direction_cells(**{"units": 3, "minutes": 0.1, **arguments})
