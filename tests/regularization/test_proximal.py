"""The proximal step: it is the proximal map, decoupled from the optimizer, exact in its zeros, and goes with masks."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from riemod import ModuliRegularizer, proximal_step
from riemod.manifolds import PoincareBall, Sphere, Torus
from riemod.optim import riemannian_adam
from riemod.pruning import MagnitudePruner
from riemod.regularization import Modules, backward_to_points, controls
from riemod.regularization.controls import ARMS
from riemod.regularization.proximal import soft_threshold_
from tests.regularization.formulas import limit_tiles
from tests.strategies import generator, seeds

numbers = st.floats(-4, 4)
thresholds = st.floats(0, 3)


def shrunk(values: list[float], threshold: list[float]) -> torch.Tensor:
    exact = torch.tensor(values, dtype=torch.float64)
    return soft_threshold_(exact, torch.tensor(threshold, dtype=torch.float64))


@given(numbers, thresholds)
def test_it_is_the_proximal_map_of_the_weighted_absolute_value(value: float, threshold: float):
    found = shrunk([value], [threshold]).item()
    # argmin over u of (u - w)^2 / 2 + t |u|, on a grid.
    grid = torch.linspace(-5, 5, 100_001, dtype=torch.float64)
    best = grid[((grid - value) ** 2 / 2 + threshold * grid.abs()).argmin()].item()
    assert found == pytest.approx(best, abs=1.01e-4)


@given(st.lists(st.tuples(numbers, numbers, thresholds), min_size=1, max_size=8))
def test_it_is_nonexpansive_odd_and_shrinks(triples: list[tuple[float, float, float]]):
    first, second, threshold = (list(column) for column in zip(*triples, strict=True))
    one, other = shrunk(first, threshold), shrunk(second, threshold)
    before = (torch.tensor(first) - torch.tensor(second)).abs().double()
    assert bool(((one - other).abs() <= before + 1e-6).all())
    assert torch.equal(shrunk([-value for value in first], threshold), -one)
    assert bool((one.abs() <= torch.tensor(first, dtype=torch.float64).abs()).all())
    inside = torch.tensor(first, dtype=torch.float64).abs() <= torch.tensor(threshold, dtype=torch.float64)
    assert torch.equal(one == 0, inside)


def test_nan_is_not_hidden():
    assert soft_threshold_(torch.tensor([math.nan, 1.0]), torch.tensor([1.0, math.nan])).isnan().all()


def nets(arm: str = "moduli", kind: type[nn.RNNBase] = nn.GRU, **options: Any) -> tuple[nn.RNNBase, ModuliRegularizer]:
    torch.manual_seed(0)
    net = kind(2, 10, num_layers=2)
    options = {"manifold": Torus(2), "strength": 5.0, "generator": generator(1)} | options
    return net, ModuliRegularizer(net, options.pop("manifold"), costs=controls.by_name(arm), **options)


@pytest.mark.parametrize("tile", [7, 40, 1 << 17])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("arm", ARMS)
def test_each_weight_is_shrunk_by_rate_strength_and_cost(
    arm: str, reduction: Any, tile: int, monkeypatch: pytest.MonkeyPatch
):
    limit_tiles(monkeypatch, tile)
    net, moduli = nets(arm, reduction=reduction, strength=5.0 if reduction == "mean" else 0.02)
    before = [target.tensor.detach().clone() for target in moduli.weights]
    inputs = net.weight_ih_l0.detach().clone()
    value = proximal_step(moduli, lr=0.1)
    for layer, (target, old) in enumerate(zip(moduli.weights, before, strict=True)):
        scale = moduli.strength / (old.numel() if reduction == "mean" else 1)
        threshold = 0.1 * scale * moduli.coefficients(layer).repeat(3, 1)
        expected = old.sign() * torch.relu(old.abs() - threshold)
        torch.testing.assert_close(target.tensor.detach(), expected, rtol=1e-5, atol=1e-7)
        assert (bool((target.tensor == 0).any()), bool((target.tensor != 0).any())) == (arm != "none", True)
    torch.testing.assert_close(value, moduli().detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(net.weight_ih_l0, inputs)


def test_several_manifolds_in_one_layer():
    layout = Modules([(Sphere(1), 4), (PoincareBall(2), None)], between=50.0)
    net, moduli = nets(manifold=layout)
    old = net.weight_hh_l0.detach().clone()
    proximal_step(moduli, lr=0.1)
    threshold = 0.1 * 5.0 / old.numel() * moduli.coefficients().repeat(3, 1)
    torch.testing.assert_close(net.weight_hh_l0.detach(), old.sign() * torch.relu(old.abs() - threshold))


@given(seeds)
def test_it_is_the_limit_of_gradient_steps_away_from_zero(seed: int):
    _, moduli = nets(strength=1e-3, generator=generator(seed))
    target = moduli.weights[0]
    gradient = torch.autograd.grad(moduli(), target.tensor)[0]
    expected = target.tensor.detach() - 0.1 * gradient
    far = target.tensor.detach().abs() > 2 * (0.1 * gradient).abs()
    proximal_step(moduli, lr=0.1)
    torch.testing.assert_close(target.tensor.detach()[far], expected[far])


def test_pruned_weights_stay_exactly_zero_and_shrunk_ones_are_the_first_to_go():
    # With these points some weight of each matrix is left, so that the pruner keeps none for its floor.
    net, moduli = nets(kind=nn.RNN, generator=generator(2))
    pruner = MagnitudePruner(net)
    pruner.prune(0.5)
    optimizer = riemannian_adam(net, moduli, lr=0.01)
    for step in range(5):
        loss = net(torch.randn(3, 4, 2, generator=generator(step)))[0].square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        proximal_step(moduli, lr=0.1)
    masks = pruner.masks()
    assert all(bool((net.get_parameter(name)[~mask] == 0).all()) for name, mask in masks.items())
    zeros = {name: int((net.get_parameter(name) == 0).sum()) for name in masks}
    total = sum(net.get_parameter(name).numel() for name in masks)
    assert sum(zeros.values()) > 0.55 * total
    weights = {name: net.get_parameter(name).detach().clone() for name in masks}
    pruner.prune(sum(zeros.values()) / total)
    assert all(torch.equal(net.get_parameter(name), weight) for name, weight in weights.items())


@pytest.mark.parametrize("manifold", [Torus(2), PoincareBall(2, learn_curvature=True)])
def test_points_get_eq_6_s_gradient_and_weights_none(manifold: Any):
    net, moduli = nets(manifold=manifold, learn=True)
    expected = torch.autograd.grad(moduli(), list(moduli.parameters()))
    for _ in range(2):
        backward_to_points(moduli)
    for parameter, gradient in zip(moduli.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient)
    assert all(parameter.grad is None for parameter in net.parameters())
    moduli.freeze()
    backward_to_points(moduli)
    assert all(parameter.grad is None for parameter in moduli.parameters())


def test_weights_can_be_changed_between_forward_and_backward_no_more():
    net, moduli = nets(kind=nn.RNN)
    loss = net(torch.ones(3, 1, 2))[0].sum()
    proximal_step(moduli, lr=0.1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_bad_steps():
    net, moduli = nets(power=2)
    before = net.weight_hh_l0.detach().clone()
    with pytest.raises(ValueError, match="power must be 1 for a proximal step, a soft threshold, got 2"):
        proximal_step(moduli, lr=0.1)
    _, moduli = nets()
    for lr in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="lr must be positive"):
            proximal_step(moduli, lr=lr)
    with pytest.raises(TypeError, match="moduli must be a ModuliRegularizer, got GRU"):
        proximal_step(net, lr=0.1)  # pyright: ignore[reportArgumentType]
    assert torch.equal(net.weight_hh_l0, before)


def test_a_linear_layer_is_shrunk_by_its_own_costs():
    linear = nn.Linear(6, 4)
    moduli = ModuliRegularizer(linear, Torus(2), strength=0.01, generator=generator(0))
    before = linear.weight.detach().clone()
    proximal_step(moduli, lr=0.1)
    threshold = 0.1 * 0.01 * moduli.coefficients() / before.numel()
    torch.testing.assert_close(linear.weight.detach(), before.sign() * (before.abs() - threshold).relu())


def test_kernels_are_refused_and_left_as_they_are():
    convolution = nn.Conv2d(6, 4, 3)
    before = convolution.weight.detach().clone()
    moduli = ModuliRegularizer(convolution, Torus(2), generator=generator(0))
    with pytest.raises(ValueError, match="moduli must penalize matrices for a proximal step, got weight of shape"):
        proximal_step(moduli, lr=0.1)
    assert torch.equal(convolution.weight, before)
