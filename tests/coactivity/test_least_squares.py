"""The repulsion of the co-activity energy against the double sum, and least squares on spheres against its formula."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from riemod import Coactivity, ModuliRegularizer, PointEvidence
from riemod.coactivity import (
    WIDE,
    CoactivityLaw,
    RunningCorrelations,
    coactivity_energy,
    fit_positions,
    fit_to_correlations,
    least_squares,
)
from riemod.coactivity.least_squares import SquaredChord
from riemod.manifolds import Manifold, Sphere, Torus
from riemod.regularization import moduli_penalty
from riemod.regularization.inhibitors import Custom, DifferenceOfGaussians, Inhibitor, Ricker, Sinusoid
from tests.regularization.formulas import plain_squared_distance
from tests.strategies import MANIFOLDS, generator

SPHERES = [Sphere(1), Sphere(2, radius=0.7), Sphere(5, radius=3.0)]


def correlations_of(states: Tensor) -> Tensor:
    seen = RunningCorrelations(states.shape[1])
    seen.observe(states)
    return seen.correlations(states.dtype)


def draw(manifold: Manifold, n: int = 12) -> tuple[Tensor, Tensor]:
    """Points that ask for gradients, and correlations, in float64."""
    states = torch.randn(30, n, generator=generator(1), dtype=torch.float64)
    return manifold.sample(n, generator=generator(0), dtype=torch.float64).requires_grad_(), correlations_of(states)


def assert_same_slopes(found: Tensor, expected: Tensor, points: Tensor) -> None:
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(value, points)[0] for value in (found, expected)]
    torch.testing.assert_close(*slopes, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("name", ["space", "circle", "sphere", "torus", "Klein bottle", "hyperbolic plane"])
@pytest.mark.parametrize("repulsion", [Ricker(), Sinusoid(2.0, 0.3)], ids=lambda law: type(law).__name__)
def test_the_repulsion_is_over_all_pairs(name: str, repulsion: Inhibitor) -> None:
    manifold, law, scale = MANIFOLDS[name], DifferenceOfGaussians(), 1.7
    points, c = draw(manifold)
    distance = manifold.distance(points, points) / scale
    expected = (law(distance) * c + repulsion(distance)).mean()
    assert_same_slopes(coactivity_energy(points, c, manifold, CoactivityLaw(law, scale, repulsion)), expected, points)


def test_without_one_the_energy_keeps_its_bits() -> None:
    torus, law = Torus(2), DifferenceOfGaussians()
    points, c = draw(torus)
    apart = moduli_penalty((-c).clamp_min(0), points, torus, law)
    expected = moduli_penalty(c.clamp_min(0), points, torus, law) - apart
    found = coactivity_energy(points, c, torus, CoactivityLaw(law, 1.0))
    assert torch.equal(found, expected)
    assert_same_slopes(found, expected, points)
    expected = coactivity_energy(points, c, torus, CoactivityLaw(law, 1.0))
    # A repulsion that is the same for all pairs moves nothing.
    flat = coactivity_energy(points, c, torus, CoactivityLaw(law, 1.0, lambda d: 0 * d + 3))
    assert_same_slopes(flat - 3, expected, points)


@pytest.mark.parametrize("sphere", SPHERES, ids=str)
def test_least_squares_is_its_plain_formula(sphere: Sphere) -> None:
    points, c = draw(sphere)
    angle = plain_squared_distance(sphere, points, points).sqrt() / sphere.radius
    expected = (torch.cos(angle.detach()) - c).square().mean()
    found = coactivity_energy(points, c, sphere, least_squares(sphere)) - (2 * c - c**2).mean()
    torch.testing.assert_close(found, expected)
    # By inner products of unit vectors, whose norms cannot move along the sphere.
    unit = points / points.norm(dim=1, keepdim=True)
    assert_same_slopes(found, (unit @ unit.T - c).square().mean(), points)


def test_the_law_is_the_squared_chord() -> None:
    points, _ = draw(Sphere(3))
    angle = Sphere(3, radius=1.0).distance(points, points)
    torch.testing.assert_close(SquaredChord()(angle), torch.cdist(points, points) ** 2)
    assert SquaredChord().collapses


def test_correlations_of_that_rank_are_fitted() -> None:
    sphere = Sphere(2)
    true = sphere.sample(12, generator=generator(2), dtype=torch.float64)
    fitted = fit_to_correlations(
        true @ true.T, sphere, law=least_squares(sphere), restarts=1, steps=60, generator=generator(3)
    )
    torch.testing.assert_close(fitted.points @ fitted.points.T, true @ true.T, atol=0.06, rtol=0)


def test_place_units_of_a_circle_are_laid_around_a_loop() -> None:
    circle, sphere = Sphere(1, radius=1.0), Sphere(5)
    places, positions = (circle.sample(count, generator=generator(count)) for count in (32, 1500))
    c = correlations_of(torch.exp(-(circle.distance(positions, places) ** 2) / 0.5))
    fitted = fit_to_correlations(c, sphere, law=least_squares(sphere), restarts=1, steps=40, generator=generator(4))
    true, found = circle.distance(places, places).flatten(), fitted.distances().detach().flatten()
    # Cosines are fitted where bumps overlap; beyond it correlations, and with them distances, are all alike.
    near = true < 1.5
    assert torch.corrcoef(torch.stack((true[near], found[near])))[0, 1] > 0.97
    assert found[~near].min() > found[true < 1.0].max()


def test_a_regularizer_and_a_net_take_it() -> None:
    sphere, net = Sphere(3), nn.RNN(2, 8)
    law = least_squares(sphere)
    moduli = ModuliRegularizer(net, sphere, strength=0.0, learn=True, generator=generator(5))
    states = torch.randn(30, 8, generator=generator(6))
    evidence = PointEvidence(moduli, Coactivity(), law=law, strength=2.0)
    evidence.observe(states)
    (moduli() + evidence()).backward()
    points = moduli.points.detach().clone().requires_grad_()
    energy = coactivity_energy(points, correlations_of(states), sphere, law)
    torch.testing.assert_close(moduli.points.grad, torch.autograd.grad(2 * energy, points)[0])
    batch = torch.randn(20, 5, 2, generator=generator(7))
    options: dict[str, Any] = {"law": law, "restarts": 1, "steps": 20}
    fitted = fit_positions(net, [batch], sphere, generator=generator(8), **options)
    seen = correlations_of(net(batch)[0].detach().flatten(0, 1))
    direct = fit_to_correlations(seen, sphere, generator=generator(8), **options)
    torch.testing.assert_close(fitted.distances(), direct.distances(), atol=0.02, rtol=0)


def test_a_repulsion_is_followed_from_the_first_step() -> None:
    sphere = Sphere(2)
    _, c = draw(sphere)
    one, other = (
        fit_to_correlations(c, sphere, law=law, restarts=1, steps=9, generator=generator(9))
        for law in (WIDE, replace(WIDE, repulsion=Custom(lambda d: 1e4 / (1 + d))))
    )
    assert other.distances().mean() > one.distances().mean()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CoactivityLaw("dog"), "inhibitor must be an Inhibitor or a function of the distance, got"),
        (
            lambda: replace(WIDE, repulsion="dog"),
            "repulsion must be an Inhibitor or a function of the distance, got",
        ),
        (lambda: replace(WIDE, repulsion=Ricker), "must be an instance, got the class"),
        (lambda: fit_to_correlations(torch.eye(3), Torus(2), law=Ricker()), "law must be a CoactivityLaw"),
        (lambda: least_squares(Torus(2)), "sphere must be a Sphere, got Torus"),
    ],
)
def test_bad_laws_are_named(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()
