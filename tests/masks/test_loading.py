"""Masks and checkpoints: dense into masked, masked into plain, masks restored and found again from zeros."""

import contextlib
import copy

import pytest
import torch
from torch import nn

from riemod import ModuliRegularizer
from riemod.manifolds import Sphere
from riemod.masks import apply_masks, attach_masks, masked_parameters, masks_from_zeros, restore_masks
from riemod.optim import riemannian_adam
from riemod.pruning import MagnitudePruner
from tests.strategies import generator


def net() -> nn.ModuleDict:
    return nn.ModuleDict({"rnn": nn.LSTM(3, 8, num_layers=2), "readout": nn.Linear(8, 2)})


def pruned_net() -> nn.ModuleDict:
    model = net()
    MagnitudePruner(model).prune(0.8)
    return model


def fine_tune(model: nn.ModuleDict) -> None:
    optimizer = riemannian_adam(model, lr=0.1)
    for _ in range(2):
        model["readout"](model["rnn"](torch.ones(3, 2, 3))[0]).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_a_dense_checkpoint_loads_into_a_pruned_model(strict, assign):
    model, dense = pruned_net(), net()
    state = dense.state_dict()
    before = {name: value.clone() for name, value in state.items()}
    masks = {name: mask.clone() for name, _, mask in masked_parameters(model)}
    for one in (model, copy.deepcopy(model)):
        one.load_state_dict(state, strict=strict, assign=assign)
        assert dict.fromkeys(masks) == {name: None for name, _, _ in masked_parameters(one)}
        for name, parameter, mask in masked_parameters(one):
            assert torch.equal(mask, masks[name])
            assert torch.equal(parameter, before[name] * masks[name])
        fine_tune(one)
    if not assign:
        assert all(torch.equal(value, before[name]) for name, value in state.items())


def test_a_checkpoint_with_masks_is_loaded_as_it_is():
    model, other = pruned_net(), pruned_net()
    model.load_state_dict(other.state_dict())
    for name, value in other.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_restored_masks_let_a_masked_checkpoint_load_strictly():
    state, model = pruned_net().state_dict(), net()
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\)"):
        model.load_state_dict(state)
    masks = restore_masks(model, state)
    assert masks["readout.weight"] is model["readout"].weight_mask
    model.load_state_dict(state)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    fine_tune(model)
    assert all(torch.equal(parameter != 0, state[f"{name}_mask"]) for name, parameter, _ in masked_parameters(model))


