"""What of a ModuliRegularizer survives copying, saving and moving, and what it refuses."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from riemod import ModuliRegularizer
from riemod.manifolds import KleinBottle, PoincareBall, Product, Sphere, Torus
from riemod.manifolds._geoopt import geoopt
from riemod.regularization import Modules
from riemod.regularization.inhibitors import Ricker
from tests.regularization.formulas import MANIFOLDS
from tests.strategies import generator


@pytest.mark.parametrize("name", MANIFOLDS)
def test_a_copy_of_model_and_regularizer_is_linked_like_the_original(name):
    layer = nn.GRU(2, 5)
    moduli = ModuliRegularizer(layer, MANIFOLDS[name](), learn=True, generator=generator(0))
    layer_copy, moduli_copy = copy.deepcopy((layer, moduli))
    assert moduli_copy.weights[0].module is layer_copy
    points, embedding = moduli_copy.points, moduli_copy.layer_embeddings(0)[0]
    assert isinstance(points, geoopt.ManifoldParameter)
    assert points is not moduli.points
    assert points.manifold is embedding.manifold.geometry
    assert type(points.manifold) is type(moduli.points.manifold)
    assert embedding.manifold is not moduli.layer_embeddings(0)[0].manifold
    assert moduli_copy().item() == moduli().item()
    # The copy moves alone, points, weights and curvature.
    before = moduli().item()
    moduli_copy().backward()
    with torch.no_grad():
        for parameter in [*moduli_copy.parameters(), layer_copy.weight_hh_l0]:
            assert parameter.grad is not None
            parameter.mul_(0.5)
        points.copy_(embedding.manifold.sample(5, generator=generator(9)))
    assert moduli().item() == before
    assert all(parameter.grad is None for parameter in moduli.parameters())
    assert layer.weight_hh_l0.grad is None
    assert moduli_copy().item() != before


def test_a_regularizer_may_be_built_again():
    """As when a notebook's cell runs twice, whether or not the first one is still alive."""
    layer = nn.RNN(2, 4)
    first = ModuliRegularizer(layer, Torus(2), learn=True, generator=generator(0))
    (first() + layer.weight_hh_l0.sum()).backward()
    again = ModuliRegularizer(layer, Sphere(1), generator=generator(1))
    layer.zero_grad()
    again().backward()
    expected = torch.autograd.grad(again(), layer.weight_hh_l0)[0]
    assert torch.equal(layer.weight_hh_l0.grad, expected)
    # Values of both may be looked at and compared at any time.
    assert first().item() != again().item()


@pytest.mark.parametrize("order", ["one loss", "two backward passes", "accumulated"])
def test_a_penalty_that_would_count_twice_in_one_step_is_an_error(order):
    layer = nn.GRU(2, 4)
    one, other = ModuliRegularizer(layer, Torus(2)), ModuliRegularizer(nn.Sequential(layer), Sphere(1))
    message = r"weight_hh_l0 of GRU is penalized by two regularizers in one step"
    if order == "one loss":
        with pytest.raises(RuntimeError, match=message):
            (one() + other()).backward()
        return
    if order == "accumulated":
        for _ in range(3):
            (layer(torch.ones(2, 1, 2))[0].sum() + one()).backward()
    one().backward()
    with pytest.raises(RuntimeError, match=message):
        other().backward()


@pytest.mark.parametrize("to_none", [True, False])
def test_two_regularizers_may_take_turns(to_none):
    layer = nn.RNN(2, 4)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    moduli = [ModuliRegularizer(layer, Torus(2)), ModuliRegularizer(layer, Sphere(1))]
    for step in range(4):
        optimizer.zero_grad(set_to_none=to_none)
        moduli[step % 2]().backward()
        optimizer.step()
    for own in moduli:
        optimizer.zero_grad(set_to_none=to_none)
        own().backward()


