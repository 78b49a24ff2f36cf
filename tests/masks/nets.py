"""A small net, its training, and what is left at its pruned entries."""

import torch
from torch import nn

from riemod.masks import masked_parameters


def net():
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))


def train(model, optimizer, steps, after=None):
    for _ in range(steps):
        optimizer.zero_grad()
        (model(torch.randn(11, 5)) - 1).square().sum().backward()
        optimizer.step()
        if after is not None:
            after()


def pruned_entries(model):
    return torch.cat([parameter[~mask] for _, parameter, mask in masked_parameters(model)])


def state_at_pruned(model, optimizer):
    values = [
        value[~mask]
        for _, parameter, mask in masked_parameters(model)
        for value in optimizer.state[parameter].values()
        if isinstance(value, torch.Tensor) and value.shape == parameter.shape
    ]
    return torch.cat(values) if values else torch.zeros(0)
