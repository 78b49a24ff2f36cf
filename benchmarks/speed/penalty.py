"""The penalty's cost: against torch's L1 term, the formula as one would write it, and geoopt; memory; growth with n.

Ours is `moduli_penalty` with learned points: value, gradient of the weight, gradient of the points. The weight is
float32; both sides start each run without gradients, as after `zero_grad()`.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.speed.harness import ROUNDS, Result, Spread, compare, median_time
from benchmarks.speed.roofline import roofline
from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Product, Sphere, Torus
from riemod.manifolds._geoopt import geoopt
from riemod.regularization import moduli_penalty
from riemod.regularization.inhibitors import DifferenceOfGaussians

LAW = DifferenceOfGaussians()
SIZES = tuple(1 << power for power in range(10, 16))
MANIFOLDS: dict[str, tuple[Callable[[], Manifold], float]] = {
    "torus": (lambda: Torus(2), 0.6),
    "sphere": (lambda: Sphere(2), 1.5),
    "klein": (KleinBottle, 3.0),
    "torus6": (lambda: Torus(6), 1.5),
    "euclidean3": (lambda: Euclidean(3), 1.5),
    "product": (lambda: Product([Torus(1), Sphere(1), PoincareBall(2)]), 1.5),
}


def operands(manifold: Manifold, n: int, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """A weight (n, n) and n points, both to be learned; the same numbers on every device."""
    generator = torch.Generator().manual_seed(0)
    # In place: at the largest n a second matrix would not fit.
    weight = torch.empty(n, n).normal_(std=n**-0.5, generator=generator)
    points = manifold.sample(n, generator=generator, dtype=torch.float32)
    return weight.to(device).requires_grad_(), points.to(device).requires_grad_()


def ours(weight: Tensor, points: Tensor, manifold: Manifold) -> Callable[[], None]:
    """Value and all gradients by riemod."""

    def run() -> None:
        weight.grad = points.grad = None
        moduli_penalty(weight, points, manifold, LAW).backward()

    return run


def l1(weight: Tensor) -> Callable[[], None]:
    """The L1 term as one writes it in torch."""

    def run() -> None:
        weight.grad = None
        weight.abs().mean().backward()

    return run


def broadcast(weight: Tensor, points: Tensor, period: float) -> Callable[[], None]:
    """Eq. 6 on a torus as one writes it in torch: all differences at once."""

    def run() -> None:
        weight.grad = points.grad = None
        difference = (points[:, None] - points[None]).abs()
        squared = (torch.minimum(difference, period - difference) ** 2).sum(-1)
        bracket = torch.exp(-squared / LAW.wide) - torch.exp(-squared / LAW.narrow)
        cost = LAW.amplitude * (LAW.peak - bracket)
        (cost * weight.abs()).mean().backward()

    return run


def by_geoopt(weight: Tensor, points: Tensor) -> Callable[[], None]:
    """Eq. 6 on the Poincare ball with geoopt's pairwise distance."""
    ball = geoopt.PoincareBall()

    def run() -> None:
        weight.grad = points.grad = None
        squared = ball.dist(points[:, None], points[None]) ** 2
        bracket = torch.exp(-squared / LAW.wide) - torch.exp(-squared / LAW.narrow)
        cost = LAW.amplitude * (LAW.peak - bracket)
        (cost * weight.abs()).mean().backward()

    return run


def against_l1(name: str, n: int = 4096, rounds: int = ROUNDS) -> Result:
    """Learned points on a manifold against torch's L1 term with backward."""
    make, target = MANIFOLDS[name]
    manifold = make()
    weight, points = operands(manifold, n)
    against = f"W.abs().mean() with backward, n = {n}"
    result = compare(f"penalty-{name}", ours(weight, points, manifold), l1(weight), target, against, rounds)
    return _explained(result, manifold, n)


def under_load(n: int = 4096, rounds: int = ROUNDS) -> Result:
    """A learned torus against L1 while another process keeps one core busy."""
    torus = Torus(2)
    weight, points = operands(torus, n)
    with _busy_process():
        against = f"W.abs().mean() with backward, n = {n}, one busy process beside"
        return compare("penalty-torus-busy", ours(weight, points, torus), l1(weight), 1.0, against, rounds)


