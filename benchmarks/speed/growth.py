"""Takes the growth of the penalty's cost an entry apart: processor time on one thread, by the gradient's memory.

python -m benchmarks.speed.growth --sizes 1024 4096 8192 16384 --rounds 9

Both matrices and two spare gradients are held: 16 n^2 bytes.
"""

import resource
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.speed import penalty
from riemod.manifolds import Torus
from riemod.regularization import _sweep as sweep
from riemod.regularization._pages import fresh_like


@dataclass(frozen=True)
class Options:
    """What to run.

    Args:
        sizes: n.
        rounds: in each of which every kind of memory has its turn, after one that does not count.
    """

    sizes: tuple[int, ...] = (1024, 4096, 8192)
    rounds: int = 9


class Nanoseconds(NamedTuple):
    """Processor time an entry: of the process itself, and of the system for it."""

    own: float
    system: float


def memories(like: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return ways to get memory for a gradient: fresh in huge or small pages, or kept from the call before."""
    small, huge = torch.zeros_like(like), fresh_like(like).zero_()
    return {
        "fresh, huge pages (as it is)": fresh_like,
        "fresh, small pages": torch.empty_like,
        "kept, small pages": lambda _: small.detach(),
        "kept, huge pages": lambda _: huge.detach(),
    }


def measure(n: int, rounds: int) -> dict[str, list[Nanoseconds]]:
    """Return the times of every round by the kind of memory."""
    torus = Torus(2)
    weight, points = penalty.operands(torus, n)
    run, ways = penalty.ours(weight, points, torus), memories(weight.detach())
    times: dict[str, list[Nanoseconds]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            sweep.fresh_like = way
            before = resource.getrusage(resource.RUSAGE_SELF)
            run()
            after = resource.getrusage(resource.RUSAGE_SELF)
            weight.grad = None
            if turn:
                own, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
                times[name].append(Nanoseconds(1e9 * own / n**2, 1e9 * system / n**2))
    sweep.fresh_like = fresh_like
    return times


def main(options: Options) -> None:
    """Print medians, and the smallest sum of both, as soon as a size is done."""
    torch.set_num_threads(1)
    for n in options.sizes:
        table = Table("memory of the gradient", "own, ns", "system, ns", "least, ns", title=f"n = {n}")
        for name, rounds in measure(n, options.rounds).items():
            numbers = (*map(statistics.median, zip(*rounds, strict=True)), min(map(sum, rounds)))
            table.add_row(name, *(f"{number:.2f}" for number in numbers))
        Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
