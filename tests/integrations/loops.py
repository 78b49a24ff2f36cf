"""What the tests of both callbacks share: a net with a learned torus, its data, and what training must have done."""

import pytest
import torch
from torch import Tensor, nn

from riemod import LinearSchedule, MagnitudePruner, ModuliRegularizer
from riemod.manifolds import Torus
from tests.strategies import generator


class Net(nn.Module):
    """Tells the sign of a sum; with `penalized` its loss contains the penalty, as without a callback."""

    def __init__(self, penalized: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.readout = nn.RNN(1, 8), nn.Linear(8, 1)
        self.moduli = ModuliRegularizer(self.rnn, Torus(2), strength=0.1, learn=True, generator=generator(0))
        self.penalized = penalized

    def outputs(self, x: Tensor) -> Tensor:
        return self.readout(self.rnn(x.transpose(0, 1))[0][-1])

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        loss = (outputs - y).square().mean()
        return loss + self.moduli() if self.penalized else loss


def data() -> tuple[Tensor, Tensor]:
    """24 sequences (24, 5, 1) and the signs of their sums (24, 1)."""
    x = torch.randn(24, 5, 1, generator=generator(1))
    return x, x.sum(1).sign()


def pruner_of(model: nn.Module) -> MagnitudePruner:
    return MagnitudePruner(model, LinearSchedule(final=0.8, epochs=4))


def check_trained_alike(outside: Net, penalized: Net) -> None:
    """A callback's net and the one whose loss contains the penalty end with the same parameters; points have moved."""
    torch.testing.assert_close(
        dict(outside.named_parameters()), dict(penalized.named_parameters()), rtol=1e-4, atol=1e-5
    )
    assert (outside.moduli.points - Net().moduli.points).abs().max() > 1e-2


def check_pruned(model: nn.Module, pruner: MagnitudePruner) -> None:
    assert pruner.sparsity()["total"] == pytest.approx(0.8, abs=0.01)
    for name, mask in pruner.masks().items():
        assert not model.get_parameter(name)[~mask].any()


def check_went_on(model: Net, pruner: MagnitudePruner, former: Net, its_pruner: MagnitudePruner) -> None:
    """A net trained one more epoch from a checkpoint has its masks, and points that moved a little."""
    assert pruner.sparsity() == its_pruner.sparsity()
    assert not torch.equal(model.moduli.points, former.moduli.points)
    assert (model.moduli.points - former.moduli.points).abs().max() < 0.2
