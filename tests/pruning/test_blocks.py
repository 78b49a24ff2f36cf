"""Pruning by blocks: which blocks go, how many, in whose order, and what comes back when the order has changed."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from riemod import LinearSchedule, MagnitudePruner, ModuliRegularizer, lottery_ticket
from riemod.manifolds import Torus, curve_order
from riemod.regularization import chain, recurrent
from tests.strategies import generator, seeds


class Tensors(nn.Module):
    def __init__(self, *tensors):
        super().__init__()
        self.tensors = nn.ParameterList(nn.Parameter(tensor) for tensor in tensors)


class Net(nn.Module):
    def __init__(self, kind=nn.LSTM, n=12):
        super().__init__()
        self.encoder = nn.Linear(5, 4)
        self.rnn = kind(4, n)
        self.decoder = nn.Linear(n, 3)


def tiles(matrix, block, gates=1):
    """Every tile of every gate, cut out one by one."""
    return [part for gate in matrix.chunk(gates) for rows in gate.split(block) for part in rows.split(block, dim=1)]


def is_whole(mask, block, gates=1, order=None):
    if order is not None:
        mask = mask.unflatten(0, (gates, -1))[:, order][:, :, order].flatten(0, 1)
    return all(bool(tile.all() == tile.any()) for tile in tiles(mask, block, gates))


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def shake(model, seed):
    """A step of training, so to speak: kept weights move, pruned ones stay."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mask = dict(model.named_buffers()).get(f"{name}_mask")
            noise = torch.randn(parameter.shape, generator=generator(seed)) * 0.3
            parameter.add_(noise if mask is None else noise * mask)


shapes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3)


@given(shapes, st.integers(1, 5), st.lists(st.floats(0, 1), min_size=1, max_size=4), st.booleans(), seeds)
def test_the_smallest_blocks_go_and_as_many_as_fit(shapes, block, sparsities, alone, seed):
    tensors = [torch.randn(shape, generator=generator(seed + index)) for index, shape in enumerate(shapes)]
    model = Tensors(*tensors)
    pruner = MagnitudePruner(model, blocks=block, scope="tensor" if alone else "global")
    for step, sparsity in enumerate(sparsities):
        masks = {name: mask.clone() for name, mask in pruner.masks().items()}
        weights = {name: model.get_parameter(name).detach().clone() for name in masks}
        pruner.prune(sparsity)
        for names in [[name] for name in masks] if alone else [list(masks)]:
            old = [tile for name in names for tile in tiles(masks[name], block)]
            new = [tile for name in names for tile in tiles(pruner.masks()[name], block)]
            sizes = [tile.numel() for tile in old]
            target, before = round(sparsity * sum(sizes)), sum(int((~tile).sum()) for tile in old)
            dropped = sum(int((~tile).sum()) for tile in new)
            assert all(is_whole(pruner.masks()[name], block) for name in names)
            assert dropped == before if target <= before else before <= dropped <= target < dropped + max(sizes)
            assert all(not own.any() or tile.any() for own, tile in zip(new, old, strict=True))
            # No kept block is smaller than one that has gone now.
            values = [tile for name in names for tile in tiles(weights[name], block)]
            roots = [tile.double().square().mean().item() for tile in values]
            gone = [root for root, own, tile in zip(roots, new, old, strict=True) if tile.any() and not own.any()]
            kept = [root for root, own in zip(roots, new, strict=True) if own.any()]
            assert max(gone, default=0.0) <= min(kept, default=float("inf")) + 1e-12
        for name, mask in pruner.masks().items():
            assert torch.equal(model.get_parameter(name), weights[name] * mask)
        shake(model, seed + step)
        once = state(model)
        pruner.prune(sparsity)
        assert same(state(model), once)


