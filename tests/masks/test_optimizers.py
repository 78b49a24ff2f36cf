"""Optimizers that hold pruned weights at zero: by hooks, by `apply`, with closures, copies and loaded states."""

import copy
import pickle

import pytest
import torch
from torch import nn

from riemod.manifolds._geoopt import geoopt
from riemod.masks import (
    attach_masks,
    mask_gradients,
    mask_optimizer_state,
    masked_parameters,
    register_mask,
    zero_pruned,
)
from riemod.optim import riemannian_adam
from riemod.pruning import MagnitudePruner
from tests.masks.nets import net, pruned_entries, state_at_pruned, train

ELEMENTWISE = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01, initial_accumulator_value=0.1),
    "adadelta": lambda p: torch.optim.Adadelta(p),
    "adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.01),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
    "asgd": lambda p: torch.optim.ASGD(p, lr=0.01),
    "riemannian": lambda p: geoopt.optim.RiemannianAdam(p, lr=0.01, weight_decay=0.01),
}

# These lift a state of 0 to their own least value in the step itself.
FLOORED = ("adamax", "rprop")


@pytest.mark.filterwarnings("ignore:.* its floor:UserWarning")
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_attached_masks_hold_weights_at_zero(name):
    model = net()
    optimizer = ELEMENTWISE[name](model.parameters())
    attach_masks(optimizer, model)
    train(model, optimizer, 3)
    pruner = MagnitudePruner(model)
    zeros = torch.zeros(0, dtype=torch.bool)
    for sparsity in (0.0, 0.3, 0.6, 0.9):
        pruner.prune(sparsity)
        train(model, optimizer, 3)
        assert (pruned_entries(model) == 0).all()
        assert name in FLOORED or (state_at_pruned(model, optimizer) == 0).all()
        now = torch.cat([~mask.flatten() for mask in pruner.masks().values()])
        assert now[: zeros.numel()][zeros].all()
        zeros = now
    assert zeros.sum() == round(0.9 * zeros.numel())
    assert torch.cat([p[m] for _, p, m in masked_parameters(model)]).ne(0).all()


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_apply_holds_weights_at_zero_without_the_hook(name):
    model = net()
    optimizer = ELEMENTWISE[name](model.parameters())
    pruner = MagnitudePruner(model)
    train(model, optimizer, 2)
    for sparsity in (0.3, 0.9):
        pruner.prune(sparsity)
        train(model, optimizer, 3, after=lambda: pruner.apply(optimizer))
        assert (pruned_entries(model) == 0).all()
        assert (state_at_pruned(model, optimizer) == 0).all()
        assert all((p.grad[~m] == 0).all() for _, p, m in masked_parameters(model))
        train(model, optimizer, 3, after=pruner.apply)
        assert (pruned_entries(model) == 0).all()


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_without_either_weights_grow_back(name):
    model = net()
    optimizer = ELEMENTWISE[name](model.parameters())
    MagnitudePruner(model).prune(0.9)
    train(model, optimizer, 2)
    assert (pruned_entries(model) != 0).any()


