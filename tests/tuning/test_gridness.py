"""Grid scores of synthetic units: hexagonal and square lattices, single fields, noise."""

import math

import numpy as np
import pytest
import torch

from riemod.manifolds import Euclidean, KleinBottle, Torus
from riemod.tuning.bins import landmark_bins, regular_bins
from riemod.tuning.gridness import autocorrelograms, grid_scores
from riemod.tuning.rate_maps import RateMaps, rate_maps, shuffle_test
from tests.strategies import generator

SIDE = 2.2
BOX = regular_bins(Euclidean(2, side=SIDE), 24, (-SIDE / 2, SIDE / 2))
THIRD = math.pi / 3


def lattice(places, spacing, orientation, waves):
    """A sum of plane waves: three make a hexagonal lattice of that spacing, two a square one."""
    length = {2: 2 * math.pi / spacing, 3: 4 * math.pi / (math.sqrt(3) * spacing)}[waves]
    angles = orientation + torch.arange(waves) * (math.pi / waves) + {2: 0.0, 3: math.pi / 6}[waves]
    directions = torch.stack((angles.cos(), angles.sin())).double()
    return torch.cos(length * (places - 0.1) @ directions).sum(1) + waves


def maps_of(units, bins=BOX):
    return RateMaps(bins, torch.stack(units).numpy(), np.full(len(bins.centers), 1 / len(bins.centers)))


SHAPES = [(spacing, angle) for spacing in (0.4, 0.55, 0.8) for angle in (0.1, 0.4, 0.95)]


def test_hexagonal_lattices_score_high_and_are_measured():
    found = grid_scores(maps_of([lattice(BOX.centers, *shape, 3) for shape in SHAPES]))
    assert found.score.min() > 1.2
    np.testing.assert_allclose(found.spacing, [spacing for spacing, _ in SHAPES], rtol=0.04)
    turned = np.angle(np.exp(6j * (found.orientation - [angle for _, angle in SHAPES]))) / 6
    assert np.abs(turned).max() < math.radians(2)
    assert ((found.orientation >= 0) & (found.orientation < THIRD)).all()


def test_square_lattices_score_below_0():
    found = grid_scores(maps_of([lattice(BOX.centers, *shape, 2) for shape in SHAPES]))
    assert found.score.max() < -0.8


def test_single_fields_and_bands_score_low():
    fields = [
        torch.exp(-(BOX.centers - torch.tensor(place)).square().sum(1) / (2 * 0.2**2))
        for place in [(0.0, 0.0), (0.5, -0.3), (-0.9, 0.9), (0.2, 0.8)]
    ]
    bands = [1 + torch.cos(BOX.centers @ torch.tensor(wave).double()) for wave in [(12.0, 0.0), (9.0, 7.0)]]
    found = grid_scores(maps_of(fields + bands))
    assert found.score.max() < 0.3
    assert np.isnan(found.spacing[:4]).all()


def test_the_shuffle_null_tells_grid_cells_from_noise():
    steps = torch.randn(4000, 2, generator=generator(0), dtype=torch.float64) * 0.15
    # A walk that the walls reflect.
    positions = (torch.remainder(steps.cumsum(0) + SIDE / 2, 2 * SIDE) - SIDE).abs() - SIDE / 2
    grids = torch.stack([lattice(positions, spacing, 0.3, 3) for spacing in (0.5, 0.6, 0.7)], 1)
    spikes = torch.poisson(grids / 3, generator=generator(1))
    noise = torch.rand(4000, 20, generator=generator(2), dtype=torch.float64)
    found = shuffle_test(
        torch.cat((spikes, noise), 1),
        positions,
        regular_bins(Euclidean(2, side=SIDE), 16, (-SIDE / 2, SIDE / 2)),
        lambda maps: grid_scores(maps).score,
        shuffles=19,
        least_shift=200,
        generator=generator(3),
        smoothing=0.1,
    )
    assert found.statistic[:3].min() > 0.9
    assert (found.p_values[:3] == 0.05).all()
    assert (found.p_values[3:] <= 0.05).sum() <= 4
    assert 0.3 < found.p_values[3:].mean() < 0.7


