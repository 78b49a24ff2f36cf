"""The joined optimizer: its members and groups, its states and copies, closures and schedulers."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from riemod.optim import JointOptimizer, PointAdam, riemannian_adam, sgd_with_riemannian_adam
from tests.regularization.nets import assert_same_bits, build, everything, task_loss, train


@pytest.mark.parametrize("name", ["torus", "product", None])
def test_a_state_dict_continues_to_identical_bits(name, tmp_path):
    def fresh(seed):
        net, moduli = build(name or "torus", seed=seed)
        moduli = moduli if name else None
        return net, moduli, riemannian_adam(net, moduli, lr=1e-2, embedding_lr=0.05, weight_decay=0.01)

    net, moduli, optimizer = fresh(0)
    train(net, moduli, optimizer, 7)
    saved = {"net": net.state_dict(), "moduli": moduli.state_dict() if moduli else {}, "opt": optimizer.state_dict()}
    torch.save(saved, tmp_path / "state.pt")
    train(net, moduli, optimizer, 7, start=7)

    other_net, other_moduli, other = fresh(1)
    train(other_net, other_moduli, other, 3)
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    other_net.load_state_dict(loaded["net"])
    if other_moduli is not None:
        other_moduli.load_state_dict(loaded["moduli"])
    other.load_state_dict(loaded["opt"])
    train(other_net, other_moduli, other, 7, start=7)
    assert_same_bits(everything(other_net, other_moduli), everything(net, moduli))


SCHEDULERS = {
    "step": lambda o: lr_scheduler.StepLR(o, step_size=2, gamma=0.5),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=10),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "warm up": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=2), lr_scheduler.ExponentialLR(o, 0.9)], milestones=[2]
    ),
}


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def advance(net, moduli, optimizer, scheduler, epochs, start=0):
    history = []
    for epoch in range(start, start + epochs):
        train(net, moduli, optimizer, 1, start=epoch)
        scheduler.step()
        history.append(rates(optimizer))
        # What the members step with is what the schedulers wrote.
        assert history[-1] == [group["lr"] for member in optimizer.members for group in member.param_groups]
    return history


@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.parametrize("made", ["before loading", "after loading"])
def test_schedulers_act_on_every_group_and_come_back(kind, made):
    def fresh():
        net, moduli = build()
        return net, moduli, riemannian_adam(net, moduli, lr=1e-2, embedding_lr=1e-1)

    net, moduli, optimizer = fresh()
    scheduler = SCHEDULERS[kind](optimizer)
    first = advance(net, moduli, optimizer, scheduler, 5)
    assert len({group[0] for group in first}) > 1
    for weights, points in first:
        assert points == pytest.approx(10 * weights)
    saved = copy.deepcopy(
        {
            "net": net.state_dict(),
            "moduli": moduli.state_dict(),
            "opt": optimizer.state_dict(),
            "lr": scheduler.state_dict(),
        }
    )
    rest = advance(net, moduli, optimizer, scheduler, 5, start=5)

    other_net, other_moduli, other = fresh()
    other_net.load_state_dict(saved["net"])
    other_moduli.load_state_dict(saved["moduli"])
    if made == "before loading":
        resumed = SCHEDULERS[kind](other)
        other.load_state_dict(saved["opt"])
    else:
        other.load_state_dict(saved["opt"])
        resumed = SCHEDULERS[kind](other)
        # Making it has set the first rates again, as with any optimizer of torch: load once more.
        other.load_state_dict(saved["opt"])
    resumed.load_state_dict(saved["lr"])
    assert rates(other) == first[-1]
    assert advance(other_net, other_moduli, other, resumed, 5, start=5) == rest
    assert_same_bits(everything(other_net, other_moduli), everything(net, moduli))


CYCLIC = {
    "OneCycleLR": lambda optimizer, **options: lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20, **options),
    "CyclicLR": lambda optimizer, **options: lr_scheduler.CyclicLR(optimizer, 1e-3, 0.1, step_size_up=5, **options),
}


@pytest.mark.parametrize("points", [True, False])
@pytest.mark.parametrize("make", CYCLIC.values(), ids=CYCLIC)
def test_cyclic_schedulers_with_their_defaults_cycle_rates_and_momenta(make, points):
    net, moduli = build()
    optimizer = riemannian_adam(net, moduli if points else None, lr=1e-2)
    scheduler = make(optimizer)
    seen = set()
    for step in range(10):
        train(net, moduli if points else None, optimizer, 1, start=step)
        scheduler.step()
        seen.add(tuple((group["lr"], group["betas"][0]) for group in optimizer.param_groups))
    assert len(seen) >= 5
    assert all(len(set(groups)) == 1 for groups in seen)
    assert all(group["betas"][1] == 0.999 for group in optimizer.param_groups)
    assert all(parameter.isfinite().all() for parameter in everything(net, moduli))


def test_defaults_are_those_that_all_members_share():
    net, moduli = build()
    assert riemannian_adam(net, moduli, betas=(0.8, 0.9)).defaults["betas"] == (0.8, 0.9)
    mixed = sgd_with_riemannian_adam(net, moduli)
    assert "betas" not in mixed.defaults
    assert mixed.defaults["momentum"] == 0
    neither = JointOptimizer([torch.optim.Adagrad(net.parameters()), *mixed.members[1:]])
    with pytest.raises(ValueError, match="must support momentum or beta1 with `cycle_momentum`"):
        lr_scheduler.CyclicLR(neither, base_lr=1e-3, max_lr=0.1)
    lr_scheduler.CyclicLR(neither, base_lr=1e-3, max_lr=0.1, cycle_momentum=False)


@pytest.mark.parametrize("make", CYCLIC.values(), ids=CYCLIC)
@pytest.mark.parametrize("options", [{}, {"cycle_momentum": False}], ids=["momentum", "rates"])
def test_gradient_descent_beside_adam_cycles_as_both_do_alone(make, options):
    (net, moduli), (twin, twin_moduli) = build(), build()
    joint = sgd_with_riemannian_adam(net, moduli, lr=1e-2)
    alone = [
        torch.optim.SGD(twin.parameters(), lr=1e-2, fused=joint.members[0].defaults["fused"]),
        PointAdam([p for p in twin_moduli.parameters() if p.requires_grad], lr=1e-3),
    ]
    scheduler, schedulers = make(joint, **options), [make(optimizer, **options) for optimizer in alone]
    for step in range(12):
        train(net, moduli, joint, 1, start=step)
        scheduler.step()
        train(twin, twin_moduli, JointOptimizer(alone), 1, start=step)
        for own in schedulers:
            own.step()
        if step == 5:
            # The cycle goes on in an optimizer and a scheduler that were loaded.
            states = copy.deepcopy((joint.state_dict(), scheduler.state_dict()))
            joint = sgd_with_riemannian_adam(net, moduli, lr=1e-2)
            scheduler = make(joint, **options)
            joint.load_state_dict(states[0])
            scheduler.load_state_dict(states[1])
    assert_same_bits(everything(net, moduli), everything(twin, twin_moduli))
    assert (joint.state.get(next(net.parameters()), {}).get("momentum_buffer") is None) == bool(options)


def test_groups_keep_their_names_when_an_older_state_is_loaded():
    net, moduli = build()
    optimizer = riemannian_adam(net, moduli)
    older = copy.deepcopy(optimizer.state_dict())
    for member in older["members"]:
        for group in member["param_groups"]:
            del group["name"]
    optimizer.load_state_dict(older)
    assert [group["name"] for group in optimizer.param_groups] == ["weights", "points"]


def test_a_plateau_scheduler_lowers_every_rate():
    net, moduli = build()
    optimizer = riemannian_adam(net, moduli, lr=1e-2, embedding_lr=1e-1)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    for _ in range(2):
        scheduler.step(1.0)
    assert rates(optimizer) == [5e-3, 5e-2]


def test_a_copy_of_model_regularizer_and_optimizer_trains_alone():
    net, moduli = build("learned poincare")
    optimizer = riemannian_adam(net, moduli, lr=1e-2)
    train(net, moduli, optimizer, 3)
    twin_net, twin_moduli, twin = copy.deepcopy((net, moduli, optimizer))
    assert isinstance(twin, JointOptimizer)
    weights, points = twin.param_groups
    assert weights["params"] == list(twin_net.parameters())
    assert points["params"] == list(twin_moduli.parameters())
    before = [parameter.detach().clone() for parameter in everything(net, moduli)]
    train(twin_net, twin_moduli, twin, 3, start=3)
    assert_same_bits(everything(net, moduli), before)
    train(net, moduli, optimizer, 3, start=3)
    assert_same_bits(everything(net, moduli), everything(twin_net, twin_moduli))


def test_its_state_is_that_of_its_members():
    net, moduli = build()
    optimizer = riemannian_adam(net, moduli)
    assert optimizer.state == {}
    train(net, moduli, optimizer, 1)
    assert set(optimizer.state) == set(everything(net, moduli))
    assert optimizer.state[moduli.points] is optimizer.members[1].state[moduli.points]
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in everything(net, moduli))
    assert "Parameter Group 1" in repr(optimizer)


def test_a_state_of_other_members_is_refused_and_changes_nothing():
    net, moduli = build()
    optimizer = riemannian_adam(net, moduli)
    train(net, moduli, optimizer, 2)
    before = copy.deepcopy(optimizer.state_dict())
    fixed = riemannian_adam(*build(learn=False))
    with pytest.raises(ValueError, match="state_dict must hold 2 members, got 1"):
        optimizer.load_state_dict(fixed.state_dict())
    with pytest.raises(ValueError, match="state_dict must hold 2 members, got 0"):
        optimizer.load_state_dict({})
    # The weights' group fits, that of the points does not.
    curved = riemannian_adam(*build("learned poincare"))
    with pytest.raises(ValueError, match=r"state_dict must hold groups of \[1\] parameters for member 1, got \[2\]"):
        optimizer.load_state_dict(curved.state_dict())
    for member, old in zip(optimizer.state_dict()["members"], before["members"], strict=True):
        assert member["param_groups"] == old["param_groups"]
        for own, kept in zip(member["state"].values(), old["state"].values(), strict=True):
            assert_same_bits(map(torch.as_tensor, own.values()), map(torch.as_tensor, kept.values()))


def test_a_closure_is_evaluated_once_with_gradients():
    net, moduli = build()
    other_net, other_moduli = build()
    optimizer, other = riemannian_adam(net, moduli), riemannian_adam(other_net, other_moduli)
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = task_loss(net, len(calls) - 1) + moduli()
        loss.backward()
        return loss.detach()

    losses = [optimizer.step(closure) for _ in range(3)]
    assert calls == [True] * 3
    assert all(isinstance(loss, Tensor) for loss in losses)
    train(other_net, other_moduli, other, 3)
    assert_same_bits(everything(net, moduli), everything(other_net, other_moduli))
    assert optimizer.step() is None


def test_members_must_be_there_and_disjoint():
    with pytest.raises(ValueError, match="members must hold at least one optimizer"):
        JointOptimizer([])
    weight = nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
        JointOptimizer([torch.optim.SGD([weight], lr=0.1), torch.optim.Adam([weight])])


def test_a_group_that_nobody_would_step_is_refused():
    net, moduli = build()
    optimizer = riemannian_adam(net, moduli)
    with pytest.raises(ValueError, match="param_group must be that of a member"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
    assert len(optimizer.param_groups) == 2
