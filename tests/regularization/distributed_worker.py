"""Run by test_processes.py, one process a rank: the two recipes of docs/architecture.md for DistributedDataParallel."""

import sys

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from riemod.optim import riemannian_adam
from tests.regularization.every_kind import Trained, inputs

STEPS, BATCH = 4, 6


class Prediction(nn.Module):
    """The model without its penalty: what is wrapped by those who add the penalty outside."""

    def __init__(self, model: Trained) -> None:
        super().__init__()
        self.conv, self.rnn, self.first, self.second = model.conv, model.rnn, model.first, model.second
        self.cell = model.cell

    def forward(self, x: Tensor) -> Tensor:
        return Trained.predict(self, x)  # pyright: ignore[reportArgumentType]


def train(recipe: str, rank: int, world: int) -> Trained:
    """A model after some steps; with world 1 of the whole batch, otherwise of this rank's share of it."""
    # Other weights and other points on every rank: DistributedDataParallel makes them equal.
    model = Trained(seed=rank)
    if world == 1:
        network: nn.Module = model
    elif recipe == "together":
        network = DistributedDataParallel(model)
    else:
        network = DistributedDataParallel(Prediction(model))
        for parameter in model.moduli.parameters():
            dist.broadcast(parameter.detach(), src=0)
    optimizer = riemannian_adam(model, model.moduli, lr=1e-2)
    for step in range(STEPS):
        share = inputs(step, BATCH).chunk(world, dim=1)[rank]
        optimizer.zero_grad()
        if world == 1 or recipe == "together":
            loss = network(share)
        else:
            loss = (network(share) - 1).square().mean() + model.moduli()
        loss.backward()
        optimizer.step()
    return model


def main(recipe: str, rank: int, rendezvous: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    model = train(recipe, rank, 2)
    for name, parameter in model.named_parameters():
        copies = [torch.empty_like(parameter.detach().as_subclass(Tensor)) for _ in range(2)]
        dist.all_gather(copies, parameter.detach().contiguous())
        assert torch.equal(*copies), f"{name} differs between the processes"
    alone = train(recipe, 0, 1)
    torch.testing.assert_close(
        {name: value.detach() for name, value in model.named_parameters()},
        {name: value.detach() for name, value in alone.named_parameters()},
        rtol=1e-4,
        atol=1e-4,
    )
    start = Trained(seed=0)
    for now, then in zip(model.moduli.parameters(), start.moduli.parameters(), strict=True):
        assert (now - then).abs().max() > 1e-3
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
