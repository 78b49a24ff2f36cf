"""The optimizers that riemod builds for weights and points: groups, steps, masks, and where the points end up."""

import copy
import math
import pickle

import pytest
import torch
from torch import Tensor, nn

from riemod import ModuliRegularizer
from riemod.manifolds import Euclidean, KleinBottle, PoincareBall, Product, Sphere, Torus
from riemod.manifolds._geoopt import geoopt
from riemod.masks import register_mask
from riemod.optim import riemannian_adam, sgd_with_riemannian_adam
from tests.regularization.nets import Net, assert_same_bits, build, task_loss, train
from tests.strategies import generator


def test_groups_hold_weights_and_points_at_their_own_rates():
    net, moduli = build("learned poincare")
    optimizer = riemannian_adam(net, moduli, lr=1e-3, embedding_lr=1e-2, betas=(0.8, 0.9), eps=1e-7, weight_decay=0.1)
    weights, points = optimizer.param_groups
    assert weights["params"] == list(net.parameters())
    assert points["params"] == list(moduli.parameters())
    assert (weights["lr"], points["lr"]) == (1e-3, 1e-2)
    assert (weights["weight_decay"], points["weight_decay"]) == (0.1, 0)
    for group in optimizer.param_groups:
        assert (group["betas"], group["eps"]) == ((0.8, 0.9), 1e-7)
    assert isinstance(optimizer.members[0], torch.optim.AdamW)
    assert isinstance(optimizer.members[1], geoopt.optim.RiemannianAdam)
    assert [group["lr"] for group in riemannian_adam(net, moduli, lr=2e-3).param_groups] == [2e-3, 2e-3]


def test_only_what_is_trained_is_in_a_group():
    net, moduli = build(learn=False)
    assert len(riemannian_adam(net, moduli).param_groups) == 1
    net, moduli = build()
    net.rnn.requires_grad_(False)
    optimizer = riemannian_adam(net, moduli)
    assert optimizer.param_groups[0]["params"] == list(net.readout.parameters())
    net.requires_grad_(False)
    (group,) = riemannian_adam(net, moduli).param_groups
    assert group["params"] == [moduli.points]


def test_a_model_may_hold_its_regularizer():
    net, moduli = build("learned poincare")
    net.moduli = moduli
    weights, points = riemannian_adam(net, moduli).param_groups
    assert points["params"] == list(moduli.parameters())
    assert weights["params"] == [*net.rnn.parameters(), *net.readout.parameters()]
    _, points = riemannian_adam(net).param_groups
    assert points["params"] == [moduli.points]


def test_weight_decay_acts_on_weights_and_never_on_points():
    net, moduli = build("euclidean", strength=0.0)
    with torch.no_grad():
        before = [parameter.clone() for parameter in net.parameters()]
        points = moduli.points.clone()
    optimizer = riemannian_adam(net, moduli, lr=0.1, weight_decay=0.5)
    for _ in range(5):
        optimizer.zero_grad()
        (moduli() + 0 * task_loss(net, 0)).backward()
        optimizer.step()
    assert torch.equal(moduli.points, points)
    for parameter, start in zip(net.parameters(), before, strict=True):
        torch.testing.assert_close(parameter, start * (1 - 0.1 * 0.5) ** 5)