def test_all_of_it_goes_and_none_of_it():
    model = Tensors(torch.randn(5, 7), torch.randn(1, 2))
    pruner = MagnitudePruner(model, blocks=4)
    pruner.prune(0.0)
    assert pruner.sparsity()["total"] == 0
    pruner.prune(0.99)
    pruner.prune(1.0)
    assert pruner.sparsity()["total"] == 1
    # A weight within one block goes whole or stays.
    small = MagnitudePruner(Tensors(torch.randn(3, 3)), blocks=8)
    small.prune(0.9)
    assert small.sparsity()["total"] == 0
    small.prune(1.0)
    assert small.sparsity()["total"] == 1


def test_blocks_of_one_are_single_weights():
    model = Net()
    blocks, single = MagnitudePruner(model, blocks=1), MagnitudePruner(copy.deepcopy(model))
    for sparsity in (0.3, 0.8):
        blocks.prune(sparsity)
        single.prune(sparsity)
        assert all(torch.equal(mask, single.masks()[name]) for name, mask in blocks.masks().items())


def test_partial_blocks_compare_by_their_root_mean_square():
    # The corner has the smallest sum of squares and the largest root mean square; the strip below, the least of all.
    weight = torch.tensor([[2.0, 2.0, 2.5], [2.0, 2.0, 2.5], [1.9, 1.9, 3.0]])
    for count, expected in {4: [[1, 1, 1], [1, 1, 1], [0, 0, 1]], 6: [[0, 0, 1], [0, 0, 1], [0, 0, 1]]}.items():
        pruner = MagnitudePruner(Tensors(weight.clone()), blocks=2)
        pruner.prune(count / 9)
        assert pruner.masks()["tensors.0"].int().tolist() == expected


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM, nn.GRUCell])
def test_gates_are_cut_apart(kind):
    layer = kind(3, 10)
    pruner = MagnitudePruner(layer, blocks=4)
    pruner.prune(0.5)
    for name, mask in pruner.masks().items():
        gates = len(layer.get_parameter(name)) // 10
        assert is_whole(mask, 4, gates)
        assert not mask.all()
    assert pruner.orders() == {}
    assert {key for key in layer.state_dict() if "order" in key} == set()


def test_a_kernel_s_slices_are_whole():
    model = nn.Conv2d(6, 9, 3)
    pruner = MagnitudePruner(model, blocks=4)
    pruner.prune(0.6)
    slices = pruner.masks()["weight"].flatten(2)
    assert torch.equal(slices.all(2), slices.any(2))
    assert is_whole(slices[..., 0], 4)
    assert 0.3 < pruner.sparsity()["total"] <= 0.6


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU])
def test_blocks_follow_the_points_and_the_rest_goes_one_by_one(kind):
    net = Net(kind)
    moduli = ModuliRegularizer(net.rnn, Torus(2), generator=generator(0))
    pruner = MagnitudePruner(net, scope="tensor", blocks=4, order=moduli)
    pruner.prune(2 / 3)
    order = curve_order(Torus(2), moduli.points)
    gates = {nn.RNN: 1, nn.GRU: 3}[kind]
    assert is_whole(net.rnn.weight_hh_l0_mask, 4, gates, order)
    assert not is_whole(net.rnn.weight_hh_l0_mask, 4, gates)
    assert {name: share for name, share in pruner.sparsity().items() if name != "total"} == {
        name: round(2 / 3 * mask.numel()) / mask.numel() for name, mask in pruner.masks().items()
    }
    assert not is_whole(net.rnn.weight_ih_l0_mask, 4, gates)
    assert list(pruner.orders()) == ["rnn.weight_hh_l0"]
    assert all(torch.equal(own, order) for own in pruner.orders()["rnn.weight_hh_l0"])


def test_blocks_and_single_weights_are_ranked_apart():
    net = Net(nn.RNN)
    with torch.no_grad():
        net.rnn.weight_hh_l0.mul_(1e-3)
    pruner = MagnitudePruner(net, blocks=4, order=torch.arange(12))
    pruner.prune(1 / 3)
    assert pruner.sparsity()["rnn.weight_hh_l0"] == 1 / 3
    total = sum(mask.numel() for mask in pruner.masks().values())
    single = total - 144
    assert pruner.sparsity()["total"] == (48 + round(single / 3)) / total


