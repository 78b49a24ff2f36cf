"""Figures of a flat torus: colors without a seam, displacements from source to target, paths that wrap around."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from matplotlib.figure import Figure

from riemod.manifolds import Torus
from riemod.plotting import plot_closed_paths, plot_torus_key, plot_weights_by_displacement, torus_colors
from tests.strategies import seeds

TORUS = Torus(2, period=4.0)


def angles(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 2 * np.pi, (count, 2))


@given(seed=seeds)
def test_colors_have_no_seam(seed: int) -> None:
    places = angles(50, seed)
    around = places + 2 * np.pi * np.random.default_rng(seed).integers(-2, 3, places.shape)
    np.testing.assert_allclose(torus_colors(around), torus_colors(places), atol=1e-9)
    nudged = places + np.random.default_rng(seed).uniform(-0.02, 0.02, places.shape)
    assert np.abs(torus_colors(nudged) - torus_colors(places)).max() < 0.05


def test_places_that_are_far_apart_differ_in_color() -> None:
    places = angles(400, 0)
    colors = torus_colors(places)
    apart = Torus(2, period=2 * np.pi).distance(torch.from_numpy(places), torch.from_numpy(places)).numpy()
    differ = np.linalg.norm(colors[:, None] - colors[None], axis=-1)
    # The most alike of places that are far apart differ more than most places that are a fortieth of a circle apart.
    near = differ[(apart > 0) & (apart < 0.05 * math.pi)]
    assert differ[apart > 0.7 * math.pi].min() > 1.5 * np.quantile(near, 0.95)


def test_units_without_a_place_are_gray() -> None:
    (silent, seen) = torus_colors(np.array([[np.nan, 1.0], [0.0, 1.0]]))
    assert np.ptp(silent) == 0 < np.ptp(seen)


def test_colors_need_two_angles() -> None:
    with pytest.raises(ValueError, match=r"angles must have the shape \(n, 2\), got \(5,\)"):
        torus_colors(np.zeros(5))


def test_the_key_shows_each_place_in_its_color() -> None:
    ax = plot_torus_key(2.0, Figure().subplots())
    image = np.asarray(ax.images[0].get_array())
    assert tuple(ax.images[0].get_extent()) == (0, 2, 0, 2)
    # Row 24 is a quarter up the second circle, column 48 half around the first.
    expected = torus_colors(np.array([[48.5, 24.5]]) * 2 * np.pi / 96)[0]
    np.testing.assert_allclose(image[24, 48], expected, atol=1e-6)


def test_weights_are_drawn_where_targets_lie_as_seen_from_sources() -> None:
    generator = torch.Generator().manual_seed(0)
    points = TORUS.sample(300, generator=generator, dtype=torch.float64)
    # Row j is the target: it is excited by sources one unit to its left and half a unit above it.
    apart = points[:, None] - points[None] - torch.tensor([1.0, -0.5])
    apart = apart - TORUS.period * (apart / TORUS.period).round()
    weight = (-apart.square().sum(-1) / 0.1).exp() - 0.01
    image = plot_weights_by_displacement(weight, points, TORUS, bins=20, ax=Figure().subplots()).images[0]
    means = np.asarray(image.get_array())
    row, column = np.unravel_index(means.argmax(), means.shape)
    centers = (np.arange(20) + 0.5) / 20 * 4 - 2
    assert abs(centers[column] - 1.0) <= 0.2
    assert abs(centers[row] + 0.5) <= 0.2
    assert means.min() < 0


def test_means_of_equal_weights_are_that_weight_and_self_connections_do_not_count() -> None:
    points = TORUS.sample(80, generator=torch.Generator().manual_seed(1))
    weight = torch.full((80, 80), -0.5).fill_diagonal_(100.0)
    image = plot_weights_by_displacement(weight, points, TORUS, bins=9, ax=Figure().subplots()).images[0]
    np.testing.assert_allclose(np.asarray(image.get_array()), -0.5, rtol=1e-6)


def test_a_path_that_leaves_the_square_comes_in_on_the_other_side() -> None:
    path = torch.tensor([[0.2, 1.0], [1.9, 1.1], [1.7, 1.9], [1.8, 0.1]], dtype=torch.float64)
    ax = plot_closed_paths(path, {"net": path[1:]}, 2.0, Figure().subplots())
    pieces = np.diff(np.asarray(ax.lines[0].get_xydata()), axis=0)
    lengths = np.linalg.norm(pieces, axis=1)
    steps = TORUS.__class__(2, period=2.0).distance(path[:-1], path[1:]).diagonal().numpy()
    # No line across the square; a crossing is drawn on both sides.
    np.testing.assert_allclose(sorted(lengths[np.isfinite(lengths)]), sorted([*steps, steps[0], steps[2]]), atol=1e-9)
    assert [line.get_label() for line in ax.lines] == ["true path", "net", "start"]
