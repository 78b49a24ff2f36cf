"""Distances against their definitions: to float64 rounding in float64, to 1e-5 in float32 wherever the points lie."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod.manifolds import KleinBottle, PoincareBall, Sphere, Torus
from tests.manifolds.oracles import distances
from tests.strategies import (
    DTYPES,
    MANIFOLDS,
    far_points,
    generator,
    lengths,
    manifolds,
    neighbors,
    scattered_points,
    seeds,
)


def check_relative(manifold, x, y, tolerance):
    computed, exact = manifold.distance(x, y).double(), distances(manifold, x, y)
    apart = exact > 1e-6
    assert bool(apart.any())
    assert ((computed - exact).abs()[apart] / exact[apart]).max().item() <= tolerance
    # Closer than that, coordinates near 1 have no digits left to tell.
    assert bool((computed[~apart] <= 2e-6).all())


@pytest.mark.parametrize("name", MANIFOLDS)
def test_float32_distance_is_exact_to_1e_5(name):
    manifold = MANIFOLDS[name]
    x = manifold.sample(300, generator=generator(0), dtype=torch.float64)
    for length in (1e-4, 1e-3, 0.1):
        y = neighbors(manifold, x, length, seed=1)
        check_relative(manifold, x.float(), y.float(), 1e-5)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_float32_distance_is_exact_to_1e_5_near_the_cut_locus(name):
    manifold = MANIFOLDS[name]
    x = manifold.sample(300, generator=generator(2), dtype=torch.float64)
    far = far_points(manifold, x)
    for y in (far, neighbors(manifold, far, 1e-4, seed=3), neighbors(manifold, far, 1e-2, seed=4)):
        check_relative(manifold, x.float(), y.float(), 1e-5)


@given(manifold=manifolds(), seed=seeds)
def test_float32_distance_is_exact_to_1e_5_for_any_size(manifold, seed):
    points = scattered_points(manifold, seed, torch.float32)
    check_relative(manifold, points, points, 1e-5)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_float64_distance_is_exact(name):
    manifold = MANIFOLDS[name]
    points = scattered_points(manifold, 5, torch.float64, n=40)
    check_relative(manifold, points, points, 1e-8)
    x, y = points[:40], points[80:]
    torch.testing.assert_close(manifold.distance(x, y), distances(manifold, x, y), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("period", [10.0, 1.0, 2 * math.pi, 1 / 3])
@pytest.mark.parametrize("kind", ["torus", "Klein bottle"])
def test_points_on_either_side_of_a_seam_keep_their_digits(kind, period):
    manifold = Torus(2, period=period) if kind == "torus" else KleinBottle(period=period)
    corners = period * torch.cartesian_prod(*(torch.tensor([0.0, 0.25, 0.5, 0.75]),) * 2).double()
    for spread in (1e-2, 1e-3, 1e-4):
        around = corners + spread * torch.randn(40, 16, 2, generator=generator(6), dtype=torch.float64)
        points = manifold.geometry.projx(around.reshape(-1, 2).float())
        exact = distances(manifold, points, points)
        error = (manifold.distance(points, points) - exact).abs()
        apart = exact > spread / 10
        assert (error[apart] / exact[apart]).max().item() < 1e-6


@given(radius=lengths, dim=st.integers(1, 5), seed=seeds)
def test_the_norms_of_unit_vectors_do_not_show_in_the_angle(radius, dim, seed):
    sphere = Sphere(dim, radius=radius)
    x = sphere.sample(20, generator=generator(seed))
    y = neighbors(sphere, x, radius * 2e-5, seed + 1)
    stretch = 1 + 8e-6 * (2 * torch.rand(20, 1, generator=generator(seed)) - 1)
    check_relative(sphere, x * stretch, y, 1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors_that_differ_in_their_norm_alone_are_one_point(dtype):
    sphere = Sphere(2)
    x = sphere.sample(500, generator=generator(0), dtype=dtype)
    stretched = x * torch.linspace(1 - 8e-6, 1 + 8e-6, 500, dtype=dtype)[:, None]
    # The norms differ by up to 8e-6, lengths of 4e-5.
    rounding = 3e-6 if dtype == torch.float32 else 1e-9
    assert sphere.distance(x, stretched).diagonal().max().item() < rounding


def test_distances_near_the_boundary_of_the_ball():
    ball = PoincareBall(2)
    radii = torch.linspace(0.9, 0.995, 50, dtype=torch.float32)
    x = torch.stack((radii, torch.zeros_like(radii)), dim=1)
    check_relative(ball, x, x.roll(1, dims=1), 1e-6)
    check_relative(ball, x, neighbors(ball, x, 1e-3, seed=0), 1e-6)


def test_known_distances():
    def between(manifold, x, y):
        return manifold.distance(torch.tensor([x], dtype=torch.float64), torch.tensor([y], dtype=torch.float64)).item()

    assert between(Sphere(2), [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]) == pytest.approx(2.5 * math.pi)
    assert between(Sphere(1), [1.0, 0.0], [-1.0, 0.0]) == pytest.approx(5 * math.pi)
    assert between(Torus(2), [0.5, 0.5], [9.5, 9.5]) == pytest.approx(math.sqrt(2))
    assert between(KleinBottle(), [0.0, 3.0], [0.0, 7.0]) == pytest.approx(4)
    # Across x = 0 the height 3 meets the height 7.
    assert between(KleinBottle(), [0.5, 3.0], [9.5, 7.0]) == pytest.approx(1)
    assert between(KleinBottle(), [0.5, 3.0], [9.5, 3.0]) == pytest.approx(math.sqrt(1 + 16))
    assert between(PoincareBall(1), [0.0], [math.tanh(0.5)]) == pytest.approx(1)
    assert between(PoincareBall(1, curvature=-0.01), [-math.tanh(0.5)], [math.tanh(0.5)]) == pytest.approx(20)