def test_momentum_alone_does_not_regrow_weights():
    layer = nn.Linear(4, 4, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    attach_masks(optimizer, layer)
    layer.weight.grad = torch.ones(4, 4)
    optimizer.step()
    MagnitudePruner(layer).prune(0.5)
    layer.weight.grad = torch.zeros(4, 4)
    optimizer.step()
    assert layer.weight.count_nonzero() == 8


def test_an_older_state_is_masked_when_loaded():
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    attach_masks(optimizer, model)
    train(model, optimizer, 2)
    dense = copy.deepcopy(optimizer.state_dict())
    MagnitudePruner(model).prune(0.8)
    train(model, optimizer, 2)
    optimizer.load_state_dict(dense)
    assert (state_at_pruned(model, optimizer) != 0).any()
    train(model, optimizer, 2)
    assert (pruned_entries(model) == 0).all()
    assert (state_at_pruned(model, optimizer) == 0).all()


def test_masks_that_are_replaced_by_loading_are_seen():
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    attach_masks(optimizer, model)
    pruner = MagnitudePruner(model)
    train(model, optimizer, 2)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    state["0.weight_mask"][:, 1] = False
    for assign in (False, True):
        model.load_state_dict(state, assign=assign)
        if assign:
            optimizer.param_groups[0]["params"] = list(model.parameters())
        pruner.apply()
        train(model, optimizer, 2)
        assert (model[0].weight[:, 1] == 0).all()
        assert (state_at_pruned(model, optimizer) == 0).all()
        state["0.weight_mask"][:, 2] = False


def test_a_mask_put_in_another_s_place_is_seen():
    layer = nn.Linear(2, 2, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    attach_masks(optimizer, layer)
    version = register_mask(layer, "weight")._version
    layer.weight.grad = torch.ones(2, 2)
    optimizer.step()
    optimizer.step()
    layer.weight_mask = torch.eye(2) > 0
    assert layer.weight_mask._version == version
    zero_pruned(layer.weight, layer.weight_mask)
    optimizer.step()
    assert torch.equal(layer.weight != 0, layer.weight_mask)


def test_closures_are_masked():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    attach_masks(optimizer, model)
    MagnitudePruner(model).prune(0.7)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(3, 5)).square().sum()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    second = optimizer.step(closure=closure)
    assert second < first
    assert (pruned_entries(model) == 0).all()
    assert all(model[index].weight.grad.ne(0).any() for index in (0, 2))


def test_sparse_gradients_are_masked():
    embedding = nn.Embedding(6, 4, sparse=True)
    optimizer = torch.optim.SGD(embedding.parameters(), lr=0.1)
    attach_masks(optimizer, embedding)
    MagnitudePruner(embedding).prune(0.5)
    embedding(torch.tensor([1, 1, 3, 5])).sum().backward()
    before = embedding.weight.detach().clone()
    optimizer.step()
    moved = embedding.weight != before
    rows = torch.tensor([1, 3, 5])
    assert torch.equal(moved[rows], embedding.weight_mask[rows])
    assert (embedding.weight[~embedding.weight_mask] == 0).all()


def test_a_removed_hook_does_nothing():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = attach_masks(optimizer, model)
    MagnitudePruner(model).prune(0.7)
    handle.remove()
    train(model, optimizer, 1)
    assert (pruned_entries(model) != 0).any()


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda value: pickle.loads(pickle.dumps(value))}


@pytest.mark.parametrize("kind", ["adam", "joint", "foreign class"])
@pytest.mark.parametrize("how", COPIES)
def test_copies_hold_the_masks_of_the_copied_model(kind, how):
    model = net()
    if kind == "joint":
        optimizer = riemannian_adam(model, lr=0.1)
    else:
        optimizer = (Foreign if kind == "foreign class" else torch.optim.Adam)(model.parameters(), lr=0.1)
        attach_masks(optimizer, model)
    pruner = MagnitudePruner(model)
    pruner.prune(0.5)
    train(model, optimizer, 2)
    other, copied, own_pruner = COPIES[how]((model, optimizer, pruner))
    own_pruner.prune(0.8)
    again, once_more = COPIES[how]((other, copied))
    for one, its in ((other, copied), (again, once_more)):
        train(one, its, 2)
        assert sum(int((parameter == 0).sum()) for _, parameter, _ in masked_parameters(one)) == round(0.8 * 56)
        assert (pruned_entries(one) == 0).all()
    assert pruner.sparsity()["total"] == 0.5
    train(model, optimizer, 1)
    assert sum(int((parameter == 0).sum()) for _, parameter, _ in masked_parameters(model)) == 28


@pytest.mark.parametrize("how", COPIES)
def test_an_optimizer_copied_alone_holds_the_parameters_that_it_steps(how):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    attach_masks(optimizer, model)
    MagnitudePruner(model).prune(0.5)
    copied = COPIES[how](optimizer)
    parameters = copied.param_groups[0]["params"]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    copied.step()
    for parameter, mask in ((parameters[0], model[0].weight_mask), (parameters[2], model[2].weight_mask)):
        assert torch.equal(parameter != 0, mask)
    assert torch.equal(model[0].weight != 0, model[0].weight_mask)


