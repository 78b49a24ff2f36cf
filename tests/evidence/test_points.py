"""Evidence beside a regularizer: what it changes, what it leaves, and how it is observed, saved and copied."""

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from riemod import Modules, ModuliRegularizer, PointEvidence, optim, recurrent
from riemod.coactivity import WIDE, CoactivityLaw, coactivity_energy
from riemod.evidence import (
    Coactivity,
    DecoderCosine,
    EvidenceLaw,
    Mixed,
    Permuted,
    Profiles,
    absolute_weights,
    incoming_cosine,
    signed_weights,
)
from riemod.manifolds import Sphere, Torus
from riemod.regularization.inhibitors import Ricker
from tests.regularization.nets import Net, assert_same_bits, everything, task_loss
from tests.strategies import generator

STATES = torch.randn(40, 8, generator=generator(3)) @ torch.randn(8, 8, generator=generator(4))


def build(source: Any = signed_weights, strength: float = 0.1, **options: Any) -> tuple[Net, ModuliRegularizer, Any]:
    torch.manual_seed(0)
    net = Net()
    moduli = ModuliRegularizer(net, Torus(2), strength=strength, learn=True, generator=generator(0))
    return net, moduli, None if source is None else PointEvidence(moduli, source, **options)


@pytest.mark.parametrize("source", [signed_weights, absolute_weights, incoming_cosine, Coactivity()])
def test_points_get_the_gradient_of_the_evidence_alone_and_weights_that_of_the_penalty(source: Any) -> None:
    net, moduli, evidence = build(source, strength=2.0, law=EvidenceLaw())
    plain_net, plain, _ = build(None, strength=2.0)
    if evidence.needs_states:
        evidence.observe(STATES)
    value = moduli() + evidence()
    expected = plain()
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    assert torch.equal(net.rnn.weight_hh_l0.grad, plain_net.rnn.weight_hh_l0.grad)
    points = moduli.points.detach().clone().requires_grad_()
    law = EvidenceLaw().on(moduli.embeddings[0].manifold)
    energy = law.energy(Torus(2).coordinates(points), evidence.matrix(), Torus(2))
    torch.testing.assert_close(moduli.points.grad, torch.autograd.grad(energy, points)[0])
    assert moduli.points.grad.any()


def test_the_strength_scales_the_gradient() -> None:
    gradients = []
    for strength in (1.0, 3.0):
        _, moduli, evidence = build(strength=0.0)
        evidence.strength = strength
        evidence().backward()
        gradients.append(moduli.points.grad)
    torch.testing.assert_close(gradients[1], 3 * gradients[0])


def test_points_move_at_every_kth_call_alone_and_calls_without_gradient_do_not_count() -> None:
    _, moduli, evidence = build(every=3)
    moved = []
    for _ in range(7):
        with torch.no_grad():
            assert not evidence().requires_grad
        moduli.points.grad = None
        (moduli() + evidence()).backward()
        moved.append(moduli.points.grad is not None)
    assert moved == [True, False, False, True, False, False, True]


def test_the_modules_of_a_layer_are_pulled_apart_from_each_other() -> None:
    rnn = nn.RNN(2, 8)
    parts = Modules([(Torus(2), 3), (Sphere(2), 5)], between=1.0)
    moduli = ModuliRegularizer(rnn, parts, learn=True, generator=generator(0))
    evidence = PointEvidence(moduli, Coactivity(), law=CoactivityLaw(Ricker(), scale=2.0))
    evidence.observe(STATES)
    evidence().backward()
    c = torch.corrcoef(STATES.T)
    for embedding, part in zip(moduli.embeddings, (slice(0, 3), slice(3, 8)), strict=True):
        points = embedding.points.detach().clone().requires_grad_()
        own = c[part, part].contiguous()
        coactivity_energy(points, own, embedding.manifold, CoactivityLaw(Ricker(), 2.0)).backward()
        torch.testing.assert_close(embedding.points.grad, points.grad, atol=1e-5, rtol=1e-4)


def seen_by(evidence: PointEvidence, layer: int = 0) -> Any:
    return evidence.gathered[layer].seen