class Chorus(nn.Module):
    """Small recurrent nets side by side, under one readout."""

    def __init__(self, voices: int) -> None:
        super().__init__()
        self.voices = nn.ModuleList([nn.RNN(1, 6) for _ in range(voices)])
        self.readout = nn.Linear(6 * voices, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.readout(torch.cat([voice(inputs)[0][-1] for voice in self.voices], dim=1))


@pytest.mark.slow
def test_points_stay_on_their_manifold_over_1000_steps_of_training():
    torch.manual_seed(0)
    every = Product([Euclidean(1), Sphere(2), KleinBottle(), PoincareBall(2, learn_curvature=True, sample_radius=2.0)])
    spaces = [Torus(2), every]
    net = Chorus(len(spaces))
    moduli = ModuliRegularizer(net, spaces, learn=True, generator=generator(0))
    start = copy.deepcopy(moduli)
    optimizer = riemannian_adam(net, moduli, lr=1e-3, embedding_lr=1e-2)
    losses = train(net, moduli, optimizer, 1000)
    assert sum(losses[-50:]) < 0.8 * sum(losses[:50])
    for embedding, before in zip(moduli.embeddings, start.embeddings, strict=True):
        manifold, points = embedding.manifold, embedding.points
        manifold.check_points(points)
        assert points.manifold is manifold.geometry
        moved = torch.diagonal(manifold.distance(points.detach(), before.points.detach()))
        assert moved.mean() > 0.1
        for own, old in zip(embedding.parameters(), before.parameters(), strict=True):
            assert own.isfinite().all()
            assert not torch.equal(own, old)


def test_the_first_step_of_a_point_is_its_rate_long():
    net, moduli = build("torus", strength=1.0)
    manifold, before = moduli.layer_embeddings(0)[0].manifold, moduli.points.detach().clone()
    train(net, moduli, riemannian_adam(net, moduli, lr=1e-3, embedding_lr=0.05), 1)
    moved = torch.diagonal(manifold.distance(moduli.points.detach(), before))
    torch.testing.assert_close(moved, torch.full_like(moved, 0.05), rtol=1e-3, atol=0)


@pytest.mark.parametrize("fused", [True, False])
def test_without_points_it_is_torch_s_adamw(fused):
    net, other = Net(), Net()
    other.load_state_dict(net.state_dict())
    own = riemannian_adam(net, lr=3e-3, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.02)
    plain = torch.optim.AdamW(other.parameters(), 3e-3, (0.8, 0.95), 1e-6, 0.02, fused=fused)
    train(net, None, own, 30)
    train(other, None, plain, 30)
    if fused:
        assert_same_bits(net.parameters(), other.parameters())
    else:
        for a, b in zip(net.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_fixed_points_leave_the_weights_to_adamw_as_well():
    net, moduli = build(learn=False)
    other, other_moduli = build(learn=False)
    points = moduli.points.detach().clone()
    train(net, moduli, riemannian_adam(net, moduli), 20)
    train(other, other_moduli, torch.optim.AdamW(other.parameters(), 1e-3, weight_decay=0.0, fused=True), 20)
    assert_same_bits(net.parameters(), other.parameters())
    assert torch.equal(moduli.points, points)


@pytest.mark.parametrize("late", [False, True])
def test_masked_weights_stay_zero(late):
    net, moduli = build(strength=0.1)
    optimizer = riemannian_adam(net, moduli, lr=1e-2, weight_decay=0.1)
    if late:
        train(net, moduli, optimizer, 5)
    mask = register_mask(net.rnn, "weight_hh_l0")
    mask.copy_(torch.rand(8, 8, generator=generator(0)) < 0.4)
    with torch.no_grad():
        net.rnn.weight_hh_l0.mul_(mask)
    train(net, moduli, optimizer, 20, start=5)
    weight = net.rnn.weight_hh_l0
    assert torch.equal(weight[~mask], torch.zeros_like(weight[~mask]))
    assert (weight[mask] != 0).all()
    for name in ("exp_avg", "exp_avg_sq"):
        moment = optimizer.state[weight][name]
        assert (moment[~mask] == 0).all()
        assert (moment[mask] != 0).all()


def test_masked_weights_stay_zero_after_a_state_without_masks_is_loaded():
    net, moduli = build()
    optimizer = riemannian_adam(net, moduli, lr=1e-2)
    train(net, moduli, optimizer, 5)
    dense = copy.deepcopy(optimizer.state_dict())
    mask = register_mask(net.rnn, "weight_hh_l0")
    mask[:4] = False
    with torch.no_grad():
        net.rnn.weight_hh_l0.mul_(mask)
    train(net, moduli, optimizer, 2)
    optimizer.load_state_dict(dense)
    train(net, moduli, optimizer, 5)
    assert (net.rnn.weight_hh_l0[:4] == 0).all()
    assert (net.rnn.weight_hh_l0[4:] != 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.0}, "lr must be positive and finite, got 0.0"),
        ({"lr": -1.0}, "lr must be positive and finite, got -1.0"),
        ({"lr": math.nan}, "lr must be positive and finite, got nan"),
        ({"lr": math.inf}, "lr must be positive and finite, got inf"),
        ({"lr": "1e-3"}, "lr must be positive and finite, got '1e-3'"),
        ({"embedding_lr": 0.0}, "embedding_lr must be positive and finite, got 0.0"),
        ({"embedding_lr": math.nan}, "embedding_lr must be positive and finite, got nan"),
        ({"eps": 0.0}, "eps must be positive and finite, got 0.0"),
        ({"betas": (1.0, 0.9)}, r"betas must be two numbers in \[0, 1\), got \(1.0, 0.9\)"),
        ({"betas": (0.9, -0.1)}, r"betas must be two numbers in \[0, 1\), got"),
        ({"betas": (0.9, math.nan)}, r"betas must be two numbers in \[0, 1\), got"),
        ({"betas": (0.9,)}, r"betas must be two numbers in \[0, 1\), got"),
        ({"weight_decay": -0.1}, "weight_decay must be finite and >= 0, got -0.1"),
        ({"weight_decay": math.inf}, "weight_decay must be finite and >= 0, got inf"),
    ],
)
@pytest.mark.parametrize("weights", [True, False])
def test_bad_rates_are_named(arguments, message, weights):
    net, moduli = build()
    net.requires_grad_(weights)
    with pytest.raises(ValueError, match=message):
        riemannian_adam(net, moduli, **arguments)


