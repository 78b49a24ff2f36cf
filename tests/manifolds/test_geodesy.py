"""Distances, geodesics and Frechet means by geomstats, against our closed forms and against searches of every point."""

import math

import numpy as np
import pytest
import torch

from riemod.manifolds import (
    KleinBottle,
    PoincareBall,
    Product,
    Sphere,
    Torus,
    _geomstats,
    frechet_means,
    geodesic_distances,
    geodesics,
)
from tests.manifolds.cylinder import Cylinder
from tests.strategies import MANIFOLDS, generator, neighbors


@pytest.mark.parametrize("name", MANIFOLDS)
def test_points_of_the_space_are_the_points_again(name):
    manifold = MANIFOLDS[name]
    points = manifold.sample(50, generator=generator(0), dtype=torch.float64)
    again = manifold.from_space(manifold.to_space(points))
    manifold.check_points(again)
    assert again.dtype == torch.float64
    assert manifold.distance(points, again).diagonal().max() < 1e-12 * (1 + manifold.distance(points, points).max())


@pytest.mark.parametrize("name", MANIFOLDS)
def test_distances_of_all_pairs_are_those_of_each_pair(name, monkeypatch):
    manifold = MANIFOLDS[name]
    points = manifold.sample(30, generator=generator(1), dtype=torch.float64)
    found = geodesic_distances(points, manifold)
    np.testing.assert_allclose(found, manifold.distance(points, points).detach(), rtol=1e-6, atol=1e-6)
    assert np.array_equal(found, found.T)
    assert not found.diagonal().any()
    monkeypatch.setattr("riemod.manifolds.geodesy._PAIRS", 7)
    assert np.array_equal(geodesic_distances(points, manifold), found)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_geodesics_divide_the_distance_evenly(name):
    manifold = MANIFOLDS[name]
    x, y = manifold.sample(40, generator=generator(2), dtype=torch.float64).split(20)
    curves = geodesics(x, y, manifold, 5)
    assert curves.shape == (20, 5, manifold.coordinate_dim)
    lengths = manifold.distance(x, y).diagonal().detach()
    for step in range(5):
        manifold.check_points(curves[:, step])
        done = manifold.distance(x, curves[:, step]).diagonal().detach()
        left = manifold.distance(curves[:, step], y).diagonal().detach()
        torch.testing.assert_close(done, lengths * step / 4, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(left, lengths * (4 - step) / 4, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_the_mean_of_two_points_is_the_middle_of_their_geodesic(name):
    manifold = MANIFOLDS[name]
    x = manifold.sample(10, generator=generator(3), dtype=torch.float64)
    y = neighbors(manifold, x, 0.1, seed=4)
    middles = geodesics(x, y, manifold, 3)[:, 1]
    for one, other, middle in zip(x.split(1), y.split(1), middles.split(1), strict=True):
        mean = frechet_means(torch.cat((one, other)), torch.ones(1, 2), manifold)
        assert manifold.distance(mean, middle).item() < 1e-6


@pytest.mark.parametrize("manifold", [Sphere(1), Sphere(2), Torus(2), KleinBottle(), PoincareBall(2)], ids=repr)
def test_means_are_the_least_of_a_dense_grid(manifold):
    points = manifold.sample(25, generator=generator(5), dtype=torch.float64)
    # One field a unit; its mean is nowhere near a second minimum.
    weights = torch.exp(-manifold.distance(points[:6], points).square() / 2)
    means = frechet_means(points, weights, manifold)

    def spread(at):
        return weights / weights.sum(1, keepdim=True) @ manifold.distance(points, at).square()

    dense = manifold.sample(40_000, generator=generator(6), dtype=torch.float64)
    assert (spread(means).diagonal() <= spread(dense).amin(1) + 1e-9).all()


@pytest.mark.parametrize("manifold", [Sphere(2, radius=2.0), Product([Torus(1), Sphere(2)])], ids=repr)
def test_means_of_near_points_are_those_of_geomstats(manifold):
    center = manifold.sample(1, generator=generator(7), dtype=torch.float64)
    points = neighbors(manifold, center.expand(12, -1), 0.3, seed=8)
    estimator = _geomstats._load("learning.frechet_mean").FrechetMean(manifold.space).set(epsilon=1e-14)
    theirs = manifold.from_space(np.array(estimator.fit(manifold.to_space(points)).estimate_)[None])
    assert manifold.distance(frechet_means(points, torch.ones(1, 12), manifold), theirs).item() < 1e-6


def test_a_mean_across_the_seam_of_a_torus_is_on_the_seam():
    torus = Torus(2)
    points = torch.tensor([[9.5, 1.0], [0.5, 9.0], [0.0, 0.0]])
    mean = frechet_means(points, torch.tensor([[1.0, 1.0, 1.0]]), torus)
    assert torus.distance(mean, torch.zeros(1, 2, dtype=torch.float64)).item() < 1e-9


def test_weights_count_in_proportion():
    points = torch.tensor([[1.0], [4.0]], dtype=torch.float64)
    means = frechet_means(points, torch.tensor([[2.0, 1.0], [0.0, 5.0], [30.0, 15.0]]), Torus(1))
    torch.testing.assert_close(means[:, 0], torch.tensor([2.0, 4.0, 2.0], dtype=torch.float64))


def test_empty_sets_have_no_geodesics_means_and_distances():
    none = torch.empty(0, 2)
    assert geodesics(none, none, Torus(2), 3).shape == (0, 3, 2)
    assert geodesic_distances(none, Torus(2)).shape == (0, 0)
    assert frechet_means(torch.zeros(3, 2), torch.empty(0, 3), Torus(2)).shape == (0, 2)


def test_bad_arguments_are_named():
    torus, points = Torus(2), torch.zeros(3, 2)
    with pytest.raises(ValueError, match="y must hold as many points as x, 3, got 2"):
        geodesics(points, points[:2], torus, 3)
    with pytest.raises(ValueError, match="steps must be an integer >= 2, got 1"):
        geodesics(points, points, torus, 1)
    with pytest.raises(ValueError, match=r"weights must have the shape \(n, 3\), got \(1, 2\)"):
        frechet_means(points, torch.ones(1, 2), torus)
    for bad in (-1.0, math.nan, 0.0):
        with pytest.raises(ValueError, match="weights must be finite and >= 0, with a positive sum in each row"):
            frechet_means(points, torch.full((1, 3), bad), torus)
    with pytest.raises(TypeError, match="weights must be an array of numbers, got 'x'"):
        frechet_means(points, "x", torus)
    with pytest.raises(ValueError, match="points must be at least one, got none"):
        frechet_means(points[:0], torch.ones(1, 0), torus)
    with pytest.raises(ValueError, match=r"steps must fit the .* of memory here, got 1000000000000"):
        geodesics(points, points, torus, 10**12)
    for call in (
        lambda: geodesic_distances(points, "torus"),
        lambda: geodesics(points, points, "torus", 3),
        lambda: frechet_means(points, torch.ones(1, 3), "torus"),
    ):
        with pytest.raises(TypeError, match="manifold must be a Manifold, got str"):
            call()
    with pytest.raises(ValueError, match="points must have shape"):
        geodesic_distances(torch.zeros(3, 3), torus)
    with pytest.raises(TypeError, match="manifold must define the method 'from_space'"):
        Cylinder().from_space(np.zeros((1, 2)))