def test_forward_passes_in_training_mode_are_observed() -> None:
    net, _, evidence = build(Coactivity(forget=0.0))
    batches = [torch.randn(4, 16, 1, generator=generator(step)) for step in range(5)]
    with evidence.observing(every=2):
        for batch in batches:
            net(batch)
        net.eval()
        net(batches[0])
    net.train()
    net(batches[0])
    expected = torch.cat([net.rnn(batches[step])[0].flatten(0, 1) for step in (0, 2, 4)])
    assert seen_by(evidence).count.item() == len(expected)
    torch.testing.assert_close(evidence.matrix(), torch.corrcoef(expected.detach().T), atol=1e-5, rtol=1e-4)
    assert not net.rnn._forward_hooks


KINDS: dict[str, tuple[nn.Module, Callable[..., Tensor]]] = {
    "gru": (nn.GRU(3, 8), lambda layer, x: layer(x)[0]),
    "lstm": (nn.LSTM(3, 8), lambda layer, x: layer(x)[0]),
    "cell": (nn.GRUCell(3, 8), lambda layer, x: layer(x[0])),
    "lstm cell": (nn.LSTMCell(3, 8), lambda layer, x: layer(x[0])[0]),
    "packed": (nn.RNN(3, 8), lambda layer, x: layer(nn.utils.rnn.pack_padded_sequence(x, [4] * 6))[0].data),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_layer_shows_its_states(name: str) -> None:
    layer, run = KINDS[name]
    moduli = ModuliRegularizer(layer, Torus(2), learn=True, generator=generator(0))
    evidence = PointEvidence(moduli, [Coactivity()])
    with evidence.observing():
        states = run(layer, torch.randn(4, 6, 3, generator=generator(1)))
    expected = torch.corrcoef(states.detach().flatten(0, -2).T)
    torch.testing.assert_close(evidence.matrix(), expected, atol=1e-5, rtol=1e-4)


def test_both_directions_are_observed_apart() -> None:
    layer = nn.RNN(3, 8, bidirectional=True)
    moduli = ModuliRegularizer(layer, Torus(2), learn=True, generator=generator(0))
    evidence = PointEvidence(moduli, Coactivity())
    with evidence.observing():
        states = layer(torch.randn(4, 6, 3, generator=generator(1)))[0].detach().flatten(0, 1)
    for direction in range(2):
        own = states[:, 8 * direction : 8 * (direction + 1)]
        torch.testing.assert_close(evidence.matrix(direction), torch.corrcoef(own.T), atol=1e-5, rtol=1e-4)


MIX = Mixed([incoming_cosine, Coactivity()], shares=[2, 1])


def steps(net: Net, moduli: ModuliRegularizer, evidence: PointEvidence, optimizer: Any, span: range) -> None:
    with evidence.observing():
        for step in span:
            loss = task_loss(net, step) + moduli() + evidence()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def test_a_saved_run_goes_on_to_the_same_bits() -> None:
    net, moduli, evidence = build(MIX, every=2)
    optimizer = optim.riemannian_adam(net, moduli, lr=1e-2)
    steps(net, moduli, evidence, optimizer, range(3))
    saved = copy.deepcopy([one.state_dict() for one in (net, moduli, evidence, optimizer)])
    before = moduli.points.detach().clone()
    steps(net, moduli, evidence, optimizer, range(3, 6))
    others = build(MIX, every=2)
    other_optimizer = optim.riemannian_adam(others[0], others[1], lr=1e-2)
    for one, state in zip((*others, other_optimizer), saved, strict=True):
        one.load_state_dict(state)
    steps(*others, other_optimizer, range(3, 6))
    assert not torch.equal(before, moduli.points)
    assert_same_bits(everything(net, moduli), everything(others[0], others[1]))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda objects: pickle.loads(pickle.dumps(objects))])
def test_a_copy_watches_and_moves_its_own(copied: Callable[[Any], Any]) -> None:
    net, moduli, evidence = build(MIX)
    evidence.observe(STATES)
    twin_net, twin, twin_evidence = copied((net, moduli, evidence))
    with twin_evidence.observing():
        twin_net(torch.randn(4, 16, 1, generator=generator(0)))
    assert evidence.gathered[0].parts[1].seen.count.item() == len(STATES)
    assert twin_evidence.gathered[0].parts[1].seen.count.item() > len(STATES)
    assert twin_evidence.moduli is twin
    twin_evidence().backward()
    assert twin.points.grad.any()
    assert moduli.points.grad is None


