"""Information in time that was not fitted, and decoding, against exact numbers and simulated spikes."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import poisson

from riemod.manifolds import Torus
from riemod.tuning import RateMaps, cross_validated_information, decode, nearest_bins, rate_maps, regular_bins

CIRCLE = Torus(1, period=2 * math.pi)


def simulated(samples: int, seed: int = 0) -> tuple[np.ndarray, torch.Tensor]:
    """Counts of a tuned unit, of one that is not, and of a silent one, at angles that walk around the circle."""
    generator = torch.Generator().manual_seed(seed)
    angles = torch.cumsum(0.3 * torch.randn(samples, 1, generator=generator, dtype=torch.float64), 0) % (2 * math.pi)
    rates = torch.cat([torch.exp(2 * (angles.cos() - 1)), torch.full_like(angles, 0.4), torch.zeros_like(angles)], 1)
    return torch.poisson(rates, generator=generator).numpy(), angles


def test_information_is_the_likelihood_of_the_held_out_fold() -> None:
    counts, angles = simulated(600)
    bins = regular_bins(CIRCLE, 6)
    index, expected = nearest_bins(angles, bins).numpy(), 0.0
    for fold in range(3):
        held = np.arange(600) * 3 // 600 == fold
        maps = rate_maps(counts[~held, :1], angles[torch.from_numpy(~held)], bins)
        mean = counts[~held, 0].mean()
        rate = np.maximum(maps.rates[0], 0.01 * mean)[index[held]]
        expected += (poisson.logpmf(counts[held, 0], rate) - poisson.logpmf(counts[held, 0], mean)).sum()
    found = cross_validated_information(counts, angles, bins, folds=3)
    assert found[0] == pytest.approx(expected / math.log(2) / counts[:, 0].sum())
    assert np.isnan(found[2])


def test_only_tuned_units_have_information() -> None:
    counts, angles = simulated(6000)
    tuned, untuned, _ = cross_validated_information(counts, angles, regular_bins(CIRCLE, 20), smoothing=0.1)
    assert tuned > 0.4
    assert -0.05 < untuned < 0.01


def test_decoding_finds_the_bin_of_the_largest_likelihood() -> None:
    bins = regular_bins(CIRCLE, 3)
    maps = RateMaps(bins, np.array([[10.0, 1, np.nan], [1, 10, 10]]), np.full(3, 1 / 3))
    np.testing.assert_array_equal(decode(np.array([[5.0, 0], [0, 5]]), maps, 0.5), [0, 1])
    rng = np.random.default_rng(0)
    rates = rng.uniform(1, 20, (8, 40))
    maps = RateMaps(regular_bins(CIRCLE, 40), rates, np.full(40, 1 / 40))
    counts = rng.poisson(0.2 * rates[:, 7], (30, 8)).astype(float)
    exact = poisson.logpmf(counts[:, :, None], 0.2 * rates).sum(axis=1).argmax(axis=1)
    np.testing.assert_array_equal(decode(counts, maps, 0.2), exact)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (-np.ones((4, 2)), "counts must not be negative, got -1"),
        (np.ones((4, 3)), "counts must have a column for each"),
    ],
)
def test_bad_counts(counts: np.ndarray, message: str) -> None:
    maps = RateMaps(regular_bins(CIRCLE, 3), np.ones((2, 3)), np.full(3, 1 / 3))
    with pytest.raises(ValueError, match=message):
        decode(counts, maps, 0.5)
    with pytest.raises(ValueError, match="folds must be an integer from 2 to 4"):
        cross_validated_information(np.ones((4, 2)), torch.zeros(4, 1), maps.bins, folds=1)
