"""Pruning by blocks: which go, and how many; gates, kernels and edges; and what is refused."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import riemod
from riemod import MagnitudePruner, ModuliRegularizer
from riemod.manifolds import Torus
from tests.pruning.nets import Net, is_whole, same, small, state, tiles
from tests.strategies import generator, seeds


class Tensors(nn.Module):
    def __init__(self, *tensors):
        super().__init__()
        self.tensors = nn.ParameterList(nn.Parameter(tensor) for tensor in tensors)


def shake(model, seed):
    """A step of training, so to speak: kept weights move, pruned ones stay."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mask = dict(model.named_buffers()).get(f"{name}_mask")
            noise = torch.randn(parameter.shape, generator=generator(seed)) * 0.3
            parameter.add_(noise if mask is None else noise * mask)


shapes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3)


@small
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
            # No kept block is smaller than one that has gone now, but the last one of a weight.
            values = [tile for name in names for tile in tiles(weights[name], block)]
            roots = [tile.double().square().mean().item() for tile in values]
            gone = [root for root, own, tile in zip(roots, new, old, strict=True) if tile.any() and not own.any()]
            counts = [[bool(tile.any()) for tile in tiles(pruner.masks()[name], block)] for name in names]
            last = [sum(own) == 1 for own in counts for _ in own]
            kept = [root for root, own, alone in zip(roots, new, last, strict=True) if own.any() and not alone]
            assert max(gone, default=0.0) <= min(kept, default=float("inf")) + 1e-12
        for name, mask in pruner.masks().items():
            assert torch.equal(model.get_parameter(name), weights[name] * mask)
        shake(model, seed + step)
        once = state(model)
        pruner.prune(sparsity)
        assert same(state(model), once)


@small
def test_all_of_it_goes_and_none_of_it():
    model = Tensors(torch.randn(5, 7), torch.randn(1, 2))
    pruner = MagnitudePruner(model, blocks=4)
    pruner.prune(0.0)
    assert pruner.sparsity()["total"] == 0
    pruner.prune(0.99)
    pruner.prune(1.0)
    assert pruner.sparsity()["total"] == 1
    # A weight within one block goes whole or stays.
    whole = MagnitudePruner(Tensors(torch.randn(3, 3)), blocks=10**9)
    whole.prune(0.9)
    assert whole.sparsity()["total"] == 0
    whole.prune(1.0)
    assert whole.sparsity()["total"] == 1


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


@small
def test_the_largest_block_of_each_weight_goes_last():
    model = Tensors(torch.full((4, 4), 2.0), torch.tensor([[1.0, 1.0, 0.5, 0.5]]))
    pruner = MagnitudePruner(model, blocks=2)
    pruner.prune(0.5)
    assert pruner.masks()["tensors.1"].tolist() == [[True, True, False, False]]
    assert int((~pruner.masks()["tensors.0"]).sum()) == 8
    pruner.prune(1.0)
    assert pruner.sparsity()["total"] == 1


@small
def test_the_last_edge_goes_at_full_sparsity():
    weight = torch.ones(5, 5)
    weight[4, 4] = 9.0
    pruner = MagnitudePruner(Tensors(weight), blocks=4)
    pruner.prune(0.97)
    assert pruner.sparsity()["total"] == 24 / 25
    pruner.prune(1.0)
    assert pruner.sparsity()["total"] == 1


def test_empty_blocks_rank_first_whatever_is_in_them():
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    model = Tensors(weight)
    pruner = MagnitudePruner(model, blocks=1)
    pruner.prune(0.25)
    with torch.no_grad():
        model.tensors[0].copy_(torch.tensor([[9.0, 0.0, 0.0, 4.0]]))
    pruner.prune(0.5)
    assert pruner.masks()["tensors.0"].tolist() == [[False, False, True, True]]
    # The first of equals, were it not for those that are gone.
    with torch.no_grad():
        model.tensors[0].copy_(torch.tensor([[0.0, 0.0, 0.0, 4.0]]))
        pruner.masks()["tensors.0"].copy_(torch.tensor([[True, True, False, True]]))
    pruner.prune(0.5)
    assert pruner.masks()["tensors.0"].tolist() == [[False, True, False, True]]


def test_pruned_entries_count_as_nothing_even_if_they_grew():
    model = Tensors(torch.tensor([[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]]))
    pruner = MagnitudePruner(model, blocks=2)
    pruner.masks()["tensors.0"][0, 2:4] = torch.tensor([True, False])
    with torch.no_grad():
        model.tensors[0][0] = torch.tensor([1.8, 1.8, 2.0, 9.0, 3.0, 3.0])
    pruner.prune(0.5)
    assert pruner.masks()["tensors.0"].tolist() == [[True, True, False, False, True, True]]


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


def test_bad_input_is_named_and_leaves_the_model_as_it_was():
    net = Net()
    moduli = ModuliRegularizer(net.rnn, Torus(2))
    before = net.state_dict().keys()
    cases = [
        ({"blocks": 0}, ValueError, "blocks must be an integer >= 1, got 0"),
        ({"blocks": 2.0}, ValueError, r"blocks must be an integer >= 1, got 2\.0"),
        ({"blocks": True}, ValueError, "blocks must be an integer >= 1, got True"),
        ({"order": moduli}, ValueError, "order must come with blocks"),
        (
            {"blocks": 4, "order": ModuliRegularizer(nn.RNN(4, 12), Torus(2))},
            ValueError,
            "order must be .* of another model",
        ),
        (
            {"blocks": 4, "order": moduli, "targets": ["decoder.weight"]},
            ValueError,
            "order must fit .* got the weights of the",
        ),
        (
            {"blocks": 4, "order": torch.arange(11)},
            ValueError,
            "order must fit .* got the recurrent weights with 11 neurons",
        ),
        ({"blocks": 4, "order": torch.zeros(12).long()}, ValueError, "order must be an int64 permutation"),
        ({"blocks": 4, "order": torch.arange(12.0)}, ValueError, r"order must be .* got torch\.float32"),
        ({"blocks": 4, "order": "geometric"}, TypeError, "order must be a ModuliRegularizer, a permutation or None"),
        (
            {"blocks": 4, "targets": ["decoder.bias"]},
            ValueError,
            r"blocks must be .* got decoder\.bias of shape \(3,\)",
        ),
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


def test_an_order_by_a_part_of_a_parameter_is_refused():
    cell = nn.Linear(2 + 6, 6)
    part = riemod.recurrent(cell, "weight", columns=slice(2, None))
    moduli = ModuliRegularizer(part, Torus(2), generator=generator(0))
    with pytest.raises(ValueError, match=r"order must penalize whole parameters .* got columns 2 to 7 of weight"):
        MagnitudePruner(cell, blocks=2, order=moduli)
    assert list(cell.state_dict()) == ["weight", "bias"]