def test_a_copy_of_the_evidence_alone_moves_the_points_that_there_are() -> None:
    _, moduli, evidence = build()
    copy.deepcopy(evidence)().backward()
    assert moduli.points.grad.any()


def test_frozen_points_get_a_warning_and_no_gradient() -> None:
    _, moduli, evidence = build()
    moduli.freeze()
    with pytest.warns(UserWarning, match="points of the regularizer are frozen"):
        assert not evidence().requires_grad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evidence()


def test_neurons_without_evidence_are_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    net, _, evidence = build(incoming_cosine, every=1)
    with torch.no_grad():
        net.rnn.weight_hh_l0[[1, 4]] = 0.0
    for _ in range(2):
        evidence().backward()
    assert [record.getMessage()[:51] for record in caplog.records] == [
        "2 of 8 neurons of weight_hh_l0 have no evidence abo"
    ]
    assert evidence.silent().nonzero().flatten().tolist() == [1, 4]


def test_points_that_no_optimizer_moves_are_noticed_after_the_steps_of_the_points() -> None:
    net, moduli, evidence = build(every=2)
    optimizer = torch.optim.Adam(net.parameters())
    with pytest.warns(UserWarning, match="stayed where they are in 40 steps"):
        steps(net, moduli, evidence, optimizer, range(45))


