"""A small net with a regularizer, a task for it, and steps of training."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from riemod import ModuliRegularizer
from tests.regularization.formulas import MANIFOLDS
from tests.strategies import generator


class Net(nn.Module):
    """A recurrent net that tells the sign of its inputs' sum."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(1, 8)
        self.readout = nn.Linear(8, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.readout(self.rnn(inputs)[0][-1])


def build(
    name: str = "torus", learn: bool = True, strength: float = 0.01, seed: int = 0
) -> tuple[Net, ModuliRegularizer]:
    torch.manual_seed(seed)
    net = Net()
    moduli = ModuliRegularizer(net, MANIFOLDS[name](), strength=strength, learn=learn, generator=generator(seed))
    return net, moduli


def task_loss(net: nn.Module, step: int) -> Tensor:
    inputs = torch.randn(4, 16, 1, generator=generator(step))
    return (net(inputs) - inputs.sum(0).sign()).square().mean()


def train(
    net: nn.Module,
    moduli: ModuliRegularizer | None,
    optimizer: torch.optim.Optimizer,
    steps: int,
    start: int = 0,
) -> list[float]:
    """Losses of the task before each step."""
    losses = []
    for step in range(start, start + steps):
        loss = task_loss(net, step)
        losses.append(loss.item())
        if moduli is not None:
            loss = loss + moduli()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def everything(net: nn.Module, moduli: ModuliRegularizer | None) -> list[Tensor]:
    return [*net.parameters(), *(moduli.parameters() if moduli is not None else ())]


def assert_same_bits(one: Iterable[Tensor], other: Iterable[Tensor]) -> None:
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b)
