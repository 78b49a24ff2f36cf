"""`permute_neurons`: the same net with its units in another order."""

import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import riemod
from riemod import MagnitudePruner, Modules, ModuliRegularizer, controls
from riemod.manifolds import Sphere, Torus
from riemod.masks import masked_parameters
from riemod.sparse import order_neurons, permute_neurons
from tests.strategies import generator, seeds

KINDS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Net(nn.Module):
    """First states by a source, a stack, a decoder of the outputs, one of a last state, and a recurrent consumer."""

    def __init__(self, kind, n, layers, bidirectional, bias=True):
        super().__init__()
        self.directions = 1 + bidirectional
        self.shape = (layers * self.directions, n)
        self.stack = KINDS[kind](3, n, num_layers=layers, bidirectional=bidirectional, bias=bias)
        self.starts = nn.ModuleList(nn.Linear(2, n, bias=bias) for _ in range(self.shape[0]))
        self.decoder = nn.Linear(self.directions * n, 2)
        self.last = nn.ModuleList(nn.Linear(n, 1) for _ in range(self.shape[0]))
        self.after = nn.GRU(self.directions * n, 3, bidirectional=True)
        self.double()

    def forward(self, sequence, start):
        state = torch.stack([source(start) for source in self.starts])
        lstm = isinstance(self.stack, nn.LSTM)
        output, end = self.stack(sequence, (state, torch.zeros_like(state)) if lstm else state)
        end = end[0] if lstm else end
        read = [decoder(own) for decoder, own in zip(self.last, end, strict=True)]
        return torch.cat(
            [self.decoder(output).flatten(), *(own.flatten() for own in read), self.after(output)[0].flatten()]
        )

    def permute(self, order, number, reverse, moduli=None):
        index = number * self.directions + reverse
        top = number == self.stack.num_layers - 1
        permute_neurons(
            self.stack,
            order,
            number=number,
            reverse=reverse,
            sources=[self.starts[index]],
            consumers=[self.last[index], *([self.decoder, self.after] if top else [])],
            moduli=moduli,
        )


def inputs(seed, whole=False):
    drawn = [torch.randn(shape, generator=generator(seed), dtype=torch.float64) for shape in ((5, 4, 3), (4, 2))]
    return [(2 * own).round() for own in drawn] if whole else drawn


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("kind", "layers", "bidirectional"), [*itertools.product(KINDS, (1, 3), (False, True))], ids=str
)
def test_outputs_stay_and_the_inverse_restores_the_bits(kind, layers, bidirectional):
    torch.manual_seed(0)
    net = Net(kind, 7, layers, bidirectional, bias=layers == 3)
    data, before = inputs(1), state(net)
    expected = net(*data)
    parameters = dict(net.named_parameters())
    for number, reverse in itertools.product(range(layers), range(1 + bidirectional)):
        order = torch.randperm(7, generator=generator(number))
        net.permute(order, number, bool(reverse))
        torch.testing.assert_close(net(*data), expected, rtol=0, atol=1e-12)
        assert not same(state(net), before)
    assert all(parameter is parameters[name] for name, parameter in net.named_parameters())
    for number, reverse in itertools.product(range(layers), range(1 + bidirectional)):
        net.permute(torch.randperm(7, generator=generator(number)).argsort(), number, bool(reverse))
    assert same(state(net), before)