def test_a_permutation_is_for_the_recurrent_weights_of_its_size():
    net = nn.ModuleList([nn.GRU(3, 8, num_layers=2, bidirectional=True), nn.RNN(8, 6), nn.LSTMCell(8, 8)])
    order = torch.randperm(8, generator=generator(0))
    pruner = MagnitudePruner(net, scope="tensor", blocks=4, order=order)
    pruner.prune(0.75)
    names = ["weight_hh_l0", "weight_hh_l0_reverse", "weight_hh_l1", "weight_hh_l1_reverse"]
    assert list(pruner.orders()) == [*(f"0.{name}" for name in names), "2.weight_hh"]
    assert is_whole(net[0].weight_hh_l1_mask, 4, 3, order)
    assert is_whole(net[2].weight_hh_mask, 4, 4, order)
    assert not is_whole(net[1].weight_hh_l0_mask, 4)


def test_two_sets_of_neurons_have_two_orders():
    first, second, cell = nn.Linear(6, 8), nn.Conv2d(8, 10, 2), nn.Module()
    cell.transition = nn.Parameter(torch.randn(18, 9))
    model = nn.ModuleList([first, second, cell])
    moduli = ModuliRegularizer([chain(first, second), recurrent(cell, "transition")], Torus(2), generator=generator(0))
    pruner = MagnitudePruner(model, blocks=3, order=moduli)
    pruner.prune(0.5)
    orders = [curve_order(Torus(2), own.points) for own in moduli.embeddings]
    found = pruner.orders()
    expected = {"0.weight": (1, 0), "1.weight": (2, 1), "2.transition": (3, 3)}
    assert found.keys() == expected.keys()
    for name, sides in expected.items():
        assert all(torch.equal(own, orders[side]) for own, side in zip(found[name], sides, strict=True))
    assert is_whole(first.weight_mask[orders[1]][:, orders[0]], 3)
    assert is_whole(second.weight_mask[orders[2]][:, orders[1], 1, 1], 3)
    assert is_whole(cell.transition_mask, 3, 2, orders[3])
    assert "transition_source_order" not in dict(cell.named_buffers())


def test_groups_are_formed_anew_when_another_block_has_to_go():
    net = nn.RNN(2, 16)
    moduli = ModuliRegularizer(net, Torus(2), learn=True, generator=generator(0))
    pruner = MagnitudePruner(net, targets=["weight_hh_l0"], blocks=4, order=moduli)
    pruner.prune(0.5)
    first, before = curve_order(Torus(2), moduli.points), state(net)
    with torch.no_grad():
        moduli.points.copy_(Torus(2).sample(16, generator=generator(1)))
    # At the same sparsity, a lower one, or one that is less than a block away, nothing changes, the order neither.
    for sparsity in (0.5, 0.2, 0.55):
        pruner.prune(sparsity)
        assert same(state(net), before)
    assert torch.equal(net.weight_hh_l0_order, first)
    pruner.prune(0.75)
    second = curve_order(Torus(2), moduli.points)
    assert torch.equal(net.weight_hh_l0_order, second)
    assert is_whole(net.weight_hh_l0_mask, 4, order=second)
    assert pruner.sparsity()["total"] == 0.75
    back = net.weight_hh_l0_mask & ~before["weight_hh_l0_mask"]
    assert back.any()
    assert not net.weight_hh_l0[back].any()
    stayed = net.weight_hh_l0_mask & before["weight_hh_l0_mask"]
    assert torch.equal(net.weight_hh_l0[stayed], before["weight_hh_l0"][stayed])


