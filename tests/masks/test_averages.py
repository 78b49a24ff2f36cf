"""Averages of pruned models with learned points: zeros, masks and manifolds."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from riemod import MagnitudePruner, ModuliRegularizer
from riemod.manifolds import PoincareBall, Product, Sphere, Torus
from riemod.masks import masked_average, masked_parameters, sync_average
from riemod.optim import riemannian_adam
from tests.strategies import generator


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.readout = nn.RNN(1, 8), nn.Linear(8, 1)
        space = Product([Sphere(2), Torus(1), PoincareBall(2, learn_curvature=True)])
        self.moduli = ModuliRegularizer(self.rnn, space, strength=0.1, learn=True, generator=generator(0))

    def loss(self):
        outputs = self.readout(self.rnn(torch.ones(4, 3, 1))[0][-1])
        return (outputs - 1).square().mean() + self.moduli()


AVERAGES = {
    "mean": {},
    "ema": {"avg_fn": get_ema_avg_fn(0.9)},
    "mean of buffers": {"avg_fn": masked_average(), "use_buffers": True},
    "ema of buffers": {"avg_fn": masked_average(get_ema_avg_fn(0.9)), "use_buffers": True},
    "ema of masks": {"avg_fn": get_ema_avg_fn(0.9), "use_buffers": True},
}


@pytest.mark.parametrize("kind", AVERAGES)
def test_a_synced_average_has_zeros_masks_and_points(kind):
    model = Net()
    pruner = MagnitudePruner(model)
    averaged = AveragedModel(model, **AVERAGES[kind])
    optimizer = riemannian_adam(model, model.moduli, lr=1e-2, embedding_lr=0.3)
    for step in range(12):
        if step == 6:
            pruner.prune(0.8)
        optimizer.zero_grad()
        model.loss().backward()
        optimizer.step()
        averaged.update_parameters(model)
    sync_average(averaged, model)
    copied = averaged.module
    assert {name for name, _, _ in masked_parameters(copied)} == set(pruner.masks())
    for name, parameter, mask in masked_parameters(copied):
        assert torch.equal(mask, pruner.masks()[name])
        assert torch.equal(parameter != 0, mask)
        assert not torch.equal(parameter, model.get_parameter(name))
    assert torch.equal(copied.moduli.points, model.moduli.points)
    for embedding in copied.moduli.embeddings:
        embedding.manifold.check_points(embedding.points)
    assert copied.loss().isfinite()
    copied.loss().backward()


def test_masked_average_alone_holds_pruned_weights():
    layer = nn.Linear(4, 4)
    pruner = MagnitudePruner(layer)
    averaged = AveragedModel(layer, avg_fn=masked_average(get_ema_avg_fn(0.9)), use_buffers=True)
    optimizer = riemannian_adam(layer, lr=0.1)
    for step in range(6):
        if step == 3:
            pruner.prune(0.5)
        optimizer.zero_grad()
        layer(torch.ones(2, 4)).square().sum().backward()
        optimizer.step()
        averaged.update_parameters(layer)
    assert torch.equal(averaged.module.weight_mask, layer.weight_mask)
    assert torch.equal(averaged.module.weight != 0, layer.weight_mask)
    again = pickle.loads(pickle.dumps(masked_average()))
    assert again(torch.tensor([3.0]), torch.tensor([1.0]), 1).item() == 2.0


def test_an_average_without_masks_gets_them():
    layer = nn.Linear(4, 4)
    other = copy.deepcopy(layer)
    MagnitudePruner(layer).prune(0.5)
    sync_average(other, layer)
    assert torch.equal(other.weight, layer.weight)


def test_another_model_is_refused():
    with pytest.raises(ValueError, match=r"averaged must have the parameters of model, got others at bias, weight"):
        sync_average(nn.Linear(2, 3), nn.Linear(2, 4))
