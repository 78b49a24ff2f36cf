"""Small recordings that the tests share."""

import numpy as np
import torch

from riemod.recordings import Recording, Spikes, simulate


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def heads(units: int = 12, minutes: float = 1.0, seed: int = 0) -> Recording:
    return simulate.head_direction_cells(units, minutes, generator=generator(seed))


def trains_of(recording: Recording) -> list[np.ndarray]:
    assert isinstance(recording.activity, Spikes)
    return list(recording.activity.times)


def same(first: Recording, second: Recording) -> None:
    """Raise unless two recordings have the same units, spikes, spans and tracks, up to rounding."""
    assert first.units == second.units
    for one, other in zip(trains_of(first), trains_of(second), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)
    np.testing.assert_allclose(first.spans, second.spans, rtol=0, atol=1e-9)
    for one, other in ((first.position, second.position), (first.heading, second.heading)):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_allclose(one.times, other.times, rtol=0, atol=1e-9)
            np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-9)
