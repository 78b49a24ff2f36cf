"""Distances do not change under the isometries of each manifold, nor with the choice of a point's representative."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod.manifolds import Euclidean, KleinBottle, PoincareBall, Product, Sphere, Torus
from tests.manifolds.isometries import moved
from tests.strategies import dims, lengths, scattered_points, seeds


def check_isometry(manifold, seed):
    points = scattered_points(manifold, seed, torch.float64)
    image = moved(manifold, points, seed + 7)
    before, after = manifold.distance(points, points), manifold.distance(image, image)
    assert not torch.equal(points, image)
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-9 * before.max().item())


@given(dim=dims, side=lengths, seed=seeds)
def test_euclidean_motions(dim, side, seed):
    check_isometry(Euclidean(dim, side=side), seed)


@given(dim=dims, radius=lengths, seed=seeds)
def test_rotations_of_the_sphere(dim, radius, seed):
    check_isometry(Sphere(dim, radius=radius), seed)


@given(dim=dims, period=lengths, seed=seeds)
def test_translations_reflections_and_exchanges_of_the_torus(dim, period, seed):
    check_isometry(Torus(dim, period=period), seed)


@given(period=lengths, seed=seeds)
def test_isometries_of_the_klein_bottle(period, seed):
    check_isometry(KleinBottle(period=period), seed)


@given(dim=dims, scale=lengths, seed=seeds)
def test_mobius_maps_of_the_ball(dim, scale, seed):
    check_isometry(PoincareBall(dim, curvature=-(scale**-2), sample_radius=3 * scale), seed)


@given(seed=seeds)
def test_isometries_of_a_product(seed):
    check_isometry(Product([Torus(2), Sphere(2), Product([KleinBottle(), PoincareBall(2)])]), seed)


@given(dim=dims, period=lengths, seed=seeds, turns=st.integers(-3, 3))
def test_deck_transformations_of_the_torus_keep_the_point(dim, period, seed, turns):
    torus = Torus(dim, period=period)
    points = scattered_points(torus, seed, torch.float64)
    back = torus.geometry.projx(points + turns * period)
    assert torus.distance(points, back).diagonal().max().item() < 1e-12 * period


@given(period=lengths, seed=seeds, across=st.integers(-3, 3), along=st.integers(-3, 3))
def test_deck_transformations_of_the_klein_bottle_keep_the_point(period, seed, across, along):
    bottle = KleinBottle(period=period)
    points = scattered_points(bottle, seed, torch.float64)
    flip = torch.tensor([1.0, -1.0 if across % 2 else 1.0], dtype=torch.float64)
    image = points * flip + period * torch.tensor([across, along], dtype=torch.float64)
    back = bottle.geometry.projx(image)
    assert bottle.distance(points, back).diagonal().max().item() < 1e-11 * period


@pytest.mark.parametrize("period", [10.0, 2 * math.pi])
def test_a_reflection_that_is_none_of_the_klein_bottle_s_isometries_is_noticed(period):
    bottle = KleinBottle(period=period)
    points = scattered_points(bottle, 0, torch.float64)
    shifted = bottle.geometry.projx(points + torch.tensor([0.0, period / 4], dtype=torch.float64))
    assert not torch.allclose(bottle.distance(points, points), bottle.distance(shifted, shifted), atol=1e-3 * period)
