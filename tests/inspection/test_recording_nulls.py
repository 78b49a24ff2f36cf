"""Null data of a recording: units that are shifted in time know nothing of one another."""

import numpy as np
import torch

from riemod.inspection.recording_nulls import shifted_units
from riemod.recordings import from_samples, prepare, simulate
from tests.recordings.populations import generator

HEADS = simulate.head_direction_cells(30, 8.0, generator=generator(0))


def test_shifted_units_lose_the_ring_and_keep_size_and_number_of_points() -> None:
    prepared = prepare(HEADS, most_points=1000, generator=generator(0))
    null = shifted_units(prepared)
    first, second = null(prepared.cloud, generator(1)), null(prepared.cloud, generator(2))
    assert first.shape == prepared.cloud.shape == (1000, 6)
    np.testing.assert_array_equal(null(None, generator(1)), first)
    assert not np.array_equal(first, second)
    # Few bins are near the middle of the ring; most shifted ones are.
    for cloud, lowest, highest in ((prepared.cloud, 0.0, 0.1), (first, 0.3, 1.0)):
        radius = np.linalg.norm(cloud[:, :2], axis=1)
        assert lowest <= (radius < 0.7 * np.sqrt(np.mean(radius**2))).mean() <= highest
    # All units together vary as much as before, but no two components have most of it.
    whole = np.square(prepared.stable - prepared.stable.mean(axis=0)).mean(axis=0).sum()
    assert first.var(axis=0).sum() < 0.6 * whole < prepared.cloud.var(axis=0).sum()


def test_calcium_traces_are_shifted_too() -> None:
    traces = np.cumsum(np.random.default_rng(0).standard_normal((2000, 12)), axis=0)
    prepared = prepare(from_samples(traces, kind="calcium", seconds=0.1), generator=torch.Generator().manual_seed(0))
    assert np.isfinite(shifted_units(prepared)(prepared.cloud, generator(0))).all()