TAKERS = {
    "attach_masks": lambda model: attach_masks(torch.optim.SGD(model.parameters(), lr=0.1), model),
    "riemannian_adam": lambda model: riemannian_adam(model, lr=0.1),
    "a pruner of some weights": lambda model: MagnitudePruner(model, targets=["readout.weight"]),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("taker", TAKERS)
def test_a_plain_model_in_riemod_s_hands_takes_the_masks_of_a_checkpoint(taker, strict):
    state, model = pruned_net().state_dict(), net()
    hold = TAKERS[taker](model)
    for one in (model, copy.deepcopy(model)):
        one.load_state_dict(state, strict=strict)
        assert all(torch.equal(value, state[name]) for name, value in one.state_dict().items())
        assert one.state_dict().keys() == state.keys()
        # A dense checkpoint still loads, and the masks stay.
        one.load_state_dict(net().state_dict())
        assert all(torch.equal(parameter != 0, state[f"{name}_mask"]) for name, parameter, _ in masked_parameters(one))
    del hold


def test_a_layer_alone_takes_its_mask_and_a_mask_that_does_not_fit_is_refused():
    layer, pruned = nn.Linear(3, 2), nn.Linear(3, 2)
    MagnitudePruner(pruned).prune(0.5)
    riemannian_adam(layer, lr=0.1)
    layer.load_state_dict(pruned.state_dict())
    assert torch.equal(layer.weight_mask, pruned.weight_mask)
    layer.load_state_dict(nn.Linear(3, 2).state_dict())
    assert torch.equal(layer.weight != 0, pruned.weight_mask)
    other = nn.Linear(3, 2)
    riemannian_adam(other, lr=0.1)
    for wrong in (torch.ones(2, 2) > 0, torch.ones(2, 3)):
        with pytest.raises(RuntimeError, match="Unexpected key"):
            other.load_state_dict({**other.state_dict(), "weight_mask": wrong})
        assert not hasattr(other, "weight_mask")


@pytest.mark.parametrize("strict", [False, True])
def test_a_plain_model_that_holds_a_regularizer_says_what_to_do(strict):
    def build():
        model = net()
        model["moduli"] = ModuliRegularizer(model["rnn"], Sphere(2), generator=generator(0))
        return model

    pruned, model = build(), build()
    MagnitudePruner(pruned).prune(0.8)
    with (
        contextlib.suppress(RuntimeError),
        pytest.warns(UserWarning, match=r"holds rnn.weight_ih_l0_mask, .*restore_masks\(model, "),
    ):
        model.load_state_dict(pruned.state_dict(), strict=strict)
    restore_masks(model, pruned.state_dict())
    model.load_state_dict(pruned.state_dict(), strict=strict)


def test_masks_are_restored_after_a_loading_that_left_them_out():
    state, model = pruned_net().state_dict(), net()
    model.load_state_dict(state, strict=False)
    restore_masks(model, state)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_masks_are_found_again_from_zeros():
    state, model = pruned_net().state_dict(), net()
    model.load_state_dict(state, strict=False)
    found = masks_from_zeros(model)
    assert found.keys() == {name.removesuffix("_mask") for name in state if name.endswith("_mask")}
    assert all(torch.equal(mask, state[f"{name}_mask"]) for name, mask in found.items())
    fine_tune(model)
    assert all(torch.equal(parameter != 0, mask) for _, parameter, mask in masked_parameters(model))


def test_masks_from_zeros_narrows_masks_and_asks_where_zeros_say_nothing():
    layer = nn.Linear(3, 2)
    assert masks_from_zeros(layer) == {}
    apply_masks(layer, {"weight": torch.tensor([[True, True, False], [True, True, True]])})
    with torch.no_grad():
        layer.weight[1, 0] = 0
        layer.weight[0, 2] = 5.0
    # The weight that grew back is not 0, but its mask says that it was pruned.
    layer.bias.data.zero_()
    assert masks_from_zeros(layer)["weight"].tolist() == [[True, True, False], [False, True, True]]
    assert layer.weight[0, 2] == 0
    nn.init.zeros_(layer.weight)
    with pytest.raises(ValueError, match=r"names must say whether 'weight' was pruned as a whole or starts at 0"):
        masks_from_zeros(layer)
    assert not masks_from_zeros(layer, ["weight"])["weight"].any()
    with pytest.raises(ValueError, match=r"names must be parameters of the model, weight, bias, got 'wieght'"):
        masks_from_zeros(layer, ["wieght"])


def test_points_with_zeros_are_no_pruned_weights():
    rnn = nn.RNN(2, 4)
    rnn.moduli = ModuliRegularizer(rnn, Sphere(2), learn=True)
    with torch.no_grad():
        rnn.moduli.points.copy_(torch.eye(3)[[0, 1, 2, 0]])
        rnn.weight_hh_l0[0] = 0
    assert list(masks_from_zeros(rnn)) == ["weight_hh_l0"]


def test_restore_masks_says_what_to_do():
    model = net()
    with pytest.raises(ValueError, match=r"state_dict must hold masks .* got none among 10 .*masks_from_zeros"):
        restore_masks(model, model.state_dict())
    with pytest.raises(ValueError, match="masks must name parameters of the model"):
        restore_masks(model["rnn"], pruned_net().state_dict())


def test_masks_of_a_loaded_model_hold_under_an_optimizer_attached_before():
    state, model = pruned_net().state_dict(), net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    attach_masks(optimizer, model)
    restore_masks(model, state)
    model.load_state_dict(state)
    model["readout"](model["rnn"](torch.ones(3, 2, 3))[0]).sum().backward()
    optimizer.step()
    assert all(torch.equal(parameter != 0, mask) for _, parameter, mask in masked_parameters(model))
