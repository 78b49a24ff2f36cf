"""Prints by how many MiB one penalty with gradients raises the memory of a process, beyond the gradient of the weight.

Linux alone says what a process holds, and forgets the highest it was on request.
"""

import re
import sys
from pathlib import Path

import torch
from torch import Tensor

from riemod.manifolds import Torus
from riemod.regularization import moduli_penalty
from riemod.regularization.inhibitors import DifferenceOfGaussians

_PROCESS = Path("/proc/self")


def held(which: str) -> float:
    """MiB that the process holds now (VmRSS), or held at most (VmHWM)."""
    found = re.search(rf"{which}:\s*(\d+) kB", (_PROCESS / "status").read_text())
    if found is None:
        raise OSError(f"/proc/self/status does not tell {which}")
    return int(found[1]) / 1024


def operands(n: int) -> tuple[Tensor, Tensor]:
    """A weight (n, n) and n points of a torus, both to be learned."""
    points = Torus(2).sample(n, generator=torch.Generator().manual_seed(0))
    return torch.empty(n, n).normal_().requires_grad_(), points.requires_grad_()


def extra(n: int) -> float:
    """After a warm-up that compiles, on a smaller weight."""
    torus, law = Torus(2), DifferenceOfGaussians()
    moduli_penalty(*operands(max(128, n // 8)), torus, law).backward()
    weight, points = operands(n)
    before = held("VmRSS")
    # Forget what compiling took.
    (_PROCESS / "clear_refs").write_text("5")
    moduli_penalty(weight, points, torus, law).backward()
    return held("VmHWM") - before - weight.nbytes / 2**20


if __name__ == "__main__":
    print(f"{extra(int(sys.argv[1])):.1f}")