def test_state_dict_round_trip(tmp_path):
    def build(seed: int) -> ModuliRegularizer:
        spaces = [
            Product([Torus(1), PoincareBall(2, learn_curvature=True)]),
            Modules([(Sphere(1), 2), (Torus(2), None)], 1.0),
        ]
        return ModuliRegularizer(model, spaces, learn=True, generator=generator(seed))

    model = nn.RNN(2, 5, num_layers=2)
    moduli = build(0)
    with torch.no_grad():
        moduli.embeddings[0].manifold.factors[1].geometry.log_curvature.fill_(0.3)
    value = moduli().item()
    torch.save(moduli.state_dict(), tmp_path / "moduli.pt")
    fresh = build(1)
    assert fresh().item() != value
    fresh.load_state_dict(torch.load(tmp_path / "moduli.pt", weights_only=True))
    assert fresh().item() == value
    for embedding in fresh.embeddings:
        assert isinstance(embedding.points, geoopt.ManifoldParameter)
        assert embedding.points.manifold is embedding.manifold.geometry
    with pytest.raises(RuntimeError, match=r"size mismatch for embeddings\.0\.points"):
        ModuliRegularizer(nn.RNN(2, 6), Torus(2)).load_state_dict(
            ModuliRegularizer(nn.RNN(2, 5), Torus(2)).state_dict()
        )


@pytest.mark.parametrize("name", MANIFOLDS)
def test_to_float64_takes_points_and_curvature(name):
    layer = nn.RNN(2, 5)
    moduli = ModuliRegularizer(layer, MANIFOLDS[name](), learn=True, generator=generator(0))
    single = moduli().item()
    moduli.to(torch.float64)
    layer.to(torch.float64)
    assert all(parameter.dtype == torch.float64 for parameter in moduli.parameters())
    assert isinstance(moduli.points, geoopt.ManifoldParameter)
    assert moduli.points.manifold is moduli.layer_embeddings(0)[0].manifold.geometry
    value = moduli()
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(single, rel=1e-5)
    value.backward()
    assert moduli.points.grad is not None


@pytest.mark.parametrize("order", ["model first", "regularizer first"])
def test_copies_belong_together_in_any_order(order):
    layer = nn.LSTM(2, 4)
    moduli = ModuliRegularizer(layer, Torus(2), generator=generator(0))
    if order == "model first":
        layer_copy, copied = copy.deepcopy((layer, moduli))
    else:
        copied, layer_copy = copy.deepcopy((moduli, layer))
    assert copied.weights[0].module is layer_copy
    assert copy.deepcopy(copy.deepcopy((moduli, layer)))[0].weights[0].module is not layer
    loaded, own = pickle.loads(pickle.dumps((copied, layer_copy)))
    assert loaded.weights[0].module is own


def test_a_copy_of_the_regularizer_alone_penalizes_the_layer_that_there_is():
    layer = nn.RNN(2, 4)
    copied = copy.deepcopy(ModuliRegularizer(layer, Torus(2), generator=generator(0)))
    assert copied.weights[0].module is layer
    copied().backward()
    assert layer.weight_hh_l0.grad.any()


def test_a_manifold_is_not_changed_behind_another_regularizer():
    ball = PoincareBall(2, learn_curvature=True)
    one, other = (ModuliRegularizer(nn.RNN(2, 4), ball, learn=True, generator=generator(0)) for _ in range(2))
    frozen = ModuliRegularizer(nn.RNN(2, 4), ball)
    value = other().item()
    with torch.no_grad():
        for parameter in one.embeddings[0].manifold.parameters():
            parameter.add_(1.0)
    assert (other().item(), ball.curvature) == (value, -1.0)
    assert one.embeddings[0].manifold.curvature == pytest.approx(-math.e)
    # Freezing one does not freeze the user's manifold.
    assert not frozen.learn
    assert all(parameter.requires_grad for parameter in ball.parameters())
    linear = ModuliRegularizer(nn.Linear(3, 4), ball, learn=True)
    assert linear.embeddings[0].manifold is linear.embeddings[1].manifold


def test_points_of_another_dtype_than_the_weight_are_refused():
    layer = nn.RNN(2, 5)
    moduli = ModuliRegularizer(layer, Torus(2))
    moduli.to(torch.float64)
    with pytest.raises(TypeError, match=r"points must have the weight's dtype torch\.float32, got torch\.float64"):
        moduli()
    moduli.to(torch.float32)
    layer.to(torch.float64)
    with pytest.raises(TypeError, match=r"points must have the weight's dtype torch\.float64, got torch\.float32"):
        moduli()


