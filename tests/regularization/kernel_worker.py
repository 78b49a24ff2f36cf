"""Run by test_tiles.py: compiled tiles against eager ones and the float64 formula, where nothing checks types."""

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.speed.memory import extra
from riemod import ModuliRegularizer, inhibitors, moduli_penalty
from riemod._ahead_of_time import refusal
from riemod.manifolds import Manifold, Torus
from riemod.optim import riemannian_adam
from riemod.regularization import _kernels as kernels
from riemod.regularization import _tiles as tiles
from riemod.regularization._own_kernels import OwnKernel
from riemod.regularization.inhibitors import CostLaw
from tests.regularization.formulas import MANIFOLDS, SMOOTH, plain_penalty, plain_signed
from tests.strategies import generator

Gradients = tuple[Tensor, ...]
SIGNED = inhibitors.Signed.mexican_hat(Torus(2))


def value_and_gradients(weight: Tensor, points: Tensor, sources: Tensor | None, law: Callable) -> Gradients:
    leaves = [tensor.detach().clone().requires_grad_() for tensor in (weight, points)]
    others = None if sources is None else sources.detach().clone().requires_grad_()
    value = law(*leaves, source_points=others)
    leaves += [] if others is None else [others]
    return (value.detach(), *torch.autograd.grad(value, leaves))


def compare(manifold: Manifold, law: CostLaw, power: float, rows: int, columns: int | None, fixed: bool = True) -> None:
    """Compiled, eager and plain values and gradients of one weight; square with shared points if columns is None."""
    source = generator(rows)
    points = manifold.sample(rows, generator=source, dtype=torch.float32)
    sources = None if columns is None else manifold.sample(columns, generator=source, dtype=torch.float32)
    weight = 0.1 * torch.randn(rows, columns or rows, generator=source)

    def engine(w: Tensor, x: Tensor, source_points: Tensor | None) -> Tensor:
        return moduli_penalty(w, x, manifold, law, power, source_points=source_points)

    def oracle(w: Tensor, x: Tensor, source_points: Tensor | None) -> Tensor:
        if isinstance(law, inhibitors.Signed):
            return plain_signed(w, x, manifold, law, power, source_points=source_points)
        return plain_penalty(w, x, manifold, law, power, source_points=source_points)

    compiled = value_and_gradients(weight, points, sources, engine)
    least, kernels.COMPILED_FROM = kernels.COMPILED_FROM, sys.maxsize
    eager = value_and_gradients(weight, points, sources, engine)
    kernels.COMPILED_FROM = least
    exact = value_and_gradients(weight.double(), points.double(), None if sources is None else sources.double(), oracle)
    for one, other, true in zip(compiled, eager, exact, strict=True):
        # A slope of 20,001 terms that cancel differs more on some processors: then the kernel must be nearer the truth.
        alike = (one - other).norm() <= 4e-6 * other.norm()
        assert alike or (one - true).norm() <= (other - true).norm(), (manifold, law, power, one, other)
        assert (one - true).norm() <= 1e-4 * true.norm(), (manifold, law, power, one, true)
    # Without points to learn: the kernel of fixed points.
    if not fixed:
        return
    with torch.no_grad():
        torch.testing.assert_close(engine(weight, points, sources), compiled[0], rtol=1e-5, atol=0)


def laws(names: list[str]) -> None:
    """Each manifold named, under several laws and powers; `quick`: one law alone, with points that are learned."""
    tiles.TILE_ELEMENTS, tiles.WHOLE_ROWS, tiles.TILE_WIDTH = 1 << 12, 100, 64
    quick, names = names[0] == "quick", names[names[0] == "quick" :]
    kinds = {**SMOOTH, "hat": SIGNED}
    cases = [("dog", 1.0)] if quick else [("dog", 1.0), ("hat", 1.5)]
    if "torus" in names and not quick:
        cases += [("ricker", 2.0), ("sinusoid", 1.0), ("diffusion", 1.0)]
    for name in names:
        for law, power in cases:
            compare(MANIFOLDS[name](), kinds[law], power, 131, None, fixed=not quick)
            # The same kernel for another manifold of these numbers, and for tiles of other sizes.
            compare(MANIFOLDS[name](), kinds[law], power, 261, 83, fixed=not quick)
            compare(MANIFOLDS[name](), kinds[law], power, 1, 20001, fixed=not quick)
    made = list(kernels._KERNELS.values())
    assert None not in made
    assert len(made) == (1 if quick else 2) * len(cases) * len(names)
    # Before torch 2.13, torch.compile makes them.
    assert refusal() is not None or {type(kernel) for kernel in made} == {OwnKernel}