def test_nothing_to_train_is_an_error():
    net, moduli = build(learn=False)
    net.requires_grad_(False)
    for regularizer in (moduli, None):
        with pytest.raises(ValueError, match="model must have parameters that require gradients, got none"):
            riemannian_adam(net, regularizer)


def test_plain_descent_moves_weights_by_their_gradient_and_points_as_ever():
    net, moduli = build()
    other_net, other_moduli = build()
    mask = register_mask(net.rnn, "weight_hh_l0")
    mask[0] = False
    recurrent = net.get_parameter("rnn.weight_hh_l0")
    for weight in (recurrent, other_net.get_parameter("rnn.weight_hh_l0")):
        weight.detach().mul_(mask)
    optimizer = sgd_with_riemannian_adam(net, moduli, lr=0.5, embedding_lr=1e-2, weight_decay=0.1)
    reference = riemannian_adam(other_net, other_moduli, lr=0.5, embedding_lr=1e-2)
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    for model, regularizer, steps in ((net, moduli, optimizer), (other_net, other_moduli, reference)):
        (task_loss(model, 0) + regularizer()).backward()
        steps.step()
    for name, value in net.named_parameters():
        assert value.grad is not None
        torch.testing.assert_close(value.detach(), before[name] - 0.5 * (value.grad + 0.1 * before[name]))
    assert not bool(recurrent[0].any())
    torch.testing.assert_close(moduli.points, other_moduli.points)


@pytest.mark.parametrize(("name", "value"), [("lr", 0.0), ("embedding_lr", math.nan), ("weight_decay", -1.0)])
def test_plain_descent_names_a_bad_rate(name: str, value: float):
    net, moduli = build()
    with pytest.raises(ValueError, match=rf"^{name} must be"):
        sgd_with_riemannian_adam(net, moduli, **{name: value})
    net.requires_grad_(False)
    with pytest.raises(ValueError, match="model must have parameters"):
        sgd_with_riemannian_adam(net)


def test_parameter_groups_have_their_own_options_and_names():
    net, moduli = build()
    biases = [parameter for name, parameter in net.named_parameters() if "bias" in name]
    weights = [parameter for name, parameter in net.named_parameters() if "bias" not in name]
    groups = [{"params": iter(weights)}, {"params": biases, "weight_decay": 0.0, "lr": 0.5, "name": "biases"}]
    optimizer = riemannian_adam(groups, moduli, lr=1e-2, embedding_lr=0.2, weight_decay=0.1)
    named = {group["name"]: group for group in optimizer.param_groups}
    assert list(named) == ["weights 0", "biases", "points"]
    assert [named[name]["weight_decay"] for name in named] == [0.1, 0, 0]
    assert [named[name]["lr"] for name in named] == [1e-2, 0.5, 0.2]
    assert named["points"]["params"] == [moduli.points]
    assert groups[1].keys() == {"params", "weight_decay", "lr", "name"}


