"""A model with every kind of penalized layer, and its loss with the penalty."""

import torch
from torch import Tensor, nn

from riemod import ModuliRegularizer
from riemod.regularization import chain, recurrent
from tests.regularization.formulas import MANIFOLDS
from tests.strategies import generator


class OwnCell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.transition = nn.Parameter(torch.randn(5, 5) / 3)

    def forward(self, inputs: Tensor) -> Tensor:
        state = inputs.new_zeros(inputs.shape[1], 5)
        for step in inputs:
            state = torch.tanh(state @ self.transition.T + step)
        return state


class Trained(nn.Module):
    """A model of every kind of layer, and its loss with the penalty: what torch.func and DDP take as one function."""

    def __init__(self, manifold: str = "torus", seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv1d(2, 4, 3, padding=1)
        self.rnn = nn.GRU(4, 5, bidirectional=True)
        self.first, self.second = nn.Linear(10, 6), nn.Linear(6, 5)
        self.cell = OwnCell()
        items = [self.conv, self.rnn, chain(self.first, self.second), recurrent(self.cell, "transition")]
        self.moduli = ModuliRegularizer(
            items, MANIFOLDS[manifold](), strength=0.01, learn=True, generator=generator(seed)
        )

    def predict(self, inputs: Tensor) -> Tensor:
        channels = self.conv(inputs.permute(1, 2, 0)).permute(2, 0, 1)
        return self.cell(self.second(torch.relu(self.first(self.rnn(channels)[0]))))

    def forward(self, inputs: Tensor) -> Tensor:
        return (self.predict(inputs) - 1).square().mean() + self.moduli()


def inputs(seed: int = 0, batch: int = 4) -> Tensor:
    return torch.randn(3, batch, 2, generator=generator(seed))


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters() if parameter.grad is not None}


def eager(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    model(x).backward()
    found = gradients(model)
    assert found.keys() == dict(model.named_parameters()).keys()
    assert all(gradient.any() for gradient in found.values())
    return found
