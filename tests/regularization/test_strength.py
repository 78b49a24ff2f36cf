"""A strength that is found: the share of the gradients that it holds, what changes nothing, and how it resumes."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from riemod import AutoStrength, MagnitudePruner, ModuliRegularizer, controls, inhibitors, recurrent
from riemod.manifolds import Sphere, Torus
from riemod.optim import riemannian_adam
from riemod.regularization.controls import ARMS
from tests.strategies import generator

N = 12


def net(seed: int = 0) -> nn.RNN:
    torch.manual_seed(seed)
    return nn.RNN(2, N, num_layers=2).double()


def task_of(rnn: nn.RNN, seed: int = 1) -> Tensor:
    x = torch.randn(7, 5, 2, generator=generator(seed), dtype=torch.float64)
    return (rnn(x)[0] - 0.3).square().mean()


def gradient(value: Tensor, rnn: nn.RNN, kept: Callable[[Tensor], Tensor] = torch.ones_like) -> Tensor:
    """The gradient in both hidden matrices, of the weights that are kept."""
    weights = [rnn.weight_hh_l0, rnn.weight_hh_l1]
    slopes = torch.autograd.grad(value, weights, retain_graph=True)
    return torch.cat([(slope * kept(weight)).flatten() for slope, weight in zip(slopes, weights, strict=True)])


@settings(max_examples=25, deadline=None)
@given(
    share=st.floats(1e-3, 10),
    strength=st.floats(1e-6, 1e6),
    power=st.sampled_from([1.0, 1.5, 2.0]),
    reduction=st.sampled_from(["mean", "sum"]),
    arm=st.sampled_from([name for name in ARMS if name != "none"]),
    sparsity=st.sampled_from([0.0, 0.7]),
)
def test_the_penalty_s_gradient_has_its_share_of_the_task_s(share, strength, power, reduction, arm, sparsity):
    rnn = net()
    moduli = ModuliRegularizer(
        rnn,
        Torus(2),
        strength=strength,
        power=power,
        reduction=reduction,
        costs=controls.by_name(arm),
        generator=generator(0),
    )
    if sparsity:
        MagnitudePruner(rnn, targets=["weight_hh_l0", "weight_hh_l1"]).prune(sparsity)
    penalty = AutoStrength(moduli, share)
    (task_of(rnn) + penalty()).backward()
    penalty.update()
    task = gradient(task_of(rnn), rnn, lambda weight: weight != 0)
    assert (gradient(penalty(), rnn).norm() / task.norm()).item() == pytest.approx(share, rel=1e-5)
    torch.testing.assert_close(penalty.strength, penalty.factor * strength)
    # With a factor above 0 the gradients hold the penalty too, which is not the task's.
    before = penalty.factor.clone()
    rnn.zero_grad()
    penalty.every = 1
    (task_of(rnn) + penalty()).backward()
    penalty.update()
    torch.testing.assert_close(penalty.factor, before, rtol=1e-4, atol=0.0)


def test_single_steps_of_huge_or_no_gradients_count_little():
    rnn = net()
    moduli = ModuliRegularizer(rnn, Torus(2), generator=generator(0))
    penalty = AutoStrength(moduli, every=1, memory=20)

    def look(scale: float) -> float:
        rnn.zero_grad()
        (scale * task_of(rnn) + penalty()).backward()
        penalty.update()
        return penalty.factor.item()

    usual = [look(1.0) for _ in range(50)][-1]
    assert look(1e6) < 2.5 * usual
    assert look(0.0) == look(0.0)
    for _ in range(150):
        look(10.0)
    assert penalty.factor.item() == pytest.approx(10 * usual, rel=1e-2)


def test_only_every_kth_call_looks():
    rnn = net()
    penalty = AutoStrength(ModuliRegularizer(rnn, Torus(2), generator=generator(0)), every=3)
    task_of(rnn).backward()
    factors = []
    for scale in (1.0, 2.0, 4.0, 8.0):
        rnn.weight_hh_l0.grad *= scale
        penalty.update()
        factors.append(penalty.factor.item())
    assert factors[0] == factors[1] == factors[2] < factors[3]


def train(parts: nn.ModuleDict, optimizer: torch.optim.Optimizer, steps: range) -> list[float]:
    losses = []
    for step in steps:
        optimizer.zero_grad()
        task = task_of(parts["rnn"], step)
        (task + parts["penalty"]()).backward()
        parts["penalty"].update()
        optimizer.step()
        losses.append(task.item())
    return losses


def parts(learn: bool = False) -> nn.ModuleDict:
    rnn = net()
    moduli = ModuliRegularizer(rnn, Sphere(2), strength=1e3, learn=learn, generator=generator(0))
    return nn.ModuleDict({"rnn": rnn, "moduli": moduli, "penalty": AutoStrength(moduli, every=3)})


@pytest.mark.parametrize("learn", [False, True])
def test_training_resumes_with_the_same_bits_and_copies_go_their_own_way(learn):
    whole = parts(learn)
    optimizer = riemannian_adam(whole["rnn"], whole["moduli"])
    losses = train(whole, optimizer, range(7))
    state, moments = copy.deepcopy(whole.state_dict()), copy.deepcopy(optimizer.state_dict())
    twin = copy.deepcopy(whole)
    assert twin["penalty"].moduli is twin["moduli"]
    losses = train(whole, optimizer, range(7, 15))
    resumed = parts(learn)
    resumed.load_state_dict(state)
    other = riemannian_adam(resumed["rnn"], resumed["moduli"])
    other.load_state_dict(moments)
    assert train(resumed, other, range(7, 15)) == losses
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert torch.equal(twin["penalty"].factor, state["penalty.factor"])


def test_a_net_learns_beside_it_whatever_the_unit_of_the_costs():
    """A million times the costs, at one share: the same net."""
    ends = []
    for amplitude in (1.0, 1e6):
        rnn = net()
        inhibitor = inhibitors.Ricker(amplitude=amplitude)
        moduli = ModuliRegularizer(rnn, Torus(2), inhibitor=inhibitor, generator=generator(0))
        both = nn.ModuleDict({"rnn": rnn, "penalty": AutoStrength(moduli)})
        losses = train(both, torch.optim.Adam(rnn.parameters(), lr=1e-2), range(150))
        assert losses[-1] < 0.5 * losses[0]
        ends.append((losses[-1], both["penalty"].strength.item() * amplitude))
    assert ends[0] == pytest.approx(ends[1], rel=1e-3)


def test_columns_of_a_concatenated_matrix_that_pay_nothing_have_no_part():
    cell = nn.Linear(2 + N, N).double()
    moduli = ModuliRegularizer(recurrent(cell, "weight", columns=slice(2, None)), Torus(2), generator=generator(0))
    penalty = AutoStrength(moduli, share=0.5)
    x = torch.randn(9, 2 + N, generator=generator(0), dtype=torch.float64)
    loss = cell(x).square().sum()
    loss.backward()
    penalty.update()
    (slope,) = torch.autograd.grad(cell(x).square().sum(), [cell.weight])
    (pull,) = torch.autograd.grad(penalty(), [cell.weight])
    assert (pull.norm() / slope[:, 2:].norm()).item() == pytest.approx(0.5, rel=1e-5)


def test_costs_of_zero_leave_the_factor_at_zero():
    rnn = net()
    penalty = AutoStrength(ModuliRegularizer(rnn, Torus(2), costs=controls.Zero()))
    task_of(rnn).backward()
    penalty.update()
    assert penalty.factor.item() == 0.0
    assert not math.isnan(penalty().item())


def test_half_precision_weights_get_a_penalty_of_their_dtype():
    layer = nn.RNN(2, N).bfloat16()
    penalty = AutoStrength(ModuliRegularizer(layer, Torus(2), generator=generator(0)))
    (layer(torch.randn(4, 3, 2, dtype=torch.bfloat16))[0].square().mean() + penalty()).backward()
    penalty.update()
    assert penalty().dtype == torch.bfloat16
    assert penalty.factor.isfinite()
    assert penalty.factor > 0


def test_wrong_use_is_told_of():
    moduli = ModuliRegularizer(net(), Torus(2))
    with pytest.raises(TypeError, match="moduli must be a ModuliRegularizer, got RNN"):
        AutoStrength(net())  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="moduli must have a strength above 0"):
        AutoStrength(ModuliRegularizer(net(), Torus(2), strength=0.0))
    for name, value in (("share", 0.0), ("share", math.nan), ("every", 0), ("memory", 0)):
        with pytest.raises(ValueError, match=f"{name} must be"):
            AutoStrength(moduli, **{name: value})
    penalty = AutoStrength(moduli)
    with pytest.raises(ValueError, match="scale must be"):
        penalty.update(0.0)
    with pytest.raises(RuntimeError, match="update must come after the backward pass"):
        penalty.update()
    with pytest.raises(AttributeError, match="build a new AutoStrength"):
        penalty.moduli = moduli  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="every must be"):
        penalty.every = 0