@contextmanager
def _busy_process() -> Iterator[None]:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def first_call(rounds: int, n: int = 512) -> Result:
    """Seconds of the first penalty of a process, with its kernel compiled before."""
    code = "from benchmarks.speed.penalty import seconds_of_first_call; print(seconds_of_first_call({}))"
    command = [sys.executable, "-c", code.format(n)]
    seconds = []
    # The first of the processes may compile.
    for _ in range(4):
        finished = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
        seconds.append(float(finished.stdout.split()[-1]))
    against = f"first penalty with backward of a process, learned torus, n = {n}, compiled before; median of 3"
    spread = Spread.of(seconds[1:])
    return Result("penalty-first-call", spread.median, "s", 1.0, against, spread, notes={"seconds": seconds})


def seconds_of_first_call(n: int) -> float:
    """Time the penalty once, in a process that has not computed any."""
    torus = Torus(2)
    weight, points = operands(torus, n)
    start = time.perf_counter()
    moduli_penalty(weight, points, torus, LAW).backward()
    return time.perf_counter() - start


def against_broadcast(n: int = 4096, rounds: int = ROUNDS) -> Result:
    """A learned torus against the straightforward formula."""
    torus = Torus(2)
    weight, points = operands(torus, n)
    return compare(
        "penalty-torus-broadcast",
        ours(weight, points, torus),
        broadcast(weight, points, torus.period),
        1 / 30,
        f"broadcast formula in torch with backward, n = {n}",
        rounds,
    )


def against_geoopt(n: int = 2048, rounds: int = ROUNDS) -> Result:
    """A learned Poincare ball against geoopt's pairwise distance."""
    ball = PoincareBall(2)
    weight, points = operands(ball, n)
    result = compare(
        "penalty-poincare-geoopt",
        ours(weight, points, ball),
        by_geoopt(weight, points),
        1 / 60,
        f"geoopt's PoincareBall.dist of all pairs with backward, n = {n}",
        rounds,
    )
    return _explained(result, ball, n)


def extra_memory(n: int = 8192) -> Result:
    """The peak of the process beyond the weight and its gradient, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed.memory", str(n)]
    finished = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    against = f"peak memory beyond weight and gradient, n = {n}, learned torus"
    return Result("penalty-memory", float(finished.stdout.split()[-1]), "MiB", 64.0, against)


def growth(rounds: int = ROUNDS, sizes: tuple[int, ...] = SIZES) -> Result:
    """Nanoseconds an entry from the smallest to the largest n: the largest over the smallest of them."""
    torus, entry = Torus(2), {}
    for n in sizes:
        weight, points = operands(torus, n)
        entry[n] = 1e9 * median_time(ours(weight, points, torus), rounds) / n**2
        del weight, points
    value = max(entry.values()) / min(entry.values())
    against = f"time an entry, n = {sizes[0]} to {sizes[-1]}, largest over smallest"
    return Result("penalty-growth", value, "x", 1.25, against, notes={"nanoseconds_per_entry": entry})


def _explained(result: Result, manifold: Manifold, n: int) -> Result:
    """With the machine's limits in its notes if it misses its target."""
    return result if result.met else replace(result, notes=roofline(manifold, LAW, n))


ROWS: dict[str, Callable[[int], Result]] = {
    **{f"penalty-{name}": lambda rounds, name=name: against_l1(name, rounds=rounds) for name in MANIFOLDS},
    "penalty-torus-busy": lambda rounds: under_load(rounds=rounds),
    "penalty-first-call": first_call,
    "penalty-torus-broadcast": lambda rounds: against_broadcast(rounds=rounds),
    "penalty-poincare-geoopt": lambda rounds: against_geoopt(rounds=rounds),
    "penalty-memory": lambda rounds: extra_memory(),
    "penalty-growth": lambda rounds: growth(rounds),
}