def test_given_points_start_it():
    layer = nn.RNN(2, 4, num_layers=2)
    points = [torch.rand(4, 2), torch.rand(4, 2, dtype=torch.float64)]
    moduli = ModuliRegularizer(layer, Torus(2), points=points)
    assert torch.equal(moduli.embeddings[0].points, points[0])
    assert torch.equal(moduli.embeddings[1].points, points[1].float())
    single = ModuliRegularizer(nn.RNN(2, 4), Torus(2), points=points[0])
    assert torch.equal(single.points, points[0])
    assert torch.equal(ModuliRegularizer(nn.RNN(2, 4), Torus(2), points=single.points).points, points[0])


def test_the_same_generator_gives_the_same_bits():
    draws = [
        ModuliRegularizer(nn.RNN(2, 4, num_layers=2), KleinBottle(), generator=generator(5)).state_dict()
        for _ in range(2)
    ]
    assert all(torch.equal(a, b) for a, b in zip(draws[0].values(), draws[1].values(), strict=True))


def test_its_repr_says_what_it_does():
    text = repr(ModuliRegularizer(nn.RNN(2, 4), Torus(2), strength=0.3))
    assert "weight_hh_l0" in text
    assert "strength=0.3" in text
    assert "Torus(dim=2, period=10)" in text


BAD = {
    "negative strength": ({"strength": -0.1}, ValueError, "strength must be finite and >= 0, got -0.1"),
    "nan strength": ({"strength": float("nan")}, ValueError, "strength must be finite and >= 0, got nan"),
    "infinite strength": ({"strength": float("inf")}, ValueError, "strength must be finite and >= 0, got inf"),
    "string strength": ({"strength": "1"}, ValueError, "strength must be finite and >= 0, got '1'"),
    "power": ({"power": 0.5}, ValueError, "power must be finite and >= 1, got 0.5"),
    "nan power": ({"power": float("nan")}, ValueError, "power must be finite and >= 1, got nan"),
    "reduction": ({"reduction": "none"}, ValueError, "reduction must be 'mean' or 'sum', got 'none'"),
    "inhibitor": ({"inhibitor": "dog"}, TypeError, "function must map a tensor of distances to a tensor, got 'dog'"),
    "no manifold": ({"manifold": None}, TypeError, "manifold must be a Manifold, Modules, or .*, got NoneType"),
    "class": ({"manifold": Torus}, TypeError, "manifold must be a Manifold, Modules, or a sequence of them"),
    "name": ({"manifold": "torus"}, TypeError, "got str: riemod.manifolds.by_name makes one of a name"),
    "too many": ({"manifold": [Torus(2)] * 2}, ValueError, "manifold must name one manifold for each of 1 .* got 2"),
    "too few": ({"manifold": []}, ValueError, "manifold must name one manifold for each of 1 .* got 0"),
    "modules": (
        {"manifold": Modules([(Torus(2), 2), (Torus(2), 3)], between=1.0)},
        ValueError,
        r"parts must split 4 neurons, got sizes \[2, 3\]",
    ),
    "off": ({"points": torch.full((4, 2), 12.0)}, ValueError, "points must lie on Torus"),
    "nan": ({"points": torch.full((4, 2), float("nan"))}, ValueError, "points must be finite"),
    "shape": ({"points": torch.zeros(4, 3)}, ValueError, r"points must have shape \(n, 2\)"),
    "number": ({"points": torch.zeros(3, 2)}, ValueError, "points must hold 4 neurons, got 3"),
    "integers": ({"points": torch.zeros(4, 2, dtype=torch.int64)}, TypeError, "points must be floating-point"),
    "list of rows": ({"points": [[0.0, 0.0]] * 4}, TypeError, "points must be a tensor for each embedding, got a list"),
    "array": (
        {"points": torch.zeros(4, 2).numpy()},
        TypeError,
        "points must be a tensor for each embedding, got a nda",
    ),
    "none in list": ({"points": [None]}, TypeError, "points must be a tensor for each embedding, got a NoneType"),
    "two": ({"points": [torch.zeros(4, 2)] * 2}, ValueError, "points must be 1 tensors, one for each embedding, got 2"),
    "no points": ({"points": []}, ValueError, "points must be 1 tensors, one for each embedding, got 0"),
    "norm": ({"module": nn.LayerNorm(2)}, ValueError, "module must be or hold a recurrent layer or cell"),
    "tensor": ({"module": torch.zeros(2, 2)}, TypeError, "module must be a torch.nn.Module, got Tensor"),
    "projected": ({"module": nn.LSTM(2, 4, proj_size=2)}, ValueError, "module must not project its hidden state"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    changed, error, message = BAD[name]
    arguments = {"module": nn.RNN(2, 4), "manifold": Torus(2), **changed}
    with pytest.raises(error, match=message):
        ModuliRegularizer(arguments.pop("module"), arguments.pop("manifold"), **arguments)


def test_states_load_in_safe_mode_and_whole_models_as_their_page_says(tmp_path):
    def build() -> nn.ModuleDict:
        rnn = nn.GRU(2, 8)
        return nn.ModuleDict({"rnn": rnn, "moduli": ModuliRegularizer(rnn, Sphere(2), learn=True)})

    model, other = build(), build()
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(other["moduli"](), model["moduli"]())
    torch.save(model, tmp_path / "whole.pt")
    unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / "whole.pt")
    assert "functools.partial" in unsafe
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "whole.pt", weights_only=True)
    loaded = torch.load(tmp_path / "whole.pt", weights_only=False)
    assert torch.equal(loaded["moduli"](), model["moduli"]())
    assert loaded["moduli"].weights[0].module is loaded["rnn"]


