"""Blocks in the order of the neurons: whose it is, which weights have them, and what a new order brings back."""

import pytest
import torch
from torch import nn

from riemod import LinearSchedule, MagnitudePruner, ModuliRegularizer, lottery_ticket
from riemod.manifolds import Torus, curve_order
from riemod.regularization import chain, recurrent
from tests.pruning.nets import Net, is_whole, same, state
from tests.strategies import generator


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU])
def test_blocks_follow_the_points_and_the_rest_goes_one_by_one(kind):
    net = Net(kind)
    moduli = ModuliRegularizer(net.rnn, Torus(2), generator=generator(0))
    pruner = MagnitudePruner(net, scope="tensor", blocks=4, order=moduli)
    pruner.prune(2 / 3)
    order = curve_order(moduli.points, Torus(2))
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
    orders = [curve_order(own.points, Torus(2)) for own in moduli.embeddings]
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
    first, before = curve_order(moduli.points, Torus(2)), state(net)
    with torch.no_grad():
        moduli.points.copy_(Torus(2).sample(16, generator=generator(1)))
    # At the same sparsity, a lower one, or one that is less than a block away, nothing changes, the order neither.
    for sparsity in (0.5, 0.2, 0.55):
        pruner.prune(sparsity)
        assert same(state(net), before)
    assert torch.equal(net.weight_hh_l0_order, first)
    pruner.prune(0.75)
    second = curve_order(moduli.points, Torus(2))
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
