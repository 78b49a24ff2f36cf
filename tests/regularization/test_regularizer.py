"""ModuliRegularizer: what it penalizes and what it learns."""

import pytest
import torch
from torch import Tensor, nn

from riemod import ModuliRegularizer, inhibitors, moduli_penalty
from riemod.manifolds import Euclidean, KleinBottle, PoincareBall, Sphere, Torus
from riemod.regularization import Modules
from tests.regularization.formulas import MANIFOLDS, plain_penalty, plain_squared_distance
from tests.strategies import generator

LAYERS = {
    "rnn": (lambda: nn.RNN(3, 6), 1),
    "two layers": (lambda: nn.RNN(3, 6, num_layers=2), 2),
    "bidirectional": (lambda: nn.RNN(3, 6, num_layers=2, bidirectional=True), 4),
    "gru": (lambda: nn.GRU(3, 6), 1),
    "lstm": (lambda: nn.LSTM(3, 6, num_layers=2), 2),
    "rnn cell": (lambda: nn.RNNCell(3, 6), 1),
    "gru cell": (lambda: nn.GRUCell(3, 6), 1),
    "lstm cell": (lambda: nn.LSTMCell(3, 6), 1),
    "model": (lambda: nn.Sequential(nn.Linear(2, 3), nn.GRU(3, 6, 2), nn.ModuleList([nn.RNNCell(6, 5)])), 3),
}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_has_points_of_its_own_and_its_gates_share_them(layer, reduction):
    make, embeddings = LAYERS[layer]
    module, torus = make().double(), Torus(2)
    moduli = ModuliRegularizer(
        module, torus, strength=0.7, reduction=reduction, power=1.5, learn=True, generator=generator(0)
    )
    assert len(moduli.embeddings) == len(moduli.weights) == embeddings
    expected = torch.zeros((), dtype=torch.float64)
    for index, target in enumerate(moduli.weights):
        (embedding,) = moduli.layer_embeddings(index)
        assert embedding.points.shape == (target.neurons, 2)
        # One function for all gates at once: the blocks below each other, with as many copies of the points.
        points = embedding.points.repeat(target.gates, 1)
        expected = expected + 0.7 * moduli_penalty(
            target.tensor, points, torus, inhibitors.DifferenceOfGaussians(), 1.5, reduction,
            source_points=embedding.points,
        )  # fmt: skip
    value = moduli()
    torch.testing.assert_close(value, expected)
    inputs = [target.tensor for target in moduli.weights] + list(moduli.parameters())
    for own, theirs in zip(torch.autograd.grad(value, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(own, theirs)
    drawn = [embedding.points for embedding in moduli.embeddings]
    assert all(not torch.equal(drawn[0], other) for other in drawn[1:])


@pytest.mark.parametrize("strength", [0.0, 0.25, 3])
def test_strength_is_a_factor(strength):
    layer = nn.RNN(2, 5)
    moduli = ModuliRegularizer(layer, Torus(2), strength=strength, generator=generator(0))
    expected = moduli_penalty(layer.weight_hh_l0, moduli.points, Torus(2), inhibitors.DifferenceOfGaussians())
    torch.testing.assert_close(moduli(), strength * expected)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_value_and_gradients_on_every_manifold_are_the_plain_formula_s(name):
    layer = nn.RNN(2, 7).double()
    manifold = MANIFOLDS[name]().double()
    moduli = ModuliRegularizer(layer, manifold, strength=2.0, learn=True, generator=generator(1))
    assert moduli.points.dtype == torch.float64
    inputs = [layer.weight_hh_l0, *moduli.parameters()]
    assert len(inputs) == 2 + (name in ("learned poincare", "product"))
    expected = 2 * plain_penalty(layer.weight_hh_l0, moduli.points, manifold, moduli.inhibitor)
    torch.testing.assert_close(moduli(), expected)
    pairs = zip(torch.autograd.grad(moduli(), inputs), torch.autograd.grad(expected, inputs), strict=True)
    for own, theirs in pairs:
        torch.testing.assert_close(own, theirs, rtol=1e-7, atol=1e-9)


def test_each_layer_may_have_a_manifold_of_its_own():
    rnn = nn.RNN(2, 6, num_layers=3).double()
    bottle, line, torus, sphere = KleinBottle(), Euclidean(1), Torus(2), Sphere(2)
    spaces = [torus, Modules([(bottle, 2), (line, None)], between=3.0), sphere]
    moduli = ModuliRegularizer(rnn, spaces, learn=True, generator=generator(0))
    layers = [[(e.manifold, e.size) for e in moduli.layer_embeddings(layer)] for layer in range(3)]
    assert layers == [[(torus, 6)], [(bottle, 2), (line, 4)], [(sphere, 6)]]
    assert list(moduli.embeddings) == [e for layer in range(3) for e in moduli.layer_embeddings(layer)]
    expected = sum(
        (moduli.coefficients(layer) * target.tensor.abs()).mean() for layer, target in enumerate(moduli.weights)
    )
    torch.testing.assert_close(moduli(), 0.1 * expected)
    with pytest.raises(ValueError, match="points is for one embedding, this regularizer holds 4: embeddings"):
        _ = moduli.points


def dense_modules(weight: Tensor, moduli: ModuliRegularizer, between: float, power: float) -> Tensor:
    """The mean over all gates of a cost matrix that is block-diagonal but for the constant."""
    embeddings = moduli.layer_embeddings(0)
    sizes = [embedding.size for embedding in embeddings]
    rows = []
    for i, embedding in enumerate(embeddings):
        own = moduli.inhibitor.of_squared_distance(
            plain_squared_distance(embedding.manifold, embedding.points, embedding.points)
        )
        rows.append(
            torch.cat([own if i == j else own.new_full((sizes[i], size), between) for j, size in enumerate(sizes)], 1)
        )
    cost = torch.cat(rows)
    return (cost.repeat(weight.shape[0] // cost.shape[0], 1) * weight.abs() ** power).mean()


@pytest.mark.parametrize("power", [1, 2.5])
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM])
@pytest.mark.parametrize("between", [0.0, 42.0])
def test_modules_are_a_block_matrix_of_costs(kind, power, between):
    layer = kind(2, 9).double()
    modules = Modules([(Sphere(1), 3), (PoincareBall(2, learn_curvature=True), None), (Torus(2), 2)], between=between)
    for manifold, _ in modules.parts:
        manifold.double()
    moduli = ModuliRegularizer(layer, modules, strength=1.0, power=power, learn=True, generator=generator(0))
    expected = dense_modules(layer.weight_hh_l0, moduli, between, power)
    torch.testing.assert_close(moduli(), expected)
    inputs = [layer.weight_hh_l0, *moduli.parameters()]
    assert len(inputs) == 5
    pairs = zip(torch.autograd.grad(moduli(), inputs), torch.autograd.grad(expected, inputs), strict=True)
    for own, theirs in pairs:
        torch.testing.assert_close(own, theirs, rtol=1e-7, atol=1e-9)
    costs = moduli.coefficients()
    assert (costs[:3, 3:] == between).all()
    torch.testing.assert_close(
        (costs.repeat(layer.weight_hh_l0.shape[0] // 9, 1) * layer.weight_hh_l0.abs() ** power).mean(), expected
    )


def test_coefficients_are_the_costs():
    layer = nn.RNN(2, 5)
    moduli = ModuliRegularizer(layer, Sphere(2), learn=True, generator=generator(0))
    costs = moduli.coefficients()
    assert not costs.requires_grad
    torch.testing.assert_close(costs, moduli.inhibitor(moduli.layer_embeddings(0)[0].distances()).detach())


@pytest.mark.parametrize("learn", [False, True])
def test_fixed_points_get_no_gradient(learn):
    layer = nn.RNN(2, 5)
    ball = PoincareBall(2, learn_curvature=True)
    moduli = ModuliRegularizer(layer, ball, learn=learn, generator=generator(0))
    moduli().backward()
    assert moduli.learn is learn
    assert len(list(moduli.parameters())) == 2
    for parameter in moduli.parameters():
        assert parameter.requires_grad is learn
        assert (parameter.grad is not None and bool(parameter.grad.any())) is learn
    assert layer.weight_hh_l0.grad is not None
    assert layer.weight_ih_l0.grad is None


def test_it_holds_no_parameter_of_the_layer():
    layer = nn.RNN(2, 5)
    moduli = ModuliRegularizer(layer, Torus(2), learn=True)
    assert list(moduli.state_dict()) == ["embeddings.0.points"]
    assert not {id(p) for p in moduli.parameters()} & {id(p) for p in layer.parameters()}
    assert list(layer.state_dict()) == list(nn.RNN(2, 5).state_dict())


def test_freeze_holds_everything_where_it_is():
    layer = nn.RNN(2, 5)
    moduli = ModuliRegularizer(layer, PoincareBall(2, learn_curvature=True), learn=True)
    moduli().backward()
    before = moduli().item()
    assert moduli.freeze() is moduli
    assert not moduli.learn
    assert all(parameter.grad is None for parameter in moduli.parameters())
    moduli().backward()
    assert all(parameter.grad is None for parameter in moduli.parameters())
    assert moduli().item() == before


def test_no_grad_and_repeated_calls_agree():
    moduli = ModuliRegularizer(nn.GRU(2, 5), Torus(2), learn=True)
    with torch.no_grad():
        value = moduli()
    assert not value.requires_grad
    assert value.item() == moduli().item() == moduli().item()


def test_it_follows_the_weights_as_they_are():
    layer = nn.RNN(2, 5)
    moduli = ModuliRegularizer(layer, Torus(2))
    before = moduli().item()
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)
    assert moduli().item() == pytest.approx(2 * before)
    layer.weight_hh_l0 = nn.Parameter(torch.zeros(5, 5))
    assert moduli().item() == 0
