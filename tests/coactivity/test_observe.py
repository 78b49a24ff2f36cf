"""The regularizer's second evidence: what it changes, what it leaves, and how it is observed, saved and dropped."""

import copy

import pytest
import torch
from torch import nn

from riemod import Coactivity, Modules, ModuliRegularizer, optim
from riemod.coactivity import WIDE, CoactivityLaw, coactivity_energy
from riemod.manifolds import Sphere, Torus
from riemod.regularization import recurrent
from riemod.regularization.inhibitors import Ricker
from tests.regularization.nets import Net, assert_same_bits, everything, task_loss
from tests.strategies import generator

STATES = torch.randn(40, 8, generator=generator(3)) @ torch.randn(8, 8, generator=generator(4))


def build(coactivity: Coactivity | None, strength: float = 0.1, **options: object) -> tuple[Net, ModuliRegularizer]:
    torch.manual_seed(0)
    net = Net()
    moduli = ModuliRegularizer(
        net, Torus(2), strength=strength, learn=True, evidence=coactivity, generator=generator(0), **options
    )
    return net, moduli


def gradients(net: Net, moduli: ModuliRegularizer) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    value = moduli()
    value.backward()
    assert net.rnn.weight_hh_l0.grad is not None
    return value.detach(), net.rnn.weight_hh_l0.grad, moduli.points.grad


def energy_gradient(moduli: ModuliRegularizer, c: torch.Tensor) -> torch.Tensor:
    points = moduli.points.detach().clone().requires_grad_()
    return torch.autograd.grad(coactivity_energy(points, c, Torus(2), WIDE), points)[0]


@pytest.mark.parametrize("alone", [True, False])
def test_it_adds_a_gradient_to_the_points_and_nothing_else(alone: bool) -> None:
    value, weight, by_weights = gradients(*build(None))
    net, moduli = build(Coactivity(strength=3.0, with_penalty=not alone))
    moduli.observe(STATES)
    both_value, both_weight, both = gradients(net, moduli)
    pull = 3.0 * energy_gradient(moduli, torch.corrcoef(STATES.T))
    torch.testing.assert_close(both, pull if alone else by_weights + pull, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both_value, value)
    torch.testing.assert_close(both_weight, weight)


def test_nothing_seen_moves_nothing() -> None:
    _, _, points = gradients(*build(Coactivity()))
    assert not points.any()


def test_points_move_at_every_kth_call_alone() -> None:
    _, moduli = build(Coactivity(), refresh_every=3)
    moduli.observe(STATES)
    moved = []
    for _ in range(4):
        moduli.points.grad = None
        moduli().backward()
        moved.append(moduli.points.grad is not None)
    assert moved == [True, False, False, True]


def test_the_modules_of_a_layer_are_pulled_apart_from_each_other() -> None:
    rnn = nn.RNN(2, 8)
    parts = Modules([(Torus(2), 3), (Sphere(2), 5)], between=1.0)
    moduli = ModuliRegularizer(
        rnn, parts, learn=True, evidence=Coactivity(CoactivityLaw(Ricker(), scale=2.0)), generator=generator(0)
    )
    moduli.observe(STATES)
    moduli().backward()
    c = torch.corrcoef(STATES.T)
    for embedding, part in zip(moduli.embeddings, (slice(0, 3), slice(3, 8)), strict=True):
        points = embedding.points.detach().clone().requires_grad_()
        coactivity_energy(
            points, c[part, part].contiguous(), embedding.manifold, CoactivityLaw(Ricker(), 2.0)
        ).backward()
        torch.testing.assert_close(embedding.points.grad, points.grad, atol=1e-5, rtol=1e-4)


def test_forward_passes_in_training_mode_are_observed() -> None:
    net, moduli = build(Coactivity(forget=0.0))
    batches = [torch.randn(4, 16, 1, generator=generator(step)) for step in range(5)]
    with moduli.evidence.observing(every=2):
        for batch in batches:
            net(batch)
        net.eval()
        net(batches[0])
    net.train()
    net(batches[0])
    expected = torch.cat([net.rnn(batches[step])[0].flatten(0, 1) for step in (0, 2, 4)])
    seen = moduli.evidence.seen[0]
    assert seen.count.item() == len(expected)
    torch.testing.assert_close(seen.correlations(), torch.corrcoef(expected.detach().T), atol=1e-5, rtol=1e-4)
    assert not net.rnn._forward_hooks