def test_a_pruner_made_anew_goes_on_as_the_old_one():
    net = Net()
    moduli = ModuliRegularizer(net.rnn, Torus(2), learn=True, generator=generator(0))
    arguments = {"schedule": LinearSchedule(0.9, 5), "blocks": 4}
    pruner = MagnitudePruner(net, **arguments, order=moduli)
    pruner.start_epoch(2)
    saved = state(net)
    with torch.no_grad():
        moduli.points.copy_(Torus(2).sample(12, generator=generator(1)))
    other = Net()
    again = ModuliRegularizer(other.rnn, Torus(2), learn=True, generator=generator(2))
    resumed = MagnitudePruner(other, **arguments, order=again)
    other.load_state_dict(saved)
    again.load_state_dict(moduli.state_dict())
    for epoch in (2, 3, 4):
        pruner.start_epoch(epoch)
        resumed.start_epoch(epoch)
        assert same(state(other), state(net))
    assert net.rnn.weight_hh_l0_mask.any()


@pytest.mark.parametrize("rewound", [False, True])
def test_tickets_keep_blocks_and_orders(rewound):
    net = Net()
    dense = state(net)
    moduli = ModuliRegularizer(net.rnn, Torus(2), learn=True, generator=generator(0))
    pruner = MagnitudePruner(net, LinearSchedule(0.8, 3), blocks=4, order=moduli)
    pruner.start_epoch(2)
    ticket = lottery_ticket(net, pruner, moduli, rewind=dense if rewound else None, generator=generator(0))
    for name, mask in pruner.masks().items():
        assert torch.equal(ticket.pruner.masks()[name], mask)
        assert torch.equal(ticket.model.get_parameter(name) == 0, ~mask) or not rewound
    assert ticket.pruner.orders().keys() == pruner.orders().keys()
    once = state(ticket.model)
    ticket.pruner.start_epoch(0)
    assert same(state(ticket.model), once)


def test_bad_input_is_named_and_leaves_the_model_as_it_was():
    net = Net()
    moduli = ModuliRegularizer(net.rnn, Torus(2))
    before = net.state_dict().keys()
    cases = [
        ({"blocks": 0}, ValueError, "blocks: must be at least 1, got 0"),
        ({"blocks": 2.0}, TypeError, r"blocks: expected an int, got 2\.0"),
        ({"blocks": True}, TypeError, "blocks: expected an int, got True"),
        ({"order": moduli}, ValueError, "order: it is for blocks"),
        ({"blocks": 4, "order": ModuliRegularizer(nn.RNN(4, 12), Torus(2))}, ValueError, "order: .* on another model"),
        (
            {"blocks": 4, "order": moduli, "targets": ["decoder.weight"]},
            ValueError,
            "order: none of the weights of the",
        ),
        ({"blocks": 4, "order": torch.arange(11)}, ValueError, "order: none of the recurrent weights with 11 neurons"),
        ({"blocks": 4, "order": torch.zeros(12).long()}, ValueError, "order: expected an int64 permutation"),
        ({"blocks": 4, "order": torch.arange(12.0)}, ValueError, r"order: expected .* got torch\.float32"),
        ({"blocks": 4, "order": "geometric"}, TypeError, "order: expected a ModuliRegularizer, a permutation or None"),
        ({"blocks": 4, "targets": ["decoder.bias"]}, ValueError, r"blocks: decoder\.bias has shape \(3,\)"),
    ]
    for arguments, error, message in cases:
        with pytest.raises(error, match=message):
            MagnitudePruner(net, **arguments)
        assert net.state_dict().keys() == before
    net.rnn.weight_hh_l0_order = "mine"
    with pytest.raises(ValueError, match="already has an attribute 'weight_hh_l0_order' that is not an int64 buffer"):
        MagnitudePruner(net, blocks=4, order=moduli)
    assert net.state_dict().keys() == before


def test_points_that_are_nan_prune_nothing():
    net = Net()
    moduli = ModuliRegularizer(net.rnn, Torus(2), learn=True)
    pruner = MagnitudePruner(net, scope="tensor", blocks=4, order=moduli)
    with torch.no_grad():
        moduli.points[0, 0] = float("nan")
    before = state(net)
    with pytest.raises(ValueError, match="points must be finite"):
        pruner.prune(0.5)
    assert same(state(net), before)