def test_lattices_on_a_torus_go_round():
    torus = Torus(2, period=1.0)
    bins = regular_bins(torus, 40)
    # (8, 0), (4, 7), (-4, 7) are within a degree of 60 degrees apart and fit the torus.
    waves = 2 * math.pi * torch.tensor([[8.0, 0.0], [4.0, 7.0], [-4.0, 7.0]]).double()
    hexagonal = torch.cos(bins.centers @ waves.T).sum(1)
    square = torch.cos(bins.centers @ (2 * math.pi * torch.tensor([[5.0, 0.0], [0.0, 5.0]]).double()).T).sum(1)
    maps = maps_of([hexagonal, square], bins)
    found = grid_scores(maps)
    assert found.score[0] > 1.2
    assert found.score[1] < -0.8
    assert found.spacing[0] == pytest.approx(2 / math.sqrt(3) / 8.04, rel=0.04)
    images = autocorrelograms(maps)
    assert images.shape == (2, 41, 41)
    np.testing.assert_allclose(images[:, 20, 20], 1)
    np.testing.assert_allclose(images[1, 20 + 8, 20], 1)


def test_autocorrelograms_are_correlations_over_the_overlap():
    bins = regular_bins(Euclidean(2, side=1.0), 7)
    rates = np.random.default_rng(0).random((2, 7, 7))
    rates[1, 2, 3] = rates[1, 6, 6] = np.nan
    images = autocorrelograms(RateMaps(bins, rates.reshape(2, 49), np.full(49, 1 / 49)), least_bins=5)
    assert images.shape == (2, 13, 13)
    for unit, image in enumerate(images):
        for x in range(-6, 7):
            for y in range(-6, 7):
                here = rates[unit, max(0, -x) : 7 - max(0, x), max(0, -y) : 7 - max(0, y)].ravel()
                there = rates[unit, max(0, x) : 7 - max(0, -x), max(0, y) : 7 - max(0, -y)].ravel()
                both = np.isfinite(here) & np.isfinite(there)
                value = image[x + 6, y + 6]
                if both.sum() < 5:
                    assert np.isnan(value)
                else:
                    assert value == pytest.approx(np.corrcoef(here[both], there[both])[0, 1], abs=1e-9)


def test_scores_do_not_depend_on_unit_or_offset_of_the_rates():
    maps = maps_of([lattice(BOX.centers, 0.5, 0.2, 3)])
    other = RateMaps(BOX, 1e-6 * maps.rates + 3e-6, maps.occupancy)
    np.testing.assert_allclose(grid_scores(other).score, grid_scores(maps).score, atol=1e-6)


def test_maps_that_have_no_autocorrelogram_are_refused():
    with pytest.raises(
        ValueError,
        match="got 1 of 1 units, the first of them unit 0; leave them out",
    ):
        grid_scores(maps_of([torch.ones(576).double()]))
    for manifold in (KleinBottle(), Torus(1), Euclidean(3)):
        bins = regular_bins(manifold, 4)
        with pytest.raises(ValueError, match="maps must be on regular_bins of"):
            grid_scores(maps_of([torch.arange(float(len(bins.centers))).double()], bins))
    plane = Euclidean(2)
    scattered = landmark_bins(plane.sample(9, generator=generator(0), dtype=torch.float64), plane)
    with pytest.raises(ValueError, match="maps must be on regular_bins of"):
        grid_scores(maps_of([torch.arange(9.0).double()], scattered))
    with pytest.raises(ValueError, match="least_bins must be an integer >= 3"):
        grid_scores(maps_of([BOX.centers[:, 0]]), least_bins=2)


def test_rate_maps_of_a_walk_feed_the_score():
    source = generator(5)
    positions = (torch.rand(8000, 2, generator=source, dtype=torch.float64) - 0.5) * SIDE
    activity = lattice(positions, 0.5, 0.3, 3)[:, None]
    found = grid_scores(rate_maps(activity, positions, BOX, smoothing=0.05))
    assert found.score[0] > 1.2
    assert found.spacing[0] == pytest.approx(0.5, rel=0.04)
