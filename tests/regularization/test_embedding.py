"""Points of a layer's neurons, modules of neurons, and the recurrent weights that they price."""

import math

import pytest
import torch
from torch import nn

from riemod.manifolds import Euclidean, Sphere, Torus
from riemod.manifolds._geoopt import geoopt
from riemod.regularization import Modules, NeuronEmbedding
from riemod.regularization.weights import recurrent_weights
from tests.regularization.formulas import MANIFOLDS
from tests.strategies import generator


@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_points_are_one_manifold_parameter(name, learn):
    manifold = MANIFOLDS[name]()
    embedding = NeuronEmbedding(manifold, 7, learn=learn, generator=generator(0))
    assert isinstance(embedding.points, geoopt.ManifoldParameter)
    assert embedding.points.manifold is manifold.geometry
    assert embedding.points.requires_grad is learn
    assert embedding.points.dtype == torch.float32
    assert embedding.size == 7
    assert "points" in dict(embedding.named_parameters())
    manifold.check_points(embedding.points)
    torch.testing.assert_close(embedding.distances(), manifold.distance(embedding.points, embedding.points))
    torch.testing.assert_close(embedding.coordinates(), manifold.coordinates(embedding.points))


def test_the_draw_is_the_generator_s_and_the_manifold_s():
    torus = Torus(2)
    one, same, other = (NeuronEmbedding(torus, 5, generator=generator(seed)).points for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(one, torus.sample(5, generator=generator(0), dtype=torch.float32))
    state = torch.get_rng_state()
    NeuronEmbedding(torus, 5, generator=generator(0))
    assert torch.equal(torch.get_rng_state(), state)


def test_given_points_are_copied_in_the_dtype_asked_for():
    given = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    embedding = NeuronEmbedding(Torus(2), 4, points=given, dtype=torch.float32)
    assert embedding.points.dtype == torch.float32
    assert NeuronEmbedding(Torus(2), 4, points=given).points.dtype == torch.float64
    kept = NeuronEmbedding(Torus(2), 4, points=given)
    with torch.no_grad():
        given.zero_()
    assert kept.points.abs().sum() > 0
    assert NeuronEmbedding(Torus(2), 4, dtype=torch.float64).points.dtype == torch.float64


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 0}, ValueError, "size must be an integer >= 1, got 0"),
        ({"points": torch.zeros(4, 2)}, ValueError, "points must hold 3 neurons, got 4"),
        ({"points": torch.zeros(3, 3)}, ValueError, r"points must have shape \(n, 2\)"),
        ({"points": torch.full((3, 2), math.nan)}, ValueError, "points must be finite"),
        ({"points": torch.full((3, 2), 11.0)}, ValueError, "points must lie on Torus"),
        ({"points": torch.zeros(3, 2, dtype=torch.int64)}, TypeError, "points must be floating-point"),
        ({"points": [[0.0, 0.0]] * 3}, TypeError, "points must be a tensor, got list"),
        ({"dtype": torch.int64}, TypeError, "dtype must be floating-point"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        NeuronEmbedding(Torus(2), **{"size": 3, **arguments})


def test_modules_split_neurons_in_order():
    modules = Modules([(Sphere(1), 3), (Torus(2), None), (Euclidean(1), 2)], between=1.5)
    assert modules.sizes(10) == [3, 5, 2]
    assert Modules([(Sphere(1), 3), (Torus(2), 4)], between=0).sizes(7) == [3, 4]


@pytest.mark.parametrize("neurons", [3, 5, 6, 8])
def test_modules_must_fill_a_layer(neurons):
    with pytest.raises(ValueError, match=rf"parts must split {neurons} neurons, got sizes \[3, 4\]"):
        Modules([(Sphere(1), 3), (Torus(2), 4)], between=0).sizes(neurons)
    if neurons < 6:
        with pytest.raises(ValueError, match=f"parts must split {neurons} neurons"):
            Modules([(Sphere(1), 3), (Torus(2), 2), (Torus(2), None)], between=0).sizes(neurons)


@pytest.mark.parametrize(
    ("parts", "between", "error", "message"),
    [
        ([(Torus(2), 3)], 1.0, ValueError, "parts must name at least two"),
        (
            [(Torus(2), 3), (Torus(2), 0)],
            1.0,
            ValueError,
            "the sizes of parts must be an integer >= 1, got 0",
        ),
        ([(Torus(2), 3), (Torus(2), -2)], 1.0, ValueError, "the sizes of parts must be an integer >= 1, got -2"),
        ([(Torus(2), 3), (Torus(2), 1.5)], 1.0, ValueError, "the sizes of parts must be an integer >= 1, got 1.5"),
        ([(Torus(2), None), (Torus(2), None)], 1.0, ValueError, "parts may leave the size of one manifold open"),
        ([("torus", 3), (Torus(2), 3)], 1.0, TypeError, r"parts must hold \(Manifold, size\) pairs, got a str"),
        ([Torus(2), Torus(2)], 1.0, TypeError, r"parts must hold \(Manifold, size\) pairs, got a module Torus"),
        ([(Torus(2), 3), (Torus(2), 3)], -1.0, ValueError, "between must be finite and >= 0, got -1.0"),
        ([(Torus(2), 3), (Torus(2), 3)], math.nan, ValueError, "between must be finite and >= 0, got nan"),
        ([(Torus(2), 3), (Torus(2), 3)], math.inf, ValueError, "between must be finite and >= 0, got inf"),
        ([(Torus(2), 3), (Torus(2), 3)], "1", ValueError, "between must be finite and >= 0, got '1'"),
    ],
)
def test_bad_modules_are_named(parts, between, error, message):
    with pytest.raises(error, match=message):
        Modules(parts, between=between)


@pytest.mark.parametrize(
    ("module", "names", "gates"),
    [
        (nn.RNN(2, 6), ["weight_hh_l0"], 1),
        (
            nn.RNN(2, 6, num_layers=2, bidirectional=True),
            [f"weight_hh_l{k}{s}" for k in (0, 1) for s in ("", "_reverse")],
            1,
        ),
        (nn.GRU(2, 6, num_layers=2), ["weight_hh_l0", "weight_hh_l1"], 3),
        (nn.LSTM(2, 6, bias=False), ["weight_hh_l0"], 4),
        (nn.RNNCell(2, 6), ["weight_hh"], 1),
        (nn.GRUCell(2, 6), ["weight_hh"], 3),
        (nn.LSTMCell(2, 6), ["weight_hh"], 4),
        (
            nn.Sequential(nn.Linear(2, 2), nn.RNN(2, 6), nn.ModuleDict({"cell": nn.RNNCell(6, 6)})),
            ["weight_hh_l0", "weight_hh"],
            1,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_recurrent_weights_are_found_in_order(module, names, gates):
    targets = recurrent_weights(module)
    assert [target.parameter for target in targets] == names
    for target in targets:
        assert target.tensor is getattr(target.module, target.parameter)
        assert (target.neurons, target.gates) == (6, gates)
        assert [block.shape for block in target.blocks()] == [(6, 6)] * gates


def test_a_layer_used_twice_is_found_once():
    layer = nn.RNN(4, 4)
    assert len(recurrent_weights(nn.ModuleList([layer, nn.Sequential(layer)]))) == 1


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (nn.Linear(2, 2), ValueError, "module must be or hold a recurrent layer or cell of torch.nn, got Linear"),
        (nn.LSTM(2, 4, proj_size=2), ValueError, "module must not project its hidden state"),
        (torch.zeros(2, 2), TypeError, "module must be a torch.nn.Module, got Tensor"),
        (None, TypeError, "module must be a torch.nn.Module, got None"),
    ],
)
def test_a_module_without_recurrent_weights_is_refused(module, error, message):
    with pytest.raises(error, match=message):
        recurrent_weights(module)
