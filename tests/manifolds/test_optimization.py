"""What RiemannianAdam does with points: they stay on their manifold, a step is a length, and momentum crosses seams."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod.manifolds import Euclidean, KleinBottle, PoincareBall, Product, Sphere, Torus
from riemod.manifolds._geoopt import geoopt
from tests.strategies import (
    MANIFOLDS,
    dims,
    generator,
    lengths,
    manifolds,
    neighbors,
    scattered_points,
    seeds,
    tangents,
    typical_length,
)


def repulsion(manifold, points):
    """Points near each other repel: a small problem that keeps every point moving, through seams and past poles."""
    coordinates = manifold.coordinates(points)
    scale = (typical_length(manifold) / 4) ** 2
    return torch.exp(-manifold.squared_distance(coordinates, coordinates) / scale).mean()


def shortest_length(manifold):
    """The typical length of the smallest factor."""
    if isinstance(manifold, Product):
        return min(shortest_length(factor) for factor in manifold.factors)
    return typical_length(manifold)


@pytest.mark.parametrize(
    "name",
    ["space", "circle", "large 4-sphere", "torus", "Klein bottle", "hyperbolic space", "learned curvature", "product"],
)
def test_points_stay_on_their_manifold(name):
    manifold = copy.deepcopy(MANIFOLDS[name])
    start = manifold.sample(12, generator=generator(0), dtype=torch.float32)
    points = manifold.parameter(start)
    optimizer = geoopt.optim.RiemannianAdam([points, *manifold.parameters()], lr=typical_length(manifold) / 200)
    traveled = torch.zeros(12)
    for step in range(1000):
        before = points.detach().clone()
        optimizer.zero_grad()
        repulsion(manifold, points).backward()
        optimizer.step()
        if step % 100 == 0:
            manifold.check_points(points)
            traveled += manifold.distance(before, points.detach()).diagonal()
    manifold.check_points(points)
    assert bool((traveled > 0).all())
    assert repulsion(manifold, points).item() < repulsion(manifold, start).item()
    if isinstance(manifold, Sphere):
        assert (points.detach().double().norm(dim=1) - 1).abs().max().item() < 3e-7


@given(manifold=manifolds(), seed=seeds, slope=st.sampled_from([1e-3, 1.0, 1e3]))
def test_a_first_step_moves_by_the_learning_rate(manifold, seed, slope):
    factors = manifold.factors if isinstance(manifold, Product) else (manifold,)
    rate = shortest_length(manifold) / 100
    start = manifold.sample(5, generator=generator(seed), dtype=torch.float64)
    points = manifold.parameter(start)
    direction = torch.randn(start.shape, generator=generator(seed + 1), dtype=torch.float64)
    (slope / rate * (points * direction).sum()).backward()
    geoopt.optim.RiemannianAdam([points], lr=rate, eps=1e-12).step()
    sizes = [factor.coordinate_dim for factor in factors]
    for factor, before, after in zip(factors, start.split(sizes, 1), points.detach().split(sizes, 1), strict=True):
        moved = factor.distance(before, after).diagonal()
        torch.testing.assert_close(moved, torch.full_like(moved, rate), rtol=1e-4, atol=0)


@given(manifold=manifolds(), seed=seeds)
def test_exponential_map_goes_as_far_as_the_vector_is_long(manifold, seed):
    points = scattered_points(manifold, seed, torch.float64)
    reach = 0.1 * shortest_length(manifold)
    near = neighbors(manifold, points, reach, seed)
    distance = manifold.distance(points, near).diagonal()
    torch.testing.assert_close(distance, torch.full_like(distance, reach), rtol=1e-6, atol=0)
    torch.testing.assert_close(
        manifold.geometry.dist2(points, near), distance.square(), rtol=1e-5, atol=1e-9 * reach**2
    )


@given(manifold=manifolds(), seed=seeds)
def test_logarithm_undoes_the_exponential_map(manifold, seed):
    points = scattered_points(manifold, seed, torch.float64)
    reach = 0.1 * shortest_length(manifold)
    vectors = reach * tangents(manifold, points, seed)
    back = manifold.geometry.logmap(points, manifold.geometry.expmap(points, vectors))
    torch.testing.assert_close(back, vectors, rtol=1e-5, atol=1e-6 * vectors.abs().max().item())


def flow(geometry, point, vector, steps):
    """Walk along a geodesic in small steps, carrying the vector."""
    for _ in range(steps):
        point, vector = geometry.retr_transp(point, vector, vector)
    return point, vector


@pytest.mark.parametrize(
    "manifold", [Euclidean(2), Torus(2), KleinBottle(), KleinBottle(2 * math.pi), PoincareBall(2)], ids=repr
)
def test_many_small_steps_with_momentum_follow_one_geodesic(manifold):
    points = manifold.sample(200, generator=generator(1), dtype=torch.float64)
    vectors = 0.1 * tangents(manifold, points, seed=2)
    steps = 30 if isinstance(manifold, PoincareBall) else 400
    end, carried = flow(manifold.geometry, points, vectors, steps)
    direct = manifold.geometry.expmap(points, steps * vectors)
    assert manifold.distance(end, direct).diagonal().max().item() < 1e-6
    speed = manifold.geometry.norm(end, carried)
    torch.testing.assert_close(speed, torch.full_like(speed, 0.1), rtol=1e-6, atol=0)


def test_momentum_turns_over_at_the_seam_of_the_klein_bottle():
    geometry = KleinBottle().geometry
    point, step = torch.tensor([[9.9, 2.0]]), torch.tensor([[0.2, 0.5]])
    momentum = torch.tensor([[3.0, 4.0]])
    landed, carried = geometry.retr_transp(point, step, momentum)
    torch.testing.assert_close(landed, torch.tensor([[0.1, 7.5]]), rtol=0, atol=1e-6)
    assert torch.equal(carried, torch.tensor([[3.0, -4.0]]))
    inside, kept = geometry.retr_transp(torch.tensor([[5.0, 9.9]]), step, momentum)
    torch.testing.assert_close(inside, torch.tensor([[5.2, 0.4]]), rtol=0, atol=1e-6)
    assert torch.equal(kept, momentum)
    assert torch.equal(geometry.transp(point, landed, momentum), carried)
    assert torch.equal(geometry.transp_follow_retr(point, step, momentum), carried)
    assert torch.equal(geometry.transp_follow_expmap(point, step, momentum), carried)
    twice = geometry.retr_transp(point, torch.tensor([[10.2, 0.0]]), momentum)
    torch.testing.assert_close(twice[0], torch.tensor([[0.1, 2.0]]), rtol=0, atol=2e-6)
    assert torch.equal(twice[1], momentum)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("period", [10.0, 2 * math.pi, 0.1])
@pytest.mark.parametrize(
    "make", [lambda p: Torus(2, period=p), lambda p: KleinBottle(period=p)], ids=["torus", "klein"]
)
def test_steps_of_any_size_end_inside_the_square(make, period, dtype):
    manifold = make(period)
    x = torch.tensor([0.0, period / 2, period], dtype=dtype).nextafter(torch.tensor(-1.0, dtype=dtype)).abs()
    tiny = torch.tensor([0.0, 1e-30, 1e-12, 1e-7, 1e-5, period, 3 * period], dtype=dtype)
    grid = torch.cartesian_prod(torch.cat((x, tiny[:3])), torch.cat((tiny, -tiny)))
    points = manifold.geometry.projx(grid[:, :1].expand(-1, 2))
    landed = manifold.geometry.retr(points, grid[:, 1:].expand(-1, 2))
    assert bool(((landed >= 0) & (landed < period)).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("period", [10.0, 2 * math.pi, 0.1, 7.3])
def test_a_step_of_rounding_size_is_no_jump_at_the_seam_of_the_klein_bottle(period, dtype):
    bottle = KleinBottle(period=period)
    last = torch.tensor(period, dtype=dtype).nextafter(torch.tensor(0.0, dtype=dtype)).item()
    tiny = torch.tensor([0.0, 1e-30, 1e-12, 1e-7 * period], dtype=dtype)
    grid = torch.cartesian_prod(torch.tensor([0.0, last], dtype=dtype), torch.cat((tiny, -tiny)))
    height = torch.full((len(grid),), 0.3 * period, dtype=dtype)
    points, steps = torch.stack((grid[:, 0], height), dim=1), torch.stack((grid[:, 1], 0 * height), dim=1)
    landed, carried = bottle.geometry.retr_transp(points, steps, torch.ones_like(steps))
    # The height turns over with the side that the point lands on, and the momentum with the height.
    assert bottle.distance(points, landed).diagonal().max().item() <= 3e-7 * period
    assert torch.equal(carried[:, 1] < 0, landed[:, 1] > period / 2)


@given(dim=dims, radius=lengths, seed=seeds)
def test_sphere_s_metric_carries_the_radius(dim, radius, seed):
    geometry = Sphere(dim, radius=radius).geometry
    points = Sphere(dim).sample(6, generator=generator(seed), dtype=torch.float64)
    vectors = tangents(Sphere(dim, radius=radius), points, seed + 1)
    assert torch.allclose(geometry.inner(points, vectors), torch.ones(6, dtype=torch.float64))
    assert torch.allclose(vectors.norm(dim=1), torch.full((6,), 1 / radius, dtype=torch.float64))
