"""Masks that move: RigL's rule to the entry, a sparsity that stays, priors, and the same bits after a break."""

import copy
import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import riemod
from riemod import ModuliRegularizer
from riemod.manifolds import Torus
from riemod.masks import apply_masks, attach_masks, mask_gradients, masked_parameters
from riemod.optim import riemannian_adam
from riemod.pruning import DynamicSparsePruner, geometric_mask, geometric_prior
from riemod.regularization.controls import Mean, Shuffled, Zero
from riemod.regularization.costs import Costs, Geometric
from tests.regularization.nets import Net, build, task_loss
from tests.strategies import generator, seeds


def one_move(weight: Tensor, gradient: Tensor, mask: Tensor, share: float, prior: Tensor) -> Tensor:
    """RigL's new mask from its definition, by stable sorting; ties: the first are dropped, and the last grow."""
    kept, size = mask.flatten().numpy(), weight.abs().flatten().double().numpy()
    count = min(round(share * int(kept.sum())), int((~kept).sum()))
    alive = np.flatnonzero(kept)
    new = kept.copy()
    new[alive[np.argsort(size[alive], kind="stable")][:count]] = False
    scores = (gradient.abs().double() * prior).flatten().numpy()
    empty = np.flatnonzero(~new)
    order = np.argsort(scores[empty], kind="stable")
    new[empty[order][len(empty) - count :]] = True
    return torch.from_numpy(new).view(mask.shape)


def layer_with(weight: Tensor, gradient: Tensor, mask: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight.clone())
    apply_masks(layer, {"weight": mask})
    layer.weight.grad = gradient.clone()
    return layer


@pytest.mark.filterwarnings("ignore:gradients of:UserWarning")
@given(st.data(), seeds, st.integers(1, 6), st.integers(1, 6), st.floats(0.05, 1), st.booleans())
def test_a_move_is_rigl_s_to_the_entry(data: st.DataObject, seed: int, n: int, m: int, fraction: float, tied: bool):
    draws = generator(seed)
    weight, gradient = torch.randn(n, m, generator=draws), torch.randn(n, m, generator=draws)
    if tied:
        weight, gradient = weight.round(), gradient.round()
    mask = torch.rand(n, m, generator=draws) > data.draw(st.floats(0, 1))
    layer = layer_with(weight, gradient, mask)
    dynamic = DynamicSparsePruner(layer, steps=8, update_every=2, drop_fraction=fraction)
    dynamic.load_state_dict({"step": 4})
    before = layer.weight.detach().clone()
    moved = dynamic.step()
    expected = one_move(before, gradient, mask, fraction / 2, torch.ones(n, m))
    assert torch.equal(layer.weight_mask, expected)
    assert moved == int((mask & ~expected).sum())
    assert int(layer.weight_mask.sum()) == int(mask.sum())
    assert torch.equal(layer.weight, before * (mask & expected))


def test_it_moves_in_time_and_less_and_less():
    weight, mask = torch.randn(20, 20, generator=generator(0)), torch.rand(20, 20, generator=generator(1)) > 0.8
    layer = layer_with(weight, weight, mask)
    kept = int(mask.sum())
    dynamic = DynamicSparsePruner(layer, steps=12, update_every=3, drop_fraction=0.5)
    moved = []
    for step in range(20):
        # Kept weights have the least gradient, so that none that is dropped grows again.
        layer.weight.grad = torch.randn(20, 20, generator=generator(step)).masked_fill(layer.weight_mask, 0)
        moved.append(dynamic.step())
    due = {step: round(0.25 * (1 + math.cos(math.pi * step / 12)) * kept) for step in (3, 6, 9)}
    assert moved == [due.get(step, 0) for step in range(20)]


def test_moments_of_what_went_and_of_what_came_are_zero():
    net, _ = build()
    mask = torch.rand(8, 8, generator=generator(0)) > 0.5
    apply_masks(net, {"rnn.weight_hh_l0": mask})
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    weight = net.rnn.weight_hh_l0
    dynamic = DynamicSparsePruner(net, steps=10, update_every=1, drop_fraction=0.5)
    dynamic.load_state_dict({"step": 1})
    # Without any masking of gradients: moments are everywhere.
    task_loss(net, 0).backward()
    optimizer.step()
    assert dynamic.step(optimizer) > 0
    staying = mask & net.rnn.weight_hh_l0_mask
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(optimizer.state[weight][name] != 0, staying)
    assert torch.equal(weight != 0, staying)


