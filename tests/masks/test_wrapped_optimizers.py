"""Optimizers inside other optimizers, some of which call no hooks."""

import pytest
import torch

from riemod.masks import attach_masks
from riemod.pruning import MagnitudePruner
from tests.masks.nets import net, pruned_entries, state_at_pruned, train


class Wrapper(torch.optim.Optimizer):
    """Steps the optimizer that it holds, by another way than its own `step`, and keeps a copy of the weights aside."""

    def __init__(self, base):
        super().__init__(base.param_groups, {})
        self.base, self.aside = base, {}

    def other_step(self):
        self.aside = {p: p.detach().clone() for group in self.param_groups for p in group["params"]}
        self.base.step()


class HooklessWrapper(torch.optim.Optimizer):
    """Never calls torch's constructor, as Accelerate's."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def step(self, closure=None):
        self.optimizer.step(closure)

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)


@pytest.mark.parametrize("kind", [Wrapper, HooklessWrapper])
def test_optimizers_inside_a_wrapper_are_attached(kind):
    model = net()
    inner = torch.optim.Adam(model.parameters(), lr=0.1)
    optimizer = kind(inner)
    handle = attach_masks(optimizer, model)
    optimizer.step = getattr(optimizer, "other_step", optimizer.step)
    train(model, optimizer, 2)
    pruner = MagnitudePruner(model)
    pruner.prune(0.7)
    train(model, optimizer, 3)
    assert not pruned_entries(model).any()
    assert not state_at_pruned(model, inner).any()
    assert pruner.sparsity()["total"] == pytest.approx(0.7, abs=0.01)
    handle.remove()
    train(model, optimizer, 1)
    assert pruned_entries(model).any()


def test_an_optimizer_without_hooks_is_refused():
    optimizer = HooklessWrapper(None)
    with pytest.raises(TypeError, match="optimizer must take hooks around its steps, got HooklessWrapper"):
        attach_masks(optimizer, net())
