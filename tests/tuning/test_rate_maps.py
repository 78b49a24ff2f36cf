"""Rate maps, preferred positions and spatial information against histograms, loops and known answers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from riemod.manifolds import Euclidean, KleinBottle, PoincareBall, Product, Sphere, Torus
from riemod.tuning.bins import Bins, landmark_bins, regular_bins
from riemod.tuning.rate_maps import RateMaps, preferred_positions, rate_maps, shuffle_test, spatial_information
from tests.strategies import generator, seeds

REGULAR = [
    regular_bins(Euclidean(2), 12),
    regular_bins(Torus(2, period=3.0), 12),
    regular_bins(Sphere(1), 40),
    regular_bins(Sphere(2), 150),
    regular_bins(KleinBottle(), 12),
]


def sample(manifold, n, seed):
    return manifold.sample(n, generator=generator(seed), dtype=torch.float64)


def activity_of(n, units, seed):
    return torch.rand(n, units, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("manifold", [Euclidean(2, side=3.0), Torus(2, period=3.0), KleinBottle(period=3.0)], ids=repr)
def test_maps_on_squares_are_histograms(manifold):
    positions, activity = sample(manifold, 500, 0), activity_of(500, 3, 1)
    maps = rate_maps(activity, positions, regular_bins(manifold, 6))
    edges = [np.linspace(0, 3, 7)] * 2
    counts = np.histogram2d(*positions.numpy().T, bins=edges)[0]
    np.testing.assert_allclose(maps.occupancy.reshape(6, 6), counts / 500)
    for unit in range(3):
        sums = np.histogram2d(*positions.numpy().T, bins=edges, weights=activity[:, unit].numpy())[0]
        np.testing.assert_allclose(maps.images[unit], sums / counts)


def test_maps_on_the_circle_are_histograms_of_the_angle():
    circle = Sphere(1)
    positions, activity = sample(circle, 300, 0), activity_of(300, 1, 1)
    angles = np.mod(np.arctan2(*positions.numpy().T[::-1]), 2 * np.pi)
    maps = rate_maps(activity, positions, regular_bins(circle, 8))
    counts = np.histogram(angles, 8, (0, 2 * np.pi))[0]
    sums = np.histogram(angles, 8, (0, 2 * np.pi), weights=activity[:, 0].numpy())[0]
    np.testing.assert_allclose(maps.rates[0], sums / counts)


@pytest.mark.parametrize("bins", REGULAR, ids=lambda bins: str(bins.manifold))
def test_smoothing_is_its_definition(bins):
    manifold = bins.manifold
    positions, activity = sample(manifold, 60, 2), activity_of(60, 2, 3)
    width = 1.5 * math.sqrt(1.0 if isinstance(manifold, Torus) else 4.0)
    maps = rate_maps(activity, positions, bins, smoothing=width, seconds=0.1)
    cell = manifold.distance(positions, bins.centers).argmin(1)
    between = manifold.distance(bins.centers, bins.centers)
    for b in range(0, len(bins.centers), 17):
        gaps = between[b][cell]
        weights = torch.exp(-(gaps**2) / (2 * width**2)) * (gaps <= 3 * width)
        expected = (weights[:, None] * activity).sum(0) / (weights.sum() * 0.1)
        np.testing.assert_allclose(maps.rates[:, b], expected.numpy(), rtol=1e-9)
    assert maps.occupancy.sum() == pytest.approx(1)


def test_bins_that_no_sample_is_near_are_nan():
    bins = regular_bins(Torus(1, period=10.0), 10)
    positions = torch.tensor([[0.2], [0.4], [5.5]])
    rough = rate_maps([[1.0], [2.0], [4.0]], positions, bins)
    np.testing.assert_array_equal(rough.rates[0], [1.5, *[np.nan] * 4, 4.0, *[np.nan] * 4])
    smooth = rate_maps([[1.0], [2.0], [4.0]], positions, bins, smoothing=0.4)
    assert np.isfinite(smooth.rates[0]).tolist() == [True, True, False, False, True, True, True, False, False, True]


@pytest.mark.parametrize("bins", REGULAR, ids=lambda bins: str(bins.manifold))
@settings(max_examples=10)
@given(seed=seeds)
def test_the_preferred_position_is_the_center_of_the_field(bins, seed):
    manifold = bins.manifold
    between = manifold.distance(bins.centers, bins.centers)
    spacing = between.fill_diagonal_(torch.inf).amin(1).max().item()
    fields = sample(manifold, 4, seed)
    if isinstance(manifold, Euclidean):
        fields = 2.5 + fields / 2  # away from the walls, which cut a field and move its mean
    rates = torch.exp(-manifold.distance(fields, bins.centers).square() / (2 * (0.8 * spacing) ** 2))
    maps = RateMaps(bins, rates.numpy(), np.full(len(bins.centers), 1 / len(bins.centers)))
    means = manifold.distance(preferred_positions(maps), fields).diagonal()
    peaks = manifold.distance(preferred_positions(maps, peak=True), fields).diagonal()
    assert means.max() < 0.3 * spacing
    assert peaks.max() < 1.01 * spacing


@pytest.mark.parametrize("bins", REGULAR, ids=lambda bins: str(bins.manifold))
def test_the_weighted_mean_is_a_minimum(bins):
    manifold = bins.manifold
    weights = activity_of(3, len(bins.centers), 5) ** 8
    maps = RateMaps(bins, weights.numpy(), np.full(len(bins.centers), 1 / len(bins.centers)))
    raised = weights - weights.amin(1, keepdim=True)

    def left(points):
        return (raised * manifold.distance(points, bins.centers).square()).sum(1)

    means = preferred_positions(maps)
    assert (left(means) <= (raised @ manifold.distance(bins.centers, bins.centers).square()).amin(1) + 1e-9).all()
    for seed in range(20):
        direction = torch.randn(means.shape, generator=generator(seed), dtype=torch.float64)
        beside = manifold.geometry.expmap(means, 1e-4 * manifold.geometry.proju(means, direction))
        assert (left(beside) >= left(means) - 1e-9 * left(means)).all()


def test_landmarks_bin_a_manifold_without_a_grid():
    disc = PoincareBall(2)
    centers, positions = sample(disc, 20, 0), sample(disc, 400, 1)
    bins = landmark_bins(centers, disc)
    rates = torch.exp(-disc.distance(positions, centers[:5]).square())
    maps = rate_maps(rates, positions, bins)
    assert maps.images.shape == (5, 20)
    nearest = preferred_positions(maps, peak=True)
    assert disc.distance(nearest, centers[:5]).diagonal().max() < 1e-9
    assert disc.distance(preferred_positions(maps), centers[:5]).diagonal().max() < 1.0


@given(seed=seeds, factor=st.floats(0.1, 100.0))
def test_spatial_information_is_its_definition_and_free_of_the_unit_of_rates(seed, factor):
    source = np.random.default_rng(seed)
    rates, occupancy = source.random((2, 9)), source.dirichlet(np.ones(9))
    rates[0, :4] = 0
    bins = regular_bins(Torus(1), 9)
    found = spatial_information(RateMaps(bins, rates, occupancy))
    for unit in range(2):
        mean = sum(occupancy * rates[unit])
        bits = sum(p * r / mean * math.log2(r / mean) for p, r in zip(occupancy, rates[unit], strict=True) if r > 0)
        assert found[unit] == pytest.approx(bits, abs=1e-12)
        assert bits >= 0
    scaled = RateMaps(bins, factor * rates, occupancy)
    np.testing.assert_allclose(spatial_information(scaled), found, atol=1e-12)
    np.testing.assert_allclose(
        spatial_information(scaled, per_second=True), found * factor * (rates @ occupancy), rtol=1e-9, atol=1e-12
    )


def test_unseen_bins_carry_no_information_and_an_even_rate_none():
    bins = regular_bins(Torus(1), 4)
    maps = RateMaps(
        bins, np.array([[1.0, 3.0, np.nan, np.nan], [2.0, 2.0, np.nan, np.nan]]), np.array([0.5, 0.5, 0, 0])
    )
    assert spatial_information(maps) == pytest.approx([0.25 * math.log2(0.5) + 0.75 * math.log2(1.5), 0.0])


def test_shuffles_tell_place_cells_from_noise():
    torus = Torus(2)
    steps = torch.randn(2000, 2, generator=generator(0), dtype=torch.float64) * 0.5
    positions = torus.geometry.projx(steps.cumsum(0))
    place = torch.exp(-torus.distance(positions, sample(torus, 10, 1)).square() / 4)
    noise = activity_of(2000, 60, 2)
    arguments = {"shuffles": 39, "least_shift": 100, "smoothing": 1.0}
    found = [
        shuffle_test(a, positions, regular_bins(torus, 8), spatial_information, generator=generator(3), **arguments)
        for a in (place, noise, noise)
    ]
    assert found[0].drawn.shape == (39, 10)
    assert (found[0].p_values == 0.025).all()
    assert found[1].p_values.min() >= 0.025
    assert (found[1].p_values <= 0.05).sum() <= 9
    assert 0.35 < found[1].p_values.mean() < 0.65
    np.testing.assert_array_equal(found[1].drawn, found[2].drawn)
    direct = spatial_information(rate_maps(place, positions, regular_bins(torus, 8), smoothing=1.0))
    np.testing.assert_array_equal(found[0].statistic, direct)


def test_a_shuffle_rolls_each_unit_by_its_own_offset():
    line = Torus(1, period=6.0)
    positions = torch.arange(6.0)[:, None] + 0.5
    activity = torch.eye(6, dtype=torch.float64)[:, :3]

    def place_of_the_spike(maps):
        assert ((maps.rates == 1).sum(1) == 1).all()
        return maps.rates.argmax(1).astype(float)

    drawn = shuffle_test(
        activity,
        positions,
        regular_bins(line, 6),
        place_of_the_spike,
        shuffles=60,
        least_shift=2,
        generator=generator(0),
    ).drawn
    offsets = (drawn - np.arange(3)) % 6
    assert set(offsets.ravel()) == {2.0, 3.0, 4.0}
    assert (offsets[:, 0] != offsets[:, 1]).any()


def test_units_are_selected():
    maps = RateMaps(regular_bins(Torus(1), 3), np.array([[1.0, 1, 1], [0, 1, 2], [0, 0, 0]]), np.full(3, 1 / 3))
    assert maps.varying.tolist() == [False, True, False]
    assert maps.only(maps.varying).rates.tolist() == [[0, 1, 2]]
    with pytest.raises(ValueError, match="maps must not have constant rates, got 2 of 3 units"):
        preferred_positions(maps)
    with pytest.raises(ValueError, match="not be silent everywhere, got 1 of 3 units, the first of them unit 2"):
        spatial_information(maps)
    with pytest.raises(ValueError, match="maps must not have negative rates, got 3 of 3 units"):
        spatial_information(RateMaps(maps.bins, maps.rates - 5, maps.occupancy))


def test_bad_arguments_are_refused():
    torus, bins = Torus(2), regular_bins(Torus(2), 4)
    positions = sample(torus, 10, 0)
    with pytest.raises(ValueError, match="activity must be finite"):
        rate_maps(np.full((10, 2), np.nan), positions, bins)
    with pytest.raises(ValueError, match="positions must be as many as samples of activity, 9, got 10"):
        rate_maps(np.ones((9, 2)), positions, bins)
    with pytest.raises(ValueError, match="positions must lie on"):
        rate_maps(np.ones((10, 2)), positions + 100, bins)
    with pytest.raises(ValueError, match=r"smoothing must be finite and >= 0, got -1\.0"):
        rate_maps(np.ones((10, 2)), positions, bins, smoothing=-1.0)
    with pytest.raises(ValueError, match="seconds must be positive"):
        rate_maps(np.ones((10, 2)), positions, bins, seconds=0.0)
    with pytest.raises(ValueError, match="least_shift must be at most half of the 10 samples, got 6"):
        shuffle_test(np.ones((10, 2)), positions, bins, spatial_information, least_shift=6)
    with pytest.raises(ValueError, match="shuffles must be an integer >= 1"):
        shuffle_test(np.ones((10, 2)), positions, bins, spatial_information, shuffles=0)
    with pytest.raises(ValueError, match="count must be an integer >= 2, got 1"):
        regular_bins(torus, 1)
    with pytest.raises(ValueError, match="box must be None for Torus"):
        regular_bins(torus, 4, (0.0, 1.0))
    with pytest.raises(ValueError, match="box must be two increasing numbers"):
        regular_bins(Euclidean(2), 4, (1.0, 1.0))
    with pytest.raises(TypeError, match="manifold must define"):
        regular_bins(Product([torus, torus]), 4)
    with pytest.raises(ValueError, match="centers must be at least 2, got 1"):
        landmark_bins(positions[:1], torus)
    assert isinstance(landmark_bins(positions, torus), Bins)


def test_maps_of_units_that_there_are_not_are_named():
    maps = RateMaps(regular_bins(Torus(1), 4), np.ones((3, 4)), np.ones(4))
    assert len(maps.only([2, 0]).rates) == len(maps.only(np.array([True, False, True])).rates) == 2
    assert len(maps.only(np.zeros(3, bool)).rates) == 0
    for units, message in (
        ([3], r"units must be some of the indices 0 to 2, got \[3.0\]"),
        ([True], r"units must have the shape \(3,\) as a mask, got \(1,\)"),
        ([0.5], "units must be some of the indices 0 to 2"),
    ):
        with pytest.raises(ValueError, match=message):
            maps.only(units)


def test_positions_in_another_unit_are_refused():
    bins = regular_bins(Euclidean(2), 10, (-0.5, 0.5))
    positions = 100 * (torch.rand(50, 2, generator=generator(0), dtype=torch.float64) - 0.5)
    with pytest.raises(ValueError, match=r"positions must be in the box .* but \d+ of 50 are outside .* the same unit"):
        rate_maps(activity_of(50, 2, 1), positions, bins)
    edge = torch.tensor([[0.58, -0.58]], dtype=torch.float64)
    assert rate_maps([[1.0]], edge, bins).occupancy.sum() == 1
