"""Steps of the preparation against plain formulas, and laws that they keep."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from riemod.recordings import (
    Track,
    bin_activity,
    burst_index,
    from_samples,
    from_spikes,
    inliers,
    mean_rates,
    principal_components,
    simulate,
    smoothed,
    speed,
    stabilized,
    tracked_at,
)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 9.999), min_size=1, max_size=60), st.sampled_from([0.1, 0.3, 1.0, 2.5]))
def test_every_spike_is_in_its_bin(times: list[float], width: float) -> None:
    train = np.sort(times)
    binned = bin_activity(from_spikes([train, [5.0]], spans=(0, 10)), width)
    count = math.floor(10 / width + 1e-6)
    expected = np.histogram(train, width * np.arange(count + 1))[0]
    # A histogram counts its last edge too.
    expected[-1] -= (train == width * count).sum()
    np.testing.assert_array_equal(binned.values[:, 0], expected)
    assert binned.cut == pytest.approx(10 - width * count)
    np.testing.assert_allclose(binned.times, width * (np.arange(count) + 0.5))


def test_bins_begin_at_each_span() -> None:
    binned = bin_activity(from_spikes([[0.05, 5.05], [5.15]], spans=[(0, 0.25), (5, 5.3), (9, 9.05)]), 0.1)
    assert binned.pieces == (slice(0, 2), slice(2, 5))
    np.testing.assert_allclose(binned.times, [0.05, 0.15, 5.05, 5.15, 5.25])
    np.testing.assert_array_equal(binned.values, [[1, 0], [0, 0], [1, 0], [0, 1], [0, 0]])
    assert binned.cut == pytest.approx(0.1)


def test_samples_are_brought_to_bins() -> None:
    values = np.array([[1, 0], [2, 0], [3, 4], [5, 4], [9, 9]])
    counts = bin_activity(from_samples(values, kind="counts", seconds=0.1), 0.25)
    np.testing.assert_array_equal(counts.values, [[3, 0], [8, 8]])
    assert counts.width == pytest.approx(0.2)
    assert counts.cut == pytest.approx(0.1)
    rates = bin_activity(from_samples(values, kind="rates", seconds=0.1), 0.25)
    np.testing.assert_array_equal(rates.values, [[1.5, 0], [4, 4]])
    coarse = bin_activity(from_samples(values, kind="calcium", seconds=2.0), 0.25)
    np.testing.assert_array_equal(coarse.values, values)
    assert coarse.width == pytest.approx(2.0)


def test_smoothing_keeps_constants_and_stays_within_spans() -> None:
    recording = from_samples(np.ones((40, 2)), np.r_[np.arange(20), np.arange(50, 70)] * 0.1, kind="rates")
    np.testing.assert_allclose(smoothed(bin_activity(recording, 0.1), 0.3), 1.0)
    values = np.r_[np.zeros((20, 2)), np.ones((20, 2))]
    recording = from_samples(values, recording.activity.times, kind="rates")
    np.testing.assert_allclose(smoothed(bin_activity(recording, 0.1), 0.3), values)
    binned = bin_activity(from_samples(np.eye(2, 41).T[::-1] + 0, kind="rates", seconds=0.1), 0.1)
    np.testing.assert_array_equal(smoothed(binned, 0.0), binned.values)


def test_smoothing_is_a_gaussian_in_seconds() -> None:
    values = np.zeros((201, 2))
    values[100] = 1
    found = smoothed(bin_activity(from_samples(values, kind="rates", seconds=0.05), 0.05), 0.2)[:, 0]
    lags = 0.05 * (np.arange(201) - 100)
    assert found.sum() == pytest.approx(1, abs=1e-6)
    assert math.sqrt((found * lags**2).sum()) == pytest.approx(0.2, rel=0.01)


def test_square_roots_stabilize_the_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    rates = torch.tensor([5.0, 10.0, 20.0, 40.0]).expand(20_000, 4)
    counts = torch.poisson(rates, generator=generator).numpy()
    np.testing.assert_allclose(stabilized(counts).var(axis=0), 0.25, atol=0.05)
    with pytest.raises(ValueError, match="values must not be negative, got -1"):
        stabilized([[-1.0, 2.0]])


def test_mean_rates_of_every_kind() -> None:
    np.testing.assert_allclose(mean_rates(from_spikes([[0.1, 0.2], [1.9]], spans=(0, 2))), [1, 0.5])
    values = np.array([[1, 0], [3, 0]])
    np.testing.assert_allclose(mean_rates(from_samples(values, kind="counts", seconds=0.5)), [4, 0])
    np.testing.assert_allclose(mean_rates(from_samples(values, kind="rates", seconds=0.5)), [2, 0])
    np.testing.assert_allclose(mean_rates(from_samples(values, kind="calcium", seconds=0.5)), [1, 0])


def test_bursts_are_told_from_slow_changes_of_rate() -> None:
    generator = torch.Generator().manual_seed(3)
    times = np.arange(0, 600, 0.02)
    slow = 3 * (1 + np.sin(2 * np.pi * times / 5))[:, None]
    poisson = simulate.poisson_spikes(slow, generator=generator)[0]
    assert abs(burst_index(poisson)) < 0.1
    bursts = np.sort((poisson[::2, None] + [0, 0.003, 0.006, 0.009]).ravel())
    assert burst_index(bursts) > 0.8
    regular = np.arange(0, 60, 0.045)
    assert burst_index(regular) == -1
    assert burst_index(np.array([0.0, 0.001, 0.5])) == 0


def test_tracks_are_interpolated_the_short_way_and_end_at_gaps() -> None:
    track = Track(np.array([0.0, 0.1, 0.2, 2.0, 2.1]), np.array([[6.1], [0.1], [0.3], [3.0], [3.1]]), 0)
    found = tracked_at(track, np.array([-0.3, 0.05, 0.15, 1.0, 2.05, 2.5]), angle=True)[:, 0]
    middle = 0.5 * (6.1 - 2 * math.pi + 0.1)
    np.testing.assert_allclose(found[[1, 2, 4]], [middle % (2 * math.pi), 0.2, 3.05])
    assert np.isnan(found[[0, 3, 5]]).all()


def test_speed_of_a_steady_walk() -> None:
    times = np.arange(0, 10, 0.02)
    position = np.stack([0.3 * times, 0.4 * times], axis=1)
    np.testing.assert_allclose(speed(Track(times, position, 0)).values[50:-50], 0.5, rtol=1e-6)


def test_principal_components_have_the_variances_they_say() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((500, 4)) * [4, 3, 2, 1]
    points, shares = principal_components(values, 2)
    np.testing.assert_allclose(points.var(axis=0) / values.var(axis=0).sum(), shares)
    exact = np.linalg.svd(values - values.mean(0), compute_uv=False)[:2] ** 2 / 500
    np.testing.assert_allclose(points.var(axis=0), exact)
    assert principal_components(values, 9)[0].shape == (500, 4)
    with pytest.raises(ValueError, match="values must vary in time"):
        principal_components(np.full((9, 3), 0.3))


def test_points_off_the_manifold_are_told_from_sparse_parts_of_it() -> None:
    rng = np.random.default_rng(1)
    # A tenth of the circle is visited a tenth as often as the rest.
    angle = np.r_[rng.uniform(0.2 * np.pi, 2 * np.pi, 1800), rng.uniform(0, 0.2 * np.pi, 60)]
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    off = 0.5 * rng.standard_normal((80, 2))
    off = off[np.abs(np.hypot(*off.T) - 1) > 0.2]
    kept = inliers(np.r_[circle, off], 1860 / (1860 + len(off)), 100)
    assert kept.sum() == 1860
    assert kept[1800:1860].mean() > 0.9
    assert kept[1860:].mean() < 0.1
    assert inliers(circle, 1.0).all()
    assert inliers(np.zeros((9, 2)), 0.5).sum() == 5
    for share in (0, 1.1, True):
        with pytest.raises(ValueError, match="share must be in"):
            inliers(circle, share)


def test_a_bin_longer_than_the_recording_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bin_width must be at most the longest span .* of 1 s, got 2 s"):
        bin_activity(from_spikes([[0.1], [0.2]], spans=(0, 1)), 2)
    with pytest.raises(ValueError, match="bin_width must be coarser"):
        bin_activity(from_spikes([[0.1], [0.2]], spans=(0, 1e7)), 1e-6)