def first_call() -> None:
    """Print the bits of a penalty and its gradients, for several numbers of threads, and what was logged."""
    torus, bits = Torus(2), set()
    weight = torch.randn(300, 200, generator=generator(2))
    points = torus.sample(300, generator=generator(0), dtype=torch.float32)
    sources = torus.sample(200, generator=generator(1), dtype=torch.float32)
    notes = noted()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results = value_and_gradients(
            weight, points, sources, lambda w, x, **others: moduli_penalty(w, x, torus, SMOOTH["dog"], **others)
        )
        bits.add(hashlib.sha256(b"".join(result.numpy().tobytes() for result in results)).hexdigest())
    found = {"bits": sorted(bits), "notes": notes, "dynamo": "torch._dynamo" in sys.modules}
    sys.stdout.write(json.dumps(found))


def noted() -> list[str]:
    """Return a list to which the lines are added that riemod logs from now on."""
    notes: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: notes.append(record.getMessage())
    logging.getLogger("riemod").addHandler(handler)
    return notes


def changes() -> None:
    """A kernel follows what its law depends on, if that changes."""
    scale = {"of": 1.0}
    law = inhibitors.Custom(lambda d: scale["of"] * d)
    torus, weight = Torus(2), torch.randn(128, 128, generator=generator(0))
    points = torus.sample(128, generator=generator(1))
    before = moduli_penalty(weight, points, torus, law)
    scale["of"] = 2.0
    torch.testing.assert_close(moduli_penalty(weight, points, torus, law), 2 * before)
    scale["of"] = 1.0
    torus.period = 20.0
    longer = moduli_penalty(weight, points, torus, law)
    torch.testing.assert_close(longer, plain_penalty(weight, points, torus, law))
    torch.testing.assert_close(moduli_penalty(weight, points, Torus(2), law), before)
    assert longer > before


class Net(nn.Module):
    """A recurrent net and its penalty in one module."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.RNN(3, 130)
        self.moduli = ModuliRegularizer(self.rnn, Torus(2), learn=True, strength=10.0, generator=generator(0))

    def forward(self, x: Tensor) -> Tensor:
        return (self.rnn(x)[0] - 1).square().mean() + self.moduli()


def training() -> None:
    """Three steps of training compiled by Inductor, the compiled penalty within, are the plain ones."""
    trained = []
    for wrap in (lambda step: step, torch.compile):
        net = Net()
        optimizer = riemannian_adam(net, net.moduli, lr=1e-3)

        def step(x: Tensor, net: Net = net) -> Tensor:
            loss = net(x)
            loss.backward()
            return loss

        run = wrap(step)
        for seed in range(3):
            optimizer.zero_grad()
            run(torch.randn(4, 2, 3, generator=generator(seed)))
            optimizer.step()
        trained.append(net)
    plain, compiled = trained
    torch.testing.assert_close(dict(compiled.named_parameters()), dict(plain.named_parameters()))
    assert not torch.equal(plain.moduli.points, Net().moduli.points)
    assert list(kernels._KERNELS.values()).count(None) == 0 < len(kernels._KERNELS)


def no_compiler() -> None:
    """Eager tiles, and one note of why."""
    notes = noted()
    for seed in range(2):
        compare(Torus(2), SMOOTH["dog"], 1 + seed, 131, None)
    assert len(notes) == 1, notes
    assert "the penalty runs without a compiled kernel" in notes[0], notes


def memory() -> None:
    """The peak beyond weight and gradient, with compiled tiles, stays far below another n x n array."""
    beyond = extra(6144)
    assert list(kernels._KERNELS.values()).count(None) == 0 < len(kernels._KERNELS)
    assert -16 < beyond <= 64, f"{beyond} MiB beside a gradient of 144 MiB"


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    work, *rest = sys.argv[1:]
    if work == "laws":
        laws(rest)
    else:
        works = {"changes": changes, "training": training, "no_compiler": no_compiler, "memory": memory}
        {**works, "first_call": first_call}[work]()
