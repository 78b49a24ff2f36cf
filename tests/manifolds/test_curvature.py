"""A learned curvature: one parameter, with the right gradient, that leaves the points in the ball."""

import math

import pytest
import torch

from riemod.manifolds import PoincareBall, Product, Torus
from riemod.manifolds._geoopt import geoopt
from tests.strategies import generator


def learned(curvature=-0.5, dim=2):
    return PoincareBall(dim, curvature=curvature, learn_curvature=True, sample_radius=2.0)


def test_curvature_is_one_parameter():
    ball = learned()
    assert ball.curvature == pytest.approx(-0.5)
    assert [name for name, _ in ball.named_parameters()] == ["geometry.log_curvature"]
    assert list(ball.state_dict()) == ["geometry.log_curvature"]
    product = Product([Torus(1), Product([ball])])
    assert [id(p) for p in product.parameters()] == [id(p) for p in ball.parameters()]
    assert len(product.state_dict()) == 1
    for fixed in (PoincareBall(2, curvature=-0.5), Torus(2), Product([Torus(2), PoincareBall(2)])):
        assert not list(fixed.parameters())
        assert not fixed.state_dict()


def test_learned_and_fixed_curvature_measure_alike():
    points = learned().sample(20, generator=generator(0), dtype=torch.float64)
    torch.testing.assert_close(
        learned().distance(points, points).detach(),
        PoincareBall(2, curvature=-0.5).distance(points, points),
        rtol=1e-6,
        atol=0,
    )


@pytest.mark.parametrize("manifold", [learned(), Product([Torus(2), learned()])], ids=repr)
def test_gradient_of_the_curvature_is_that_of_finite_differences(manifold):
    (log_curvature,) = manifold.parameters()
    x, y = manifold.sample(20, generator=generator(1), dtype=torch.float64).split(10)

    def energy():
        return torch.exp(-manifold.squared_distance(manifold.coordinates(x), manifold.coordinates(y)) / 5).sum()

    (gradient,) = torch.autograd.grad(energy(), log_curvature)
    start, step = log_curvature.detach().clone(), 2.0**-10
    values = []
    for sign in (-1, 1):
        log_curvature.data.copy_(start + sign * step)
        values.append(energy().item())
    log_curvature.data.copy_(start)
    assert gradient.item() == pytest.approx((values[1] - values[0]) / (2 * step), rel=1e-4)
    assert gradient.item() != 0


def test_gradient_of_the_curvature_reaches_it_through_the_coordinates_alone():
    ball = learned()
    coordinates = ball.coordinates(ball.sample(5, generator=generator(2)))
    assert coordinates.requires_grad
    cut = coordinates.detach()
    assert not ball.squared_distance(cut, cut).requires_grad
    assert coordinates.shape == (5, ball.tile_dim)


def test_curvature_is_learned_and_points_stay_in_the_ball():
    target = 2.0
    ball = learned(curvature=-0.05)
    points = ball.parameter(ball.sample(2, generator=generator(3)))
    optimizer = geoopt.optim.RiemannianAdam([*ball.parameters()], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        (ball.distance(points.detach(), points.detach())[0, 1] - target).square().backward()
        optimizer.step()
        ball.check_points(points)
    assert ball.distance(points, points)[0, 1].item() == pytest.approx(target, rel=1e-3)
    assert ball.curvature != pytest.approx(-0.05, rel=0.1)
    # geomstats' space follows the curvature.
    rows = points.detach()
    assert ball.reference_distance(rows[:1], rows[1:]).item() == pytest.approx(target, rel=1e-3)


def test_a_step_is_a_length_under_the_curvature_of_the_moment():
    ball = learned()
    (log_curvature,) = ball.parameters()
    log_curvature.data.fill_(math.log(9.0))
    start = ball.sample(4, generator=generator(4), dtype=torch.float64)
    points = ball.parameter(start)
    points.sum().backward()
    geoopt.optim.RiemannianAdam([points], lr=0.01, eps=1e-12).step()
    moved = ball.distance(start, points.detach()).diagonal()
    torch.testing.assert_close(moved.detach(), torch.full((4,), 0.01, dtype=torch.float64), rtol=1e-5, atol=0)