@pytest.mark.parametrize("joint", [True, False])
def test_training_grows_what_masked_gradients_would_hide_and_keeps_the_rest_at_zero(joint: bool):
    net, _ = build()
    weight = net.rnn.weight_hh_l0
    apply_masks(net, {"rnn.weight_hh_l0": torch.rand(8, 8, generator=generator(0)) > 0.7})
    kept = int(net.rnn.weight_hh_l0_mask.sum())
    dynamic = DynamicSparsePruner(net, steps=60, update_every=5)
    if joint:
        optimizer: torch.optim.Optimizer = riemannian_adam(net, lr=1e-2)
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr=5e-2, momentum=0.5)
        attach_masks(optimizer, net)
    losses, masks = [], []
    for step in range(80):
        loss = task_loss(net, step)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        dynamic.step(optimizer)
        optimizer.step()
        mask = net.rnn.weight_hh_l0_mask
        assert int(mask.sum()) == kept
        assert bool((weight.detach()[~mask].view(torch.int32) == 0).all())
        masks.append(mask.clone())
    assert not torch.equal(masks[0], masks[59])
    assert torch.equal(masks[59], masks[79])
    assert bool((weight[masks[79]] != 0).all())
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


@pytest.mark.parametrize("arm", [Geometric, Shuffled, Mean, Zero])
def test_the_prior_is_the_arm_s_and_each_gate_s(arm: type[Costs]):
    rnn = nn.GRU(2, 9)
    moduli = ModuliRegularizer(rnn, Torus(2), costs=arm(), generator=generator(0))
    mask = torch.rand(27, 9, generator=generator(1)) > 0.6
    apply_masks(rnn, {"weight_hh_l0": mask})
    before, gradient = rnn.weight_hh_l0.detach().clone(), torch.randn(27, 9, generator=generator(2))
    rnn.weight_hh_l0.grad = gradient
    dynamic = DynamicSparsePruner(rnn, moduli, steps=4, update_every=2, drop_fraction=0.8, temperature=5.0)
    dynamic.load_state_dict({"step": 2})
    dynamic.step()
    prior = geometric_prior(moduli.coefficients(), 5.0).repeat(3, 1)
    expected = one_move(before, gradient, mask, 0.4, prior)
    assert torch.equal(rnn.weight_hh_l0_mask, expected)
    blind = one_move(before, gradient, mask, 0.4, torch.ones(27, 9))
    assert torch.equal(expected, blind) == (arm in (Mean, Zero))


def test_kernels_have_the_prior_of_their_channels():
    convolution = nn.Conv2d(4, 6, 3)
    moduli = ModuliRegularizer(convolution, Torus(2), generator=generator(0))
    mask = torch.rand(6, 4, 3, 3, generator=generator(1)) > 0.6
    apply_masks(convolution, {"weight": mask})
    before, gradient = convolution.weight.detach().clone(), torch.randn(6, 4, 3, 3, generator=generator(2))
    convolution.weight.grad = gradient
    dynamic = DynamicSparsePruner(convolution, moduli, steps=4, update_every=2, drop_fraction=0.8, temperature=5.0)
    dynamic.load_state_dict({"step": 2})
    dynamic.step()
    prior = geometric_prior(moduli.coefficients(), 5.0)[:, :, None, None]
    assert torch.equal(convolution.weight_mask, one_move(before, gradient, mask, 0.4, prior))


@pytest.mark.parametrize("bad", [None, math.nan, math.inf])
def test_a_gradient_that_is_missing_or_not_finite_moves_nothing(bad: float | None):
    layer = layer_with(torch.randn(4, 4), torch.randn(4, 4), torch.eye(4) > 0)
    if bad is None:
        layer.weight.grad = None
    else:
        layer.weight.grad[0, 0] = bad
    dynamic = DynamicSparsePruner(layer, steps=4, update_every=1)
    dynamic.load_state_dict({"step": 1})
    told = pytest.warns(UserWarning, match="gradients of weight must show") if bad is None else nullcontext()
    with told:
        assert dynamic.step() == 0
    assert torch.equal(layer.weight_mask, torch.eye(4) > 0)


@pytest.mark.parametrize("place", ["after optimizer.step", "after mask_gradients", "after zero_grad", "after zeroing"])
def test_a_step_in_the_wrong_place_is_told(place: str):
    net, _ = build()
    apply_masks(net, {"rnn.weight_hh_l0": torch.rand(8, 8, generator=generator(0)) > 0.5})
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2)
    attach_masks(optimizer, net)
    dynamic = DynamicSparsePruner(net, steps=10, update_every=1)
    dynamic.load_state_dict({"step": 1})
    task_loss(net, 0).backward()
    if place == "after optimizer.step":
        optimizer.step()
    elif place == "after mask_gradients":
        mask_gradients((weight, mask) for _, weight, mask in masked_parameters(net))
    else:
        optimizer.zero_grad(set_to_none=place == "after zero_grad")
    with pytest.warns(UserWarning, match=r"gradients of rnn\.weight_hh_l0 must .* call step after backward\(\)"):
        dynamic.step(optimizer)
    # A frozen weight has no gradient anyway.
    net.rnn.weight_hh_l0.requires_grad_(False).grad = None
    assert dynamic.step(optimizer) == 0


