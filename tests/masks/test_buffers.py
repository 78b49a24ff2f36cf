"""Masks beside parameters: found by name, type and shape, applied by products, and put on a model all or none."""

import copy

import pytest
import torch
from torch import nn

from riemod.masks import apply_masks, find_mask, masked_parameters, register_mask, zero_pruned
from riemod.pruning import MagnitudePruner, lottery_ticket
from tests.strategies import generator


def random_mask(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=generator(0)) > 0.5


@pytest.mark.parametrize("layer", [nn.RNN(2, 5), nn.GRU(2, 5), nn.LSTM(2, 5), nn.GRUCell(2, 5)])
def test_each_gate_gets_the_mask(layer: nn.Module):
    model = nn.ModuleDict({"core": copy.deepcopy(layer), "readout": nn.Linear(5, 2)})
    hidden = "core.weight_hh" if isinstance(layer, nn.GRUCell) else "core.weight_hh_l0"
    entry = hidden.replace("hh", "ih")
    own, drive, readout = random_mask(5, 5), random_mask(5, 2), random_mask(2, 5)
    before = model.get_parameter(hidden).detach().clone()
    apply_masks(model, {hidden: own, entry: drive, "readout.weight": readout})
    weight = model.get_parameter(hidden)
    for new, old in zip(weight.split(5), before.split(5), strict=True):
        assert torch.equal(new, old * own)
    for gate in model.get_parameter(entry).split(5):
        assert torch.equal(gate != 0, drive)
    assert torch.equal(model["readout"].weight != 0, readout)
    assert [name for name, _, _ in masked_parameters(model)] == [entry, hidden, "readout.weight"]
    pruner = MagnitudePruner(model)
    assert torch.equal(pruner.masks()[hidden], weight != 0)
    ticket = lottery_ticket(model, pruner, generator=generator(1))
    assert torch.equal(ticket.model.get_parameter(hidden) != 0, weight != 0)


def test_a_whole_mask_of_all_gates_fits_too_and_a_new_one_replaces_the_old():
    layer = nn.LSTM(2, 3)
    first, second = random_mask(12, 3), ~random_mask(12, 3)
    apply_masks(layer, {"weight_hh_l0": first})
    buffer = layer.weight_hh_l0_mask
    apply_masks(layer, {"weight_hh_l0": second})
    assert layer.weight_hh_l0_mask is buffer
    assert torch.equal(buffer, second)
    assert not layer.weight_hh_l0.any()


def test_what_does_not_fit_changes_nothing():
    model = nn.Sequential(nn.GRU(2, 4), nn.Linear(4, 8), nn.Linear(4, 8))
    model[1].register_buffer("bias_mask", torch.ones(8))
    before = copy.deepcopy(model.state_dict())
    good = {"0.weight_hh_l0": torch.zeros(4, 4, dtype=torch.bool)}
    bad = [
        (
            {"0.weight_hh": random_mask(4, 4)},
            ValueError,
            r"must name parameters of the model, 0\.weight.*'0\.weight_hh'",
        ),
        ({"1.weight": random_mask(4, 4)}, ValueError, r"'1\.weight' is \(8, 4\), got \(4, 4\)"),
        ({"0.weight_hh_l0": random_mask(8, 4)}, ValueError, r"is \(12, 4\), got \(8, 4\)"),
        ({"0.weight_hh_l0": torch.ones((), dtype=torch.bool)}, ValueError, r"got \(\)"),
        ({"1.weight": torch.ones(8, 4)}, TypeError, r"bool tensors, got torch\.float32 for '1\.weight'"),
        ({"1.weight": [[True]]}, TypeError, "bool tensors, got list"),
        ({"1.bias": random_mask(8)}, ValueError, "already has an attribute 'bias_mask'"),
    ]
    for masks, error, message in bad:
        with pytest.raises(error, match=message):
            apply_masks(model, good | masks)
    with pytest.raises(TypeError, match=r"model must be .*, got str"):
        apply_masks("model", good)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_shared_tensor_is_named_once_where_its_mask_is():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    mask = random_mask(3, 3)
    with pytest.raises(ValueError, match="once, by the name of its mask"):
        apply_masks(model, {"0.weight": mask, "1.weight": mask})
    register_mask(model[0], "weight")
    with pytest.raises(ValueError, match=r"'1\.weight' is '0\.weight'"):
        apply_masks(model, {"1.weight": mask})
    apply_masks(model, {"0.weight": mask})
    assert torch.equal(model[1].weight != 0, mask)


def test_masked_parameters_are_found_by_name_type_and_shape():
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    assert list(masked_parameters(model)) == []
    mask = register_mask(model[2], "weight")
    model[0].register_buffer("weight_mask", torch.ones(7, 5))
    model[0].register_buffer("bias_mask", torch.ones(6, dtype=torch.bool))
    assert [name for name, _, _ in masked_parameters(model)] == ["2.weight"]
    assert [name for name, _, _ in masked_parameters(model[2])] == ["weight"]
    _, parameter, found = next(masked_parameters(model))
    assert parameter is model[2].weight
    assert found is mask
    assert register_mask(model[2], "weight") is mask
    for name in ("weight", "bias"):
        assert find_mask(model[0], name) is None
        with pytest.raises(ValueError, match=f"{name}_mask"):
            register_mask(model[0], name)


def test_masked_parameters_name_shared_ones_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    register_mask(model[0], "weight")
    register_mask(model[1], "weight")
    assert [name for name, _, _ in masked_parameters(model)] == ["0.weight"]


@pytest.mark.parametrize("shape", [(3, 5), (700, 600), (2, 300, 500)])
@pytest.mark.parametrize("transpose", [(), ("tensor",), ("mask",), ("tensor", "mask")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_zero_pruned_is_a_product(shape, transpose, dtype):
    tensor, mask = torch.randn(shape, dtype=dtype), torch.rand(shape) > 0.5
    if "tensor" in transpose:
        tensor = tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
    if "mask" in transpose:
        mask = mask.transpose(-1, -2).contiguous().transpose(-1, -2)
    expected, pointer = tensor * mask, tensor.data_ptr()
    zero_pruned(tensor, mask)
    assert torch.equal(tensor, expected)
    assert tensor.data_ptr() == pointer


def test_zero_pruned_leaves_nan_in_sight_and_guards_the_backward_pass():
    weight = nn.Parameter(torch.tensor([float("nan"), float("inf"), 2.0, 3.0]))
    loss = weight.square().sum()
    zero_pruned(weight, torch.tensor([False, False, False, True]))
    assert weight.isnan().tolist() == [True, True, False, False]
    assert weight[2:].tolist() == [0, 3]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