def test_a_decoder_is_a_source_and_stays_the_models() -> None:
    rnn, decoder = nn.RNN(2, 8), nn.Linear(8, 5)
    moduli = ModuliRegularizer(rnn, Torus(2), learn=True, generator=generator(0))
    evidence = PointEvidence(moduli, DecoderCosine(decoder))
    assert list(evidence.parameters()) == []
    columns = decoder.weight.detach() - decoder.weight.detach().mean(0)
    expected = torch.nn.functional.cosine_similarity(columns.T.unsqueeze(1), columns.T.unsqueeze(0), dim=-1)
    torch.testing.assert_close(evidence.matrix(), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_weights_of_every_dtype_give_finite_gradients(dtype: torch.dtype) -> None:
    rnn = nn.RNN(2, 8, dtype=dtype)
    moduli = ModuliRegularizer(rnn, Sphere(2), learn=True, generator=generator(0))
    evidence = PointEvidence(moduli, [signed_weights, incoming_cosine])
    value = moduli() + evidence()
    assert value.dtype == dtype
    value.backward()
    assert moduli.points.grad.isfinite().all()
    assert moduli.points.grad.any()


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "fixed": (
        lambda: PointEvidence(ModuliRegularizer(nn.RNN(2, 4), Torus(2)), signed_weights),
        ValueError,
        "points to learn",
    ),
    "linear": (
        lambda: PointEvidence(ModuliRegularizer(nn.Linear(2, 4), Torus(2), learn=True), signed_weights),
        ValueError,
        "moduli must hold recurrent weights alone",
    ),
    "no regularizer": (
        lambda: PointEvidence(nn.RNN(2, 4), signed_weights),
        TypeError,
        "moduli must be a ModuliRegularizer, got RNN",
    ),
    "no source": (
        lambda: build("signed"),
        TypeError,
        "source must be a Source or a function of the hidden blocks, got 'signed'",
    ),
    "empty": (lambda: build([]), ValueError, "source must hold at least one source"),
    "law": (lambda: build(law=Ricker()), TypeError, "law must be an EvidenceLaw or a CoactivityLaw, got Ricker"),
    "every": (lambda: build(every=0), ValueError, "every must be an integer >= 1, got 0"),
    "strength": (lambda: build(Coactivity(forget=1.0)), ValueError, "forget must be in"),
    "never observed": (lambda: build(Coactivity())[2](), RuntimeError, "call evidence.observe"),
    "observed in vain": (
        lambda: build()[2].observe(STATES),
        ValueError,
        "observe needs a source that learns of states",
    ),
    "no such layer": (
        lambda: build(Coactivity())[2].observe(STATES, 1),
        ValueError,
        "layer must be an integer from 0 to 0, got 1",
    ),
    "states": (lambda: build(Coactivity())[2].observe(STATES[:, :3]), ValueError, r"states must have shape \(..., 8\)"),
    "shape": (
        lambda: build(lambda blocks: blocks)[2](),
        ValueError,
        r"source must return a matrix of shape \(8, 8\)",
    ),
    "NaN": (
        lambda: build(lambda blocks: blocks[0] / 0)[2](),
        ValueError,
        "weight_hh_l0 must be finite, got NaN or infinity",
    ),
    "decoder": (
        lambda: build(DecoderCosine(nn.Linear(5, 2))),
        ValueError,
        "decoder must read the 8 neurons of weight_hh_l0",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_use_is_named(name: str) -> None:
    make, error, message = BAD[name]
    with pytest.raises(error, match=message):
        make()


def test_layers_whose_states_are_not_put_out_are_named() -> None:
    deep = nn.RNN(2, 4, num_layers=2)
    cell = nn.Module()
    cell.transition = nn.Parameter(torch.zeros(4, 4))
    for what, message in ((deep, "must be the last of its module"), (recurrent(cell, "transition"), "torch.nn, whose")):
        evidence = PointEvidence(ModuliRegularizer(what, Torus(2), learn=True, generator=generator(0)), Coactivity())
        with pytest.raises(ValueError, match=message), evidence.observing():
            pass
    assert not deep._forward_hooks


def test_a_cell_of_ones_own_follows_its_weights() -> None:
    cell = nn.Module()
    cell.transition = nn.Parameter(torch.randn(6, 6, generator=generator(0)))
    moduli = ModuliRegularizer(recurrent(cell, "transition"), Torus(2), learn=True, generator=generator(0))
    PointEvidence(moduli, signed_weights)().backward()
    assert moduli.points.grad.any()
    assert cell.transition.grad is None


def test_a_law_of_correlations_is_a_law_too() -> None:
    _, moduli, evidence = build(Coactivity(), law=WIDE)
    evidence.observe(STATES)
    evidence().backward()
    points = moduli.points.detach().clone().requires_grad_()
    energy = coactivity_energy(points, torch.corrcoef(STATES.T), Torus(2), WIDE)
    torch.testing.assert_close(moduli.points.grad, torch.autograd.grad(energy, points)[0], atol=1e-5, rtol=1e-4)


def test_a_permuted_control_has_the_same_numbers_about_other_neurons() -> None:
    _, _, own = build(Coactivity())
    _, _, control = build(Permuted(Coactivity(), seed=1))
    for evidence in (own, control):
        evidence.observe(STATES)
    order = control.gathered[0].order
    assert order.tolist() != list(range(8))
    assert torch.equal(control.matrix(), own.matrix()[order][:, order])
    with pytest.raises(TypeError, match="source must be a Source or a function"):
        Permuted("signed")


def test_profiles_are_the_cosines_of_the_rows_of_a_source() -> None:
    _, _, evidence = build(Profiles(Coactivity()))
    evidence.observe(STATES)
    rows = torch.corrcoef(STATES.T)
    expected = torch.nn.functional.cosine_similarity(rows.unsqueeze(1), rows.unsqueeze(0), dim=-1)
    torch.testing.assert_close(evidence.matrix(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["law", "gathered", "moduli"])
def test_what_is_read_at_construction_alone_cannot_be_set_later(name: str) -> None:
    evidence, other = build()[2], build()[2]
    with pytest.raises(
        AttributeError, match=f"{name} of a PointEvidence cannot be set after construction: build a new"
    ):
        setattr(evidence, name, getattr(other, name))


def test_the_strength_and_the_number_of_calls_may_be_set_and_are_checked() -> None:
    _, _, evidence = build(every=5)
    evidence.every = 2
    moved = []
    for _ in range(4):
        moved.append(evidence().requires_grad)
    assert moved == [True, False, True, False]
    for name, value, message in (
        ("every", 0, "every must be an integer >= 1"),
        ("strength", 0.0, "strength must be po"),
    ):
        with pytest.raises(ValueError, match=message):
            setattr(evidence, name, value)
    assert (evidence.every, evidence.strength) == (2, 1.0)


def test_fewer_calls_need_more_patience_with_points_that_stay() -> None:
    net, moduli, evidence = build(every=1)
    evidence.every = 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(50):
            moduli()
            with torch.no_grad():
                net.rnn.weight_hh_l0.add_(0.01)


def test_points_on_another_device_than_the_weights_are_named() -> None:
    _, moduli, evidence = build()
    moduli.to("meta")
    with pytest.raises(ValueError, match="moduli must have its points on the device of its weights, cpu, got meta"):
        evidence()
