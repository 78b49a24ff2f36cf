"""The energy of co-activity against the plain double sum."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod.coactivity import RING, WIDE, CoactivityLaw, coactivity_energy, natural_scale
from riemod.manifolds import Manifold, Torus
from riemod.regularization.inhibitors import DifferenceOfGaussians, Gaussian, Inhibitor, Ricker
from tests.strategies import MANIFOLDS, generator

SMOOTH: list[Inhibitor] = [DifferenceOfGaussians(), Gaussian(), Ricker()]


def correlations(seed: int, units: int) -> torch.Tensor:
    """Correlations of random activity, of both signs."""
    return torch.corrcoef(torch.randn(units, 5, generator=generator(seed)))


def double_sum(points: torch.Tensor, c: torch.Tensor, manifold: Manifold, law: Inhibitor, scale: float) -> torch.Tensor:
    return (law(manifold.distance(points, points) / scale) * c).mean()


@pytest.mark.parametrize("name", ["space", "circle", "sphere", "torus", "Klein bottle", "hyperbolic plane"])
@pytest.mark.parametrize("law", SMOOTH, ids=lambda law: type(law).__name__)
def test_the_energy_is_the_double_sum(name: str, law: Inhibitor) -> None:
    manifold, scale = MANIFOLDS[name], 1.7
    points = manifold.sample(12, generator=generator(0), dtype=torch.float64).requires_grad_()
    c = correlations(8, 12).double()
    expected = double_sum(points, c, manifold, law, scale)
    found = coactivity_energy(points, c, manifold, CoactivityLaw(law, scale))
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found, points)
    # Row by row: the distances of a point to itself have gradient 0 in both.
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, points)[0], atol=1e-9, rtol=1e-6)


def test_opposite_evidence_cancels() -> None:
    torus = Torus(2)
    points = torus.sample(9, generator=generator(1))
    c = correlations(9, 9)
    one, other = (coactivity_energy(points, sign * c, torus, RING) for sign in (1, -1))
    torch.testing.assert_close(one, -other)


@given(st.floats(0.01, 100.0))
def test_the_natural_scale_is_a_length(period: float) -> None:
    assert natural_scale(Torus(2, period=period)) == pytest.approx(natural_scale(Torus(2, period=1.0)) * period)


BAD_ENERGY = {
    "off": (torch.full((3, 2), 12.0), torch.eye(3), ValueError, "points must lie on Torus"),
    "shape": (torch.zeros(3, 2), torch.eye(4), ValueError, "points must hold 4 points"),
    "dtype": (torch.zeros(3, 2), torch.eye(3, dtype=torch.float64), TypeError, "must have the correlations's dtype"),
}


@pytest.mark.parametrize("name", BAD_ENERGY)
def test_bad_energies_are_named(name: str) -> None:
    points, c, error, message = BAD_ENERGY[name]
    with pytest.raises(error, match=message):
        coactivity_energy(points, c, Torus(2), RING)


def test_a_law_on_no_manifold_and_at_no_scale_is_named():
    with pytest.raises(TypeError, match="manifold must be a Manifold, got str"):
        WIDE.on("torus")
    for factor, message in ((0.0, "factor must be positive and finite, got 0.0"), (1e30, "factor times scale must be")):
        with pytest.raises(ValueError, match=message):
            WIDE.on(Torus(2, period=1e3), factor)