KINDS = {
    "gru": (nn.GRU(3, 8), lambda layer, x: layer(x)[0]),
    "lstm": (nn.LSTM(3, 8), lambda layer, x: layer(x)[0]),
    "cell": (nn.GRUCell(3, 8), lambda layer, x: layer(x[0])),
    "lstm cell": (nn.LSTMCell(3, 8), lambda layer, x: layer(x[0])[0]),
    "packed": (nn.RNN(3, 8), lambda layer, x: layer(nn.utils.rnn.pack_padded_sequence(x, [4] * 6))[0].data),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_layer_shows_its_states(name: str) -> None:
    layer, run = KINDS[name]
    moduli = ModuliRegularizer(layer, Torus(2), learn=True, evidence=Coactivity(), generator=generator(0))
    with moduli.evidence.observing():
        states = run(layer, torch.randn(4, 6, 3, generator=generator(1)))
    found = moduli.evidence.seen[0].correlations()
    torch.testing.assert_close(found, torch.corrcoef(states.detach().flatten(0, -2).T), atol=1e-5, rtol=1e-4)


def test_both_directions_are_observed_apart() -> None:
    layer = nn.RNN(3, 8, bidirectional=True)
    moduli = ModuliRegularizer(layer, Torus(2), learn=True, evidence=Coactivity(), generator=generator(0))
    with moduli.evidence.observing():
        states = layer(torch.randn(4, 6, 3, generator=generator(1)))[0].detach().flatten(0, 1)
    for direction, seen in enumerate(moduli.evidence.seen):
        own = states[:, 8 * direction : 8 * (direction + 1)]
        torch.testing.assert_close(seen.correlations(), torch.corrcoef(own.T), atol=1e-5, rtol=1e-4)


def steps(net: Net, moduli: ModuliRegularizer, optimizer: torch.optim.Optimizer, span: range) -> None:
    with moduli.evidence.observing():
        for step in span:
            loss = task_loss(net, step) + moduli()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def test_a_saved_run_goes_on_to_the_same_bits() -> None:
    net, moduli = build(Coactivity(with_penalty=True))
    optimizer = optim.riemannian_adam(net, moduli, lr=1e-2)
    steps(net, moduli, optimizer, range(3))
    saved = copy.deepcopy([one.state_dict() for one in (net, moduli, optimizer)])
    before = moduli.points.detach().clone()
    steps(net, moduli, optimizer, range(3, 6))
    other, other_moduli = build(Coactivity(with_penalty=True))
    other_optimizer = optim.riemannian_adam(other, other_moduli, lr=1e-2)
    for one, state in zip((other, other_moduli, other_optimizer), saved, strict=True):
        one.load_state_dict(state)
    steps(other, other_moduli, other_optimizer, range(3, 6))
    assert not torch.equal(before, moduli.points)
    assert_same_bits(everything(net, moduli), everything(other, other_moduli))


def test_a_copy_watches_and_moves_its_own() -> None:
    net, moduli = build(Coactivity())
    moduli.observe(STATES)
    twin_net, twin = copy.deepcopy((net, moduli))
    with twin.evidence.observing():
        twin_net(torch.randn(4, 16, 1, generator=generator(0)))
    assert moduli.evidence.seen[0].count.item() == len(STATES)
    assert twin.evidence.seen[0].count.item() > len(STATES)
    twin().backward()
    assert twin.points.grad.any()
    assert moduli.points.grad is None


def test_frozen_points_have_no_use_for_evidence() -> None:
    _, moduli = build(Coactivity())
    moduli.observe(STATES)
    _, plain = build(None)
    assert set(moduli.freeze().state_dict()) == set(plain.state_dict())
    assert torch.equal(moduli(), plain.freeze()())
    with pytest.raises(ValueError, match="observe needs evidence=Coactivity"):
        moduli.observe(STATES)


BAD = {
    "fixed": (lambda: {"module": nn.RNN(2, 4), "learn": False}, ValueError, "evidence needs points to learn"),
    "linear": (lambda: {"module": nn.Linear(2, 4)}, ValueError, "evidence needs module to hold recurrent weights"),
    "true": (lambda: {"module": nn.RNN(2, 4), "evidence": True}, TypeError, "evidence must be a PointEvidence or"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_use_is_named(name: str) -> None:
    make, error, message = BAD[name]
    arguments = {"learn": True, "evidence": Coactivity(CoactivityLaw(Ricker())), **make()}
    with pytest.raises(error, match=message):
        ModuliRegularizer(arguments.pop("module"), Torus(2), **arguments)


def test_bad_observations_are_named() -> None:
    _, moduli = build(Coactivity())
    with pytest.raises(ValueError, match=r"layer must be an integer from 0 to 0, got 1"):
        moduli.observe(STATES, layer=1)
    with pytest.raises(ValueError, match=r"states must have shape \(..., 8\)"):
        moduli.observe(STATES[:, :3])


def test_layers_whose_states_are_not_put_out_are_named() -> None:
    deep = nn.RNN(2, 4, num_layers=2)
    cell = nn.Module()
    cell.transition = nn.Parameter(torch.zeros(4, 4))
    for what, message in ((deep, "must be the last of its module"), (recurrent(cell, "transition"), "torch.nn, whose")):
        moduli = ModuliRegularizer(what, Torus(2), learn=True, evidence=Coactivity(), generator=generator(0))
        with pytest.raises(ValueError, match=message), moduli.evidence.observing():
            pass
    assert not deep._forward_hooks