def test_a_part_of_a_parameter_has_the_prior_of_its_columns_alone():
    cell = nn.Linear(3 + 9, 2 * 9, bias=False)
    part = riemod.recurrent(cell, "weight", columns=slice(3, None))
    moduli = ModuliRegularizer(part, Torus(2), generator=generator(0))
    mask = torch.rand(18, 12, generator=generator(1)) > 0.6
    apply_masks(cell, {"weight": mask})
    before, gradient = cell.weight.detach().clone(), torch.randn(18, 12, generator=generator(2))
    cell.weight.grad = gradient
    dynamic = DynamicSparsePruner(cell, moduli, steps=4, update_every=2, drop_fraction=0.8, temperature=5.0)
    dynamic.load_state_dict({"step": 2})
    dynamic.step()
    prior = torch.cat([torch.ones(18, 3), geometric_prior(moduli.coefficients(), 5.0).repeat(2, 1)], 1)
    expected = one_move(before, gradient, mask, 0.4, prior)
    assert torch.equal(cell.weight_mask, expected)
    assert not torch.equal(expected, one_move(before, gradient, mask, 0.4, torch.ones(18, 12)))


def test_a_broken_training_goes_on_to_the_same_bits():
    def started() -> tuple[Net, ModuliRegularizer, Any, DynamicSparsePruner]:
        net, moduli = build(learn=True)
        apply_masks(net, {"rnn.weight_hh_l0": geometric_mask(moduli, 0.7, temperature=20.0, generator=generator(0))})
        optimizer = riemannian_adam(net, moduli, lr=1e-2)
        return net, moduli, optimizer, DynamicSparsePruner(net, moduli, steps=40, update_every=4)

    def run(parts: tuple[Net, ModuliRegularizer, Any, DynamicSparsePruner], first: int, last: int) -> None:
        net, moduli, optimizer, dynamic = parts
        for step in range(first, last):
            optimizer.zero_grad()
            (task_loss(net, step) + moduli()).backward()
            dynamic.step(optimizer)
            optimizer.step()

    whole, broken, again = started(), started(), started()
    run(whole, 0, 30)
    run(broken, 0, 14)
    states = [copy.deepcopy(part.state_dict()) for part in broken]
    assert states[3] == {"step": 14}
    for part, state in zip(again, states, strict=True):
        part.load_state_dict(state)
    run(again, 14, 30)
    for mine, other in zip(again[:2], whole[:2], strict=True):
        for name, value in mine.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


def test_bad_input_is_named():
    layer = layer_with(torch.ones(2, 2), torch.ones(2, 2), torch.eye(2) > 0)
    for options, error, message in [
        ({"steps": 0}, ValueError, "steps must be an integer >= 1, got 0"),
        ({"steps": 2.0}, ValueError, r"steps must be an integer >= 1, got 2\.0"),
        ({"update_every": 0}, ValueError, "update_every must be an integer >= 1, got 0"),
        ({"drop_fraction": 0.0}, ValueError, r"drop_fraction must be above 0 and at most 1, got 0\.0"),
        ({"drop_fraction": 1.1}, ValueError, r"drop_fraction must be .* got 1\.1"),
        ({"drop_fraction": "all"}, ValueError, "drop_fraction must be .* got 'all'"),
        ({"temperature": 0.0}, ValueError, "temperature must be above 0, got 0"),
        ({"temperature": -1.0}, ValueError, "temperature must be a number >= 0"),
        ({"moduli": layer}, TypeError, "moduli must be a ModuliRegularizer or None, got Linear"),
    ]:
        with pytest.raises(error, match=message):
            DynamicSparsePruner(layer, **({"steps": 5} | options))
    with pytest.raises(TypeError, match=r"model must be .*, got int"):
        DynamicSparsePruner(3, steps=5)
    with pytest.raises(ValueError, match="model must have masks to move, got none: apply_masks"):
        DynamicSparsePruner(nn.Linear(2, 2), steps=5)
    dynamic = DynamicSparsePruner(layer, steps=5)
    for state, error in (({}, ValueError), ({"step": 1, "k": 2}, ValueError), ({"step": -1}, ValueError)):
        with pytest.raises(error, match="step"):
            dynamic.load_state_dict(state)
    with pytest.raises(ValueError, match=r"step must be an integer >= 0, got 1\.0"):
        dynamic.load_state_dict({"step": 1.0})
