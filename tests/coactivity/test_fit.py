"""Points fitted after training: they recover the places of tuned units, from correlations and through a net's hook."""

import math

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from riemod.coactivity import RING, RunningCorrelations, coactivity_energy, fit_positions, fit_to_correlations
from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Product, Sphere, Torus
from tests.strategies import generator


def bumps(manifold: Manifold, units: int, seed: int) -> tuple[Tensor, Tensor]:
    """(correlations, places) of units with Gaussian bumps, a fifth of the diameter wide."""
    places, positions = (manifold.sample(count, generator=generator(seed + count)) for count in (units, 1500))
    seen = RunningCorrelations(units)
    seen.observe(torch.exp(-(manifold.distance(positions, places) ** 2) / (2 * (manifold.diameter / 5) ** 2)))
    return seen.correlations(), places


def agreement(one: Tensor, other: Tensor) -> float:
    rows, columns = torch.triu_indices(len(one), len(one), 1)
    return float(spearmanr(one[rows, columns].detach(), other[rows, columns])[0])


@pytest.mark.parametrize("manifold", [Sphere(1), Sphere(2), Torus(1)], ids=str)
def test_places_are_recovered(manifold: Manifold) -> None:
    correlations, places = bumps(manifold, 24, 3)
    fitted = fit_to_correlations(correlations, manifold, restarts=2, steps=90, generator=generator(1))
    assert agreement(fitted.distances(), manifold.distance(places, places)) > 0.85


def test_positive_correlations_alone_contract() -> None:
    manifold = Torus(1)
    correlations, _ = bumps(manifold, 24, 0)
    fitted = fit_to_correlations(correlations, manifold, restarts=1, steps=60, generator=generator(1))
    positive = fit_to_correlations(correlations.clamp_min(0), manifold, restarts=1, steps=60, generator=generator(1))
    assert positive.distances().mean() < 0.8 * fitted.distances().mean()


def test_the_best_start_is_kept() -> None:
    torus = Torus(2)
    correlations, _ = bumps(torus, 12, 2)
    drawn = generator(3)
    alone = [fit_to_correlations(correlations, torus, restarts=1, steps=15, generator=drawn) for _ in range(3)]
    best = fit_to_correlations(correlations, torus, restarts=3, steps=15, generator=generator(3))
    energies = [coactivity_energy(own.points, correlations, torus, RING).item() for own in alone]
    assert torch.equal(best.points, alone[energies.index(min(energies))].points)
    assert len(set(energies)) == 3
    assert not best.points.requires_grad


@pytest.mark.parametrize(
    "manifold", [Euclidean(3), KleinBottle(), PoincareBall(2), Product([Torus(1), Sphere(2)])], ids=str
)
def test_every_manifold_takes_points(manifold: Manifold) -> None:
    correlations, _ = bumps(Sphere(2), 12, 4)
    kind = correlations.double()
    few, many = (
        fit_to_correlations(kind, manifold, restarts=1, steps=steps, generator=generator(5)) for steps in (1, 30)
    )
    assert coactivity_energy(many.points, kind, manifold, RING) < coactivity_energy(few.points, kind, manifold, RING)
    assert many.points.dtype == torch.float64


class Ring(nn.Module):
    """A net whose units are bumps over an angle: the first input, as its tanh layer's biases have it."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(2, units)
        self.places = torch.arange(units) * (2 * math.pi / units)
        with torch.no_grad():
            self.rnn.weight_hh_l0.zero_()
            self.rnn.weight_ih_l0.copy_(torch.stack((self.places.cos(), self.places.sin()), 1))

    def forward(self, inputs: Tensor, gain: Tensor) -> Tensor:
        return self.rnn(inputs * gain)[0]


def test_a_net_s_states_are_seen_and_the_net_is_left_as_it_was() -> None:
    net, circle = Ring(16), Sphere(1)
    angles = 2 * math.pi * torch.rand(4, 7, 10, generator=generator(6))
    inputs = torch.stack((angles.cos(), angles.sin()), -1)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    batches = [(batch, torch.tensor(1.0)) for batch in inputs]
    fitted = fit_positions(net, batches, circle, restarts=1, steps=60, generator=generator(7))
    seen = RunningCorrelations(16)
    seen.observe(net(inputs.flatten(0, 1), torch.tensor(1.0)).detach())
    direct = fit_to_correlations(seen.correlations(), circle, restarts=1, steps=60, generator=generator(7))
    torch.testing.assert_close(fitted.distances(), direct.distances(), atol=0.05, rtol=0)
    apart = torch.stack((net.places.cos(), net.places.sin()), 1)
    assert agreement(fitted.distances(), circle.distance(apart, apart)) > 0.9
    assert all(torch.equal(one, other) for one, other in zip(before, net.parameters(), strict=True))
    assert net.training
    assert not net.rnn._forward_hooks


EYE = torch.eye(4)
BAD = {
    "restarts": (EYE, {"restarts": 0}, ValueError, "restarts must be an integer >= 1, got 0"),
    "steps": (EYE, {"steps": 2.0}, ValueError, "steps must be an integer >= 1, got 2.0"),
    "rate": (EYE, {"learning_rate": -1.0}, ValueError, "learning_rate must be positive and finite, got -1.0"),
    "array": (EYE.numpy(), {}, TypeError, "correlations must be a tensor, got ndarray"),
    "integers": (EYE.long(), {}, TypeError, "correlations must be dense and floating-point"),
    "shape": (EYE[:2], {}, ValueError, r"correlations must be a square matrix, got shape \(2, 4\)"),
    "nan": (EYE / 0 * 0, {}, ValueError, "correlations must be finite"),
    "mirror": (EYE + torch.ones(4, 4).triu(1), {}, ValueError, "correlations must be symmetric, .* by 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    correlations, options, error, message = BAD[name]
    with pytest.raises(error, match=message):
        fit_to_correlations(correlations, Torus(2), **options)


def test_bad_nets_and_batches_are_named() -> None:
    net = nn.RNN(2, 4)
    with pytest.raises(ValueError, match=r"layer must be an integer from 0 to 0, got 1"):
        fit_positions(net, [torch.zeros(1, 1, 2)], Torus(2), layer=1)
    with pytest.raises(ValueError, match="batches must hold at least two states, got 1"):
        fit_positions(net, [torch.zeros(1, 1, 2)], Torus(2))
    with pytest.raises(ValueError, match="model must be or hold a recurrent layer"):
        fit_positions(nn.Linear(2, 2), [], Torus(2))
    with pytest.raises(ValueError, match="states must be finite"):
        fit_positions(net, [torch.full((2, 1, 2), float("nan"))], Torus(2))
    assert not net._forward_hooks