def test_hooks_added_in_another_process_do_not_displace_masks(monkeypatch):
    model = net()
    optimizer = riemannian_adam(model, lr=0.1)
    MagnitudePruner(model).prune(0.5)
    other, copied = pickle.loads(pickle.dumps((model, optimizer)))
    monkeypatch.setattr(torch.utils.hooks.RemovableHandle, "next_id", 0)
    for _ in range(500):
        copied.register_step_pre_hook(lambda *_: None)
        copied.register_step_post_hook(lambda *_: None)
    train(other, copied, 2)
    assert (pruned_entries(other) == 0).all()


class Foreign(torch.optim.Adam):
    """Takes a step that does not ask for gradients, and keeps state that is no moment."""

    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.add_(1.0)
                self.state[parameter].setdefault("codes", torch.zeros(parameter.shape, dtype=torch.uint8).add(127))
                self.state[parameter].setdefault("basis", torch.ones_like(parameter))


def test_state_without_a_known_meaning_is_left_alone():
    model = nn.Linear(4, 4, bias=False)
    optimizer = Foreign(model.parameters(), lr=0.1)
    attach_masks(optimizer, model)
    for _ in range(3):
        model.weight.grad = torch.ones(4, 4)
        optimizer.step()
    moment = optimizer.state[model.weight]["exp_avg"].clone()
    MagnitudePruner(model).prune(0.5)
    model.weight.grad = torch.zeros(4, 4)
    optimizer.step()
    state = optimizer.state[model.weight]
    assert (state["codes"] == 127).all()
    assert (state["basis"] == 1).all()
    torch.testing.assert_close(state["exp_avg"], 0.9 * moment)
    assert torch.equal(model.weight != 0, model.weight_mask)


def test_pruned_weights_that_a_step_makes_nan_are_zero():
    layer = nn.Linear(2, 2, bias=False)
    optimizer = torch.optim.RMSprop(layer.parameters(), lr=0.1, eps=0.0)
    attach_masks(optimizer, layer)
    MagnitudePruner(layer).prune(0.5)
    layer.weight.grad = torch.ones(2, 2)
    optimizer.step()
    assert layer.weight.isfinite().all()
    assert torch.equal(layer.weight != 0, layer.weight_mask)


def test_attach_masks_refuses():
    model = net()
    with pytest.raises(TypeError, match="optimizer"):
        attach_masks(model, model)
    with pytest.raises(TypeError, match="module"):
        attach_masks(torch.optim.SGD(model.parameters(), lr=0.1), "model")


def muon(model):
    kind = getattr(torch.optim, "Muon", None)
    return [] if kind is None else [kind([model[0].weight])]


def test_a_hook_leaves_unmasked_parameters_and_unused_state_alone():
    model = net()
    optimizer = torch.optim.Adam(model[2].parameters(), lr=0.1)
    attach_masks(optimizer, model)
    register_mask(model[0], "weight")[0] = False
    train(model, optimizer, 2)
    assert len(optimizer.state) == 2
    assert (model[0].weight.grad[0] == 0).all()
    assert (model[2].weight.grad != 0).all()


def test_mask_optimizer_state_masks_what_has_the_shape():
    weight, other = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimizer = torch.optim.Adam([weight], amsgrad=True)
    weight.grad = torch.ones(2, 2)
    optimizer.step()
    mask = torch.tensor([[True, False], [False, True]])
    mask_optimizer_state(optimizer, [(weight, mask), (other, mask)])
    state = optimizer.state[weight]
    assert other not in optimizer.state
    assert state["step"] == 1
    for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
        assert torch.equal(state[name] != 0, mask)
    with pytest.raises(ValueError, match="shape"):
        mask_optimizer_state(optimizer, [(weight, mask[0])])


def test_mask_gradients_before_clipping():
    model = net()
    pruner = MagnitudePruner(model)
    pruner.prune(0.9)
    model(torch.randn(4, 5)).square().sum().backward()
    full = nn.utils.get_total_norm([p.grad for p in model.parameters()])
    pruner.mask_gradients()
    kept = nn.utils.get_total_norm([p.grad for p in model.parameters()])
    assert kept < full
    assert all((p.grad[~m] == 0).all() for _, p, m in masked_parameters(model))
    model.zero_grad()
    mask_gradients((p, m) for _, p, m in masked_parameters(model))
    assert model[0].weight.grad is None
