"""What a manifold knows besides its distance: scale, chart, lattice, angles. Each works, or says that it does not."""

import math

import pytest
import torch
from torch import nn

from riemod import ModuliRegularizer, moduli_penalty
from riemod.manifolds import (
    Euclidean,
    KleinBottle,
    Manifold,
    PoincareBall,
    Product,
    Sphere,
    Torus,
    curve_order,
    geodesic_distances,
    geodesics,
)
from riemod.optim import riemannian_adam
from riemod.regularization.inhibitors import DifferenceOfGaussians
from riemod.tuning import rate_maps, regular_bins
from tests.manifolds.cylinder import Cylinder
from tests.strategies import MANIFOLDS, generator

NO_LATTICE = (PoincareBall, Product)


def has_lattice(manifold: Manifold) -> bool:
    return not isinstance(manifold, NO_LATTICE) and not (isinstance(manifold, Sphere) and manifold.dim > 2)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_scaled_distances_are_a_factor_times_the_distances(name: str) -> None:
    manifold = MANIFOLDS[name]
    for factor in (0.3, 3.0):
        other = manifold.scaled(factor)
        assert type(other) is type(manifold)
        assert sum(p.numel() for p in other.parameters()) == sum(p.numel() for p in manifold.parameters())
        x, y = (own.sample(30, generator=generator(0), dtype=torch.float64) for own in (manifold, other))
        torch.testing.assert_close(other.distance(y, y), factor * manifold.distance(x, x), rtol=1e-6, atol=1e-6)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"factor must be positive and finite, got {bad}"):
            manifold.scaled(bad)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_charts_are_inside_of_their_cube_and_keep_neighbors(name: str) -> None:
    manifold = MANIFOLDS[name]
    points = manifold.sample(200, generator=generator(1), dtype=torch.float64)
    lengths, side = manifold.chart(points)
    assert side > 0
    assert bool(((lengths >= -1e-9) & (lengths <= side * (1 + 1e-9))).all())
    order = curve_order(points, manifold)
    steps = manifold.distance(points[order], points[order]).diagonal(1)
    assert steps.mean() < 0.9 * manifold.distance(points, points).mean()


@pytest.mark.parametrize("name", MANIFOLDS)
def test_lattices_are_points_that_cover_their_manifold_evenly(name: str) -> None:
    manifold = MANIFOLDS[name]
    if not has_lattice(manifold):
        with pytest.raises(TypeError, match="manifold must define the method 'lattice', got"):
            manifold.lattice(4)
        return
    count = 60 if isinstance(manifold, Sphere) else 4
    centers, shape, widths = manifold.lattice(count)
    manifold.check_points(centers)
    assert math.prod(shape) == len(centers) == (count if isinstance(manifold, Sphere) else count**manifold.dim)
    drawn = manifold.sample(4000, generator=generator(2), dtype=torch.float64)
    hits = torch.bincount(manifold.distance(drawn, centers).argmin(1), minlength=len(centers))
    assert hits.min() > 0.2 * hits.double().mean()
    assert hits.max() < 2.5 * hits.double().mean()
    assert widths is None or len(widths) == len(shape)
    for bad in (1, 2.0, True):
        with pytest.raises(ValueError, match="count must be an integer >= 2"):
            manifold.lattice(bad)


def test_angles_of_points_on_circles() -> None:
    circle = Sphere(1).angles(torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64))
    assert circle is not None
    torch.testing.assert_close(circle.flatten(), torch.tensor([math.pi / 2, math.pi], dtype=torch.float64))
    product = Product([Sphere(2), Torus(1, period=4.0), Sphere(1)])
    points = product.sample(5, generator=generator(3), dtype=torch.float64)
    joined = product.angles(points)
    assert joined is not None
    torch.testing.assert_close(joined[:, 0], points[:, 3] * math.pi / 2)
    torch.testing.assert_close(joined[:, 1], torch.atan2(points[:, 5], points[:, 4]))
    for flat in (Euclidean(2), Sphere(2), PoincareBall(2), Product([Euclidean(1), Sphere(2)])):
        assert flat.angles(flat.sample(3, generator=generator(4))) is None


@pytest.mark.parametrize("manifold", [Torus(2), KleinBottle()], ids=str)
def test_moving_once_around_adds_a_turn(manifold: Manifold) -> None:
    way = torch.stack((torch.linspace(0, 9.9, 50, dtype=torch.float64), torch.full((50,), 3.0).double()), dim=1)
    angles = manifold.angles(way)
    assert angles is not None
    assert (angles[-1, 0] - angles[0, 0]).item() == pytest.approx(2 * math.pi * 0.99)


def test_a_new_manifold_is_one_class() -> None:
    cylinder, layer = Cylinder(), nn.RNN(2, 40)
    moduli = ModuliRegularizer(layer, cylinder, strength=1.0, learn=True, generator=generator(0))
    torch.testing.assert_close(moduli(), moduli_penalty(layer.weight_hh_l0, moduli.points, cylinder, moduli.inhibitor))
    distances = cylinder.distance(moduli.points, moduli.points)
    expected = (DifferenceOfGaussians()(distances) * layer.weight_hh_l0.abs()).mean()
    torch.testing.assert_close(moduli(), expected)
    start = moduli.points.detach().clone()
    optimizer = riemannian_adam(layer, moduli, lr=1e-3, embedding_lr=0.1)
    moduli().backward()
    optimizer.step()
    moved = cylinder.distance(moduli.points.detach(), start).diagonal()
    assert moved.max().item() == pytest.approx(0.1, rel=0.5)
    assert curve_order(moduli.points, cylinder).unique().numel() == 40
    with pytest.raises(TypeError, match="got Cylinder"):
        regular_bins(cylinder, 4)
    assert cylinder.angles(start) is None


def test_a_manifold_without_a_space_says_so() -> None:
    points = Cylinder().sample(3, generator=generator(0))
    for needs, method in (
        (lambda: Cylinder().space, "make_space"),
        (lambda: Product([Torus(1), Cylinder()]).space, "make_space"),
        (lambda: Cylinder().reference_distance(points, points), "make_space"),
        (lambda: Cylinder().to_space(points), "to_space"),
        (lambda: geodesics(points, points, Cylinder(), 3), "make_space"),
        (lambda: geodesic_distances(points, Cylinder()), "to_space"),
    ):
        with pytest.raises(TypeError, match=f"manifold must define the method '{method}', got Cylinder"):
            needs()


def test_tuning_takes_the_lattice_of_any_manifold() -> None:
    sphere = Sphere(2)
    positions = sphere.sample(4000, generator=generator(5), dtype=torch.float64)
    maps = rate_maps(positions[:, 2:].clamp_min(0), positions, regular_bins(sphere, 50))
    assert maps.rates[0, :20].min() > maps.rates[0, 30:].max()
