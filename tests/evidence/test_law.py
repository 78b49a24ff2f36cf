"""The law of evidence against its formula in float64, on every manifold."""

import pytest
import torch

from riemod.evidence import EvidenceLaw
from riemod.manifolds._uniform_pairs import mean_distance
from riemod.regularization.inhibitors import Crowding, Gaussian, Ricker
from tests.strategies import MANIFOLDS, generator


@pytest.mark.parametrize("name", MANIFOLDS)
@pytest.mark.parametrize("uniformity", [0.0, 0.3])
def test_energy_and_gradient_are_those_of_the_formula(name: str, uniformity: float) -> None:
    manifold = MANIFOLDS[name]
    points = manifold.sample(9, generator=generator(0), dtype=torch.float64).requires_grad_()
    evidence = torch.randn(9, 9, generator=generator(1), dtype=torch.float64)
    evidence = evidence + evidence.T
    law = EvidenceLaw(uniformity=uniformity).on(manifold)
    found = law.energy(manifold.coordinates(points), evidence, manifold)

    d = manifold.distance(points, points) / mean_distance(manifold)
    a = evidence * (1 - torch.eye(9, dtype=torch.float64))
    a = a / a.abs().sum()
    near = torch.exp(-(d**2) / (2 * 0.63**2))
    expected = (a.clamp_min(0) * (1 - near)).sum() + ((-a).clamp_min(0) * near).sum()
    if uniformity:
        expected = expected + uniformity * torch.exp(-(d**2) / (2 * 0.2**2)).mean().log()
    torch.testing.assert_close(found, expected)
    own, other = (torch.autograd.grad(energy, points, retain_graph=True)[0] for energy in (found, expected))
    torch.testing.assert_close(own, other, atol=1e-9, rtol=1e-6)


def test_evidence_of_zeros_leaves_the_uniformity_alone() -> None:
    manifold = MANIFOLDS["torus"]
    coordinates = manifold.coordinates(manifold.sample(5, generator=generator(0)))
    assert EvidenceLaw(uniformity=0.0).on(manifold).energy(coordinates, torch.zeros(5, 5), manifold).item() == 0


def test_a_scale_that_was_given_stays() -> None:
    law = EvidenceLaw(scale=2.0)
    assert law.on(MANIFOLDS["torus"]) is law


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"attraction": Ricker(), "repulsion": Ricker()}, ValueError, "repulsion must differ from attraction"),
        (
            {"attraction": lambda d: 0 * d, "repulsion": lambda d: 0 * d + 1},
            ValueError,
            "must depend on the distance, got two constants",
        ),
        (
            {"attraction": "gaussian"},
            TypeError,
            "attraction must be an Inhibitor or a function of the distance, got 'gaussian'",
        ),
        ({"uniformity": -1.0}, ValueError, "uniformity must be finite and >= 0, got -1.0"),
        ({"crowding": Gaussian()}, ValueError, r"crowding must be positive at distance 0, got Gaussian\("),
        ({"scale": 0.0}, ValueError, "scale must be positive and finite, got 0.0"),
        ({"attraction": Gaussian, "repulsion": Crowding()}, TypeError, "must be an instance, got the class Gaussian"),
    ],
)
def test_bad_laws_are_named(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        EvidenceLaw(**arguments)