@given(st.integers(1, 9), seeds)
def test_whole_numbers_give_the_same_bits(n, seed):
    net = nn.RNN(3, n, nonlinearity="relu", num_layers=2).double()
    decoder = nn.Linear(n, 2).double()
    for parameter in (*net.parameters(), *decoder.parameters()):
        drawn = torch.randint(-2, 3, parameter.shape, generator=generator(seed))
        parameter.detach().copy_(drawn)
    sequence, _ = inputs(seed, whole=True)
    expected = decoder(net(sequence)[0])
    for number in (0, 1):
        order = torch.randperm(n, generator=generator(seed + number))
        permute_neurons(net, order, number=number, consumers=[decoder] * number)
        assert torch.equal(decoder(net(sequence)[0]), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_places_are_those_the_order_says(kind):
    layer, order = KINDS[kind](2, 5), torch.tensor([3, 1, 4, 0, 2])
    before = copy.deepcopy(layer)
    permute_neurons(layer, order)
    gates = len(layer.weight_hh_l0) // 5
    for gate in range(gates):
        own = slice(5 * gate, 5 * gate + 5)
        assert torch.equal(layer.weight_hh_l0[own], before.weight_hh_l0[own][order][:, order])
        assert torch.equal(layer.weight_ih_l0[own], before.weight_ih_l0[own][order])
        assert torch.equal(layer.bias_hh_l0[own], before.bias_hh_l0[own][order])


def test_masks_follow_and_fit():
    net = Net("lstm", 6, 2, bidirectional=True)
    pruner = MagnitudePruner(net, scope="tensor")
    pruner.prune(0.6)
    expected = net(*inputs(0))
    order = torch.randperm(6, generator=generator(0))
    net.permute(order, 1, reverse=True)
    torch.testing.assert_close(net(*inputs(0)), expected, rtol=0, atol=1e-12)
    for name, parameter, mask in masked_parameters(net):
        assert torch.equal(parameter == 0, ~mask), name
    assert pruner.sparsity()["total"] == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize("arm", ["moduli", "matched_l1", "shuffled", "none"])
def test_points_follow_so_that_the_penalty_stays(arm):
    rnn = nn.GRU(2, 8, num_layers=2).double()
    moduli = ModuliRegularizer(rnn, Torus(2), costs=controls.by_name(arm), generator=generator(0))
    before, costs = moduli().item(), moduli.coefficients(1)
    points = [own.points.clone() for own in moduli.embeddings]
    order = order_neurons(moduli.embeddings[1])
    permute_neurons(rnn, order, number=1, moduli=moduli)
    assert moduli().item() == pytest.approx(before, rel=1e-12)
    assert torch.equal(moduli.coefficients(1), costs[order][:, order])
    assert torch.equal(moduli.embeddings[0].points, points[0])
    assert torch.equal(moduli.embeddings[1].points, points[1][order])
    assert torch.equal(order_neurons(moduli.embeddings[1]), torch.arange(8))


def test_points_of_every_weight_that_joins_the_units_follow():
    rnn, encoder, decoder = nn.RNN(2, 6), nn.Linear(4, 6), nn.Linear(6, 3)
    moduli = ModuliRegularizer([encoder, rnn, decoder], Torus(2), generator=generator(0))
    before, order = moduli().item(), torch.tensor([5, 2, 0, 1, 4, 3])
    points = [own.points.clone() for own in moduli.embeddings]
    permute_neurons(rnn, order, sources=[encoder], consumers=[decoder], moduli=moduli)
    assert moduli().item() == pytest.approx(before, rel=1e-5)
    for index, own in enumerate(moduli.embeddings):
        assert torch.equal(own.points, points[index][order] if index in (1, 2, 3) else points[index])


def test_modules_keep_their_neurons():
    rnn = nn.RNN(2, 6)
    moduli = ModuliRegularizer(rnn, Modules([(Sphere(1), 2), (Torus(2), 4)], between=1.0), generator=generator(0))
    before, penalty = state(rnn), moduli().item()
    with pytest.raises(ValueError, match="order must keep neurons in the module"):
        permute_neurons(rnn, torch.tensor([2, 1, 0, 3, 4, 5]), moduli=moduli)
    assert same(state(rnn), before)
    permute_neurons(rnn, torch.tensor([1, 0, 5, 3, 2, 4]), moduli=moduli)
    assert moduli().item() == pytest.approx(penalty, rel=1e-5)


def test_orders_of_blocks_follow():
    rnn = nn.LSTM(2, 16)
    moduli = ModuliRegularizer(rnn, Torus(2), generator=generator(0))
    pruner = MagnitudePruner(rnn, blocks=4, order=moduli, targets=["weight_hh_l0"])
    pruner.prune(0.75)
    order = torch.randperm(16, generator=generator(0))
    permute_neurons(rnn, order, moduli=moduli)
    assert torch.equal(rnn.weight_hh_l0_order, order_neurons(moduli))
    permute_neurons(rnn, order_neurons(moduli), moduli=moduli)
    assert torch.equal(rnn.weight_hh_l0_order, torch.arange(16))
    tiles = rnn.weight_hh_l0_mask.view(4, 4, 4, 4, 4).float().mean((2, 4))
    assert set(tiles.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"order": torch.tensor([0, 0, 1])}, ValueError, r"order must be an int64 permutation of 3 neurons.*\[0, 0"),
        ({"order": torch.tensor([0, 1])}, ValueError, "order must be an int64 permutation of 3 neurons"),
        ({"order": torch.tensor([0.0, 1.0, 2.0])}, ValueError, "got torch.float32"),
        ({"order": [0, 1, 2]}, TypeError, "order must be a tensor, got a list"),
        ({"number": 1}, ValueError, "number must be an integer from 0 to 0, got 1"),
        ({"number": "0"}, ValueError, "number must be an integer from 0 to 0, got '0'"),
        ({"reverse": True}, ValueError, "reverse must be False for a layer of one direction"),
        ({"sources": [nn.Linear(2, 4)]}, ValueError, "sources must have 3 outputs"),
        ({"sources": [nn.RNN(2, 3)]}, TypeError, "sources must be nn.Linear layers, got a RNN"),
        ({"consumers": [nn.Linear(6, 4)]}, ValueError, "consumers must have 3 inputs"),
        ({"consumers": [nn.Conv1d(3, 3, 1)]}, TypeError, "consumers must be nn.Linear or recurrent"),
        ({"consumers": [nn.Linear(3, 2)] * 2}, ValueError, "sources and consumers must name every weight once"),
        ({"moduli": ModuliRegularizer(nn.RNN(2, 3), Torus(2))}, ValueError, "moduli must have points"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(arguments, error, message):
    rnn = nn.RNN(2, 3)
    before = state(rnn)
    with pytest.raises(error, match=message):
        permute_neurons(rnn, **({"order": torch.tensor([2, 0, 1])} | arguments))
    assert same(state(rnn), before)


def test_layers_of_other_kinds_are_refused():
    order = torch.arange(4)
    with pytest.raises(TypeError, match=r"layer must be an nn\.RNN, nn\.GRU or nn\.LSTM, got a Linear"):
        permute_neurons(nn.Linear(4, 4), order)
    with pytest.raises(ValueError, match="layer must not project"):
        permute_neurons(nn.LSTM(2, 4, proj_size=2), order)


def test_points_of_a_part_of_a_weight_are_refused_and_nothing_moves():
    layer, wide = torch.nn.RNN(2, 4), torch.nn.RNN(4, 2)
    part = riemod.recurrent(layer, "weight_hh_l0", columns=slice(0, 2))
    moduli = riemod.ModuliRegularizer([part, wide], Torus(2))
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(ValueError, match=r"moduli must penalize whole weights .* got columns 0 to 1 of weight_hh_l0"):
        permute_neurons(layer, torch.tensor([3, 1, 0, 2]), consumers=[wide], moduli=moduli)
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())
