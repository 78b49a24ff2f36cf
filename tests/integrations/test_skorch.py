"""skorch with riemod's optimizer: weights and points from its parameter groups, the penalty, and masks."""

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("skorch")
from sklearn.base import clone
from skorch import NeuralNetRegressor

from riemod import MagnitudePruner, ModuliRegularizer
from riemod.manifolds import Sphere
from riemod.masks import attach_masks
from riemod.optim import riemannian_adam
from tests.strategies import generator

pytestmark = pytest.mark.filterwarnings("ignore")


class Module(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.readout = nn.RNN(1, 8, batch_first=True), nn.Linear(8, 1)
        self.moduli = ModuliRegularizer(self.rnn, Sphere(2), strength=0.1, learn=True, generator=generator(0))

    def forward(self, inputs):
        return self.readout(self.rnn(inputs)[0][:, -1])


class Net(NeuralNetRegressor):
    """The two methods of docs/api/integrations.md."""

    def initialize_optimizer(self, *args, **kwargs):
        super().initialize_optimizer(*args, **kwargs)
        attach_masks(self.optimizer_, self.module_)
        return self

    def get_loss(self, y_pred, y_true, X=None, training=False):
        loss = super().get_loss(y_pred, y_true, X=X, training=training)
        return loss + self.module_.moduli() if training else loss


def data():
    x = np.random.default_rng(0).normal(size=(32, 5, 1)).astype(np.float32)
    return x, x.sum(1)


OPTIONS = {"optimizer": riemannian_adam, "lr": 0.01, "max_epochs": 3, "verbose": 0, "train_split": None}


def test_the_optimizer_trains_weights_and_points():
    net = clone(NeuralNetRegressor(Module, optimizer__embedding_lr=0.1, **OPTIONS)).fit(*data())
    assert [group["lr"] for group in net.optimizer_.param_groups] == [0.01, 0.1]
    assert net.optimizer_.param_groups[1]["params"] == [net.module_.moduli.points]
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]
    decayed = NeuralNetRegressor(
        Module, optimizer__param_groups=[("*.bias*", {"weight_decay": 0.0})], optimizer__weight_decay=0.1, **OPTIONS
    ).initialize()
    assert sorted(group["weight_decay"] for group in decayed.optimizer_.param_groups) == [0, 0, 0.1]


def test_two_methods_add_the_penalty_and_hold_masks():
    net = Net(Module, **OPTIONS).fit(*data())
    assert not torch.equal(net.module_.moduli.points, Module().moduli.points)
    net.module_.moduli.embeddings[0].manifold.check_points(net.module_.moduli.points)
    pruner = MagnitudePruner(net.module_)
    pruner.prune(0.8)
    net.partial_fit(*data())
    for name, mask in pruner.masks().items():
        assert torch.equal(net.module_.get_parameter(name) != 0, mask)