@pytest.mark.parametrize("name", ["inhibitor", "costs", "refresh_every", "weights", "embeddings", "points", "learn"])
def test_what_is_read_at_construction_alone_cannot_be_set_later(name):
    moduli = ModuliRegularizer(nn.RNN(2, 4), Torus(2), learn=True, generator=generator(0))
    before, other = moduli().item(), ModuliRegularizer(nn.RNN(2, 4), Torus(2), inhibitor=Ricker())
    with pytest.raises(AttributeError, match=f"{name} of a ModuliRegularizer cannot be set after construction: "):
        setattr(moduli, name, getattr(other, name))
    assert moduli().item() == before
    assert moduli.learn


def test_strength_power_and_reduction_may_be_set_and_are_checked():
    layer = nn.RNN(2, 4)
    moduli = ModuliRegularizer(layer, Torus(2), generator=generator(0))
    moduli.strength, moduli.power, moduli.reduction = 2.0, 2, "sum"
    expected = ModuliRegularizer(layer, Torus(2), strength=2.0, power=2, reduction="sum", points=moduli.points)
    assert torch.equal(moduli(), expected())
    for name, value, message in (
        ("strength", -1.0, "strength must be finite and >= 0, got -1.0"),
        ("power", 0.5, "power must be finite and >= 1, got 0.5"),
        ("reduction", "median", "reduction must be 'mean' or 'sum', got 'median'"),
    ):
        with pytest.raises(ValueError, match=message):
            setattr(moduli, name, value)
    assert torch.equal(moduli(), expected())


def test_evidence_in_the_state_of_an_old_regularizer_is_named_when_it_is_left_out():
    moduli = ModuliRegularizer(nn.RNN(2, 4), Torus(2), learn=True, generator=generator(0))
    state = {**moduli.state_dict(), "evidence.seen.count": torch.zeros(()), "evidence.seen.mean": torch.zeros(4)}
    with pytest.warns(UserWarning, match="^evidence.seen.count, evidence.seen.mean of the state dict are not") as told:
        moduli.load_state_dict(state)
    assert len(told) == 1
    model = nn.Module()
    model.moduli = moduli
    with pytest.warns(UserWarning, match=r"PointEvidence\(moduli, source\), which observes anew"):
        model.load_state_dict({f"moduli.{name}": value for name, value in state.items()})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda moduli: moduli.layer_embeddings(1), "layer must be an integer from 0 to 0, got 1"),
        (lambda moduli: moduli.source_embeddings(None), "layer must be an integer from 0 to 0, got None"),
        (lambda moduli: moduli.coefficients(-1), "layer must be an integer from 0 to 0, got -1"),
        (lambda moduli: moduli.coefficients(0, 3, 2), "first must be an integer from 0 to 2, got 3"),
        (lambda moduli: moduli.coefficients(0, 0, 5), "last must be an integer from 0 to 4, got 5"),
        (lambda moduli: moduli.coefficients(sign=torch.ones(2)), "sign must be 1, -1 or None, got a tensor of shape"),
        (lambda moduli: moduli.start_epoch(-1), "epoch must be an integer >= 0, got -1"),
    ],
)
def test_layers_and_rows_that_there_are_not_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(ModuliRegularizer(nn.RNN(2, 4), Torus(2), generator=generator(0)))