@pytest.mark.parametrize("builder", [riemannian_adam, sgd_with_riemannian_adam])
@pytest.mark.parametrize("given", ["generator", "list", "named", "groups", "one tensor a group"])
def test_iterables_of_parameters_train_like_their_model(builder, given):
    (net, moduli), (other, other_moduli) = build(), build()
    other.moduli = other_moduli
    forms = {
        "generator": lambda: other.parameters(),
        "list": lambda: list(other.parameters()),
        "named": lambda: other.named_parameters(),
        "groups": lambda: [{"params": other.parameters()}],
        "one tensor a group": lambda: [{"params": parameter} for parameter in other.parameters()],
    }
    train(net, moduli, builder(net, moduli, lr=1e-2), 3)
    optimizer = builder(forms[given](), lr=1e-2)
    assert optimizer.param_groups[-1]["params"] == [other_moduli.points]
    train(other, other_moduli, optimizer, 3)
    trained, expected = [*other.rnn.parameters(), other_moduli.points], [*net.rnn.parameters(), moduli.points]
    torch.testing.assert_close(trained, expected)


def test_masks_of_a_given_module_are_held_under_groups():
    net, moduli = build()
    optimizer = riemannian_adam(net.parameters(), moduli, lr=1e-2, masked=net)
    mask = register_mask(net.rnn, "weight_hh_l0")
    mask[:4] = False
    train(net, moduli, optimizer, 3)
    assert (net.rnn.weight_hh_l0[:4] == 0).all()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Parameter(torch.ones(2)), "model must be a torch.nn.Module, or an iterable .*, got Parameter"),
        ("net", "model must be a torch.nn.Module, or an iterable .*, got str"),
        (3, "model must be a torch.nn.Module, or an iterable .*, got int"),
        ({"params": []}, "model must be a torch.nn.Module, or an iterable .*, got dict"),
        ([{"weights": []}], "model must hold parameter groups with the key 'params'"),
        ([nn.Linear(2, 2)], "model must hold tensors as parameters, got Linear"),
        ([{"params": ["rnn"]}], "model must hold tensors as parameters, got str"),
    ],
)
@pytest.mark.parametrize("builder", [riemannian_adam, sgd_with_riemannian_adam])
def test_what_is_no_model_is_named(builder, model, message):
    with pytest.raises(TypeError, match=message):
        builder(model)


def test_groups_must_be_disjoint_and_hold_something():
    net, _ = build(learn=False)
    with pytest.raises(ValueError, match=r"duplicate|more than one parameter group"):
        riemannian_adam([{"params": net.parameters()}, {"params": net.parameters()}])
    with pytest.raises(ValueError, match="model must have parameters that require gradients, got none"):
        riemannian_adam([])


@pytest.mark.parametrize("builder", [riemannian_adam, sgd_with_riemannian_adam])
def test_a_regularizer_of_another_model_is_told(builder):
    net = nn.ModuleDict({"rnn": nn.GRU(2, 4)})
    moduli = ModuliRegularizer(net["rnn"], Torus(2), learn=True)
    for other in (copy.deepcopy(net), nn.Linear(2, 2)):
        with pytest.warns(UserWarning, match="penalizes weight_hh_l0 of a GRU that is no part of model"):
            builder(other, moduli)
    builder(*copy.deepcopy((net, moduli)))
    # Of parameters alone, their model is not known.
    builder(nn.Linear(2, 2).parameters(), moduli)
    loaded = pickle.loads(pickle.dumps(moduli))
    with pytest.warns(UserWarning, match="no part of model"):
        builder(net, loaded)


@pytest.mark.parametrize("builder", [riemannian_adam, sgd_with_riemannian_adam])
def test_a_module_that_holds_a_regularizer_may_stand_for_it_and_no_other(builder):
    net, moduli = build()
    held = builder(net, nn.Sequential(moduli))
    assert [group["name"] for group in held.param_groups] == ["weights", "points"]
    for other in (nn.Identity(), net):
        with pytest.raises(TypeError, match=f"moduli must be a ModuliRegularizer or None, got {type(other).__name__}"):
            builder(net, other)
