"""Masks put on a model in one call: fitted to gates, known to everything that reads masks, all of them or none."""

import copy

import pytest
import torch
from torch import nn

from riemod.masks import apply_masks, masked_parameters, register_mask
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
