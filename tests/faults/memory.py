"""Memory that stays flat: many steps of penalty, backward pass and optimizer."""

import resource
from pathlib import Path

import torch
from torch import nn

from riemod.manifolds import Torus
from riemod.optim import riemannian_adam
from riemod.pruning import MagnitudePruner
from riemod.regularization import ModuliRegularizer
from tests.faults.tally import Tally

MOST_GROWTH = 4 << 20


def resident() -> int:
    """Return the process's resident memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def run(count: int = 100_000, seed: int = 0) -> Tally:
    """Take `count` steps of a tiny net; after the first fifth the resident memory must not grow by over 4 MiB."""
    tally = Tally("memory")
    generator = torch.Generator().manual_seed(seed)
    layer = nn.RNN(1, 3)
    moduli = ModuliRegularizer(layer, Torus(2), learn=True, strength=1e-3, generator=generator)
    optimizer = riemannian_adam(layer, moduli, lr=1e-4)
    MagnitudePruner(layer).prune(0.5)
    sequence = torch.randn(2, 4, 1, generator=generator)
    after_a_fifth = 0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for step in range(count):
            optimizer.zero_grad()
            (layer(sequence)[0].square().mean() + moduli()).backward()
            optimizer.step()
            if step == count // 5:
                after_a_fifth = resident()
    finally:
        torch.set_num_threads(threads)
    growth = resident() - after_a_fifth
    problem = None if growth <= MOST_GROWTH else f"resident memory grew by {growth / 2**20:.1f} MiB"
    tally.record(f"{count:,} steps of a learned torus", problem, "riemod/regularization")
    tally.notes.append(f"{growth / 2**20:+.2f} MiB from step {count // 5:,} to step {count:,}")
    return tally
