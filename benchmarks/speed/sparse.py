"""Sparse nets against dense ones: a whole sequence through one recurrent layer, a training step, and bytes on disk."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import riemod
from benchmarks.speed.harness import Result, compare_several
from riemod import manifolds

NEURONS, STEPS, BLOCK = 4096, 50, 32
TARGETS = {"blocks-90": 1 / 4, "single-90": 1 / 1.5, "blocks-98": 1 / 10, "single-98": 1 / 10}


@functools.cache
def dense_layer() -> nn.RNN:
    """A fresh layer of torch."""
    torch.manual_seed(0)
    return nn.RNN(2, NEURONS, nonlinearity="relu", bias=False)


@functools.cache
def pruned_layer(kind: str, neurons: int = NEURONS) -> nn.RNN:
    """A layer whose hidden matrix was pruned in blocks of neurons that are near on a torus, or weight by weight."""
    torch.manual_seed(0)
    layer = nn.RNN(2, neurons, nonlinearity="relu", bias=False)
    draws = torch.Generator().manual_seed(0)
    moduli = riemod.ModuliRegularizer(layer, manifolds.Torus(2), generator=draws)
    # As after training with the penalty: the cheaper a pair, the larger its weight.
    layer.get_parameter("weight_hh_l0").detach().div_(1 + moduli.coefficients(0, 0, neurons))
    if kind.startswith("blocks"):
        pruner = riemod.MagnitudePruner(layer, targets=["weight_hh_l0"], blocks=BLOCK, order=moduli)
    else:
        pruner = riemod.MagnitudePruner(layer, targets=["weight_hh_l0"])
    pruner.prune(int(kind[-2:]) / 100)
    riemod.sparse.permute_neurons(layer, riemod.sparse.order_neurons(moduli))
    return layer


@functools.cache
def compressed_layer(kind: str, batch: int) -> nn.Module:
    """The same, compressed as is fastest for that batch."""
    return riemod.sparse.compress(pruned_layer(kind), example_input=torch.randn(STEPS, batch, 2))


@functools.cache
def sequences(batch: int, rounds: int) -> dict[str, Result]:
    """A whole sequence without gradients: every kind of layer against a dense one of torch."""
    x = torch.randn(STEPS, batch, 2)

    def forward(layer: nn.Module) -> Callable[[], object]:
        return torch.inference_mode()(lambda: layer(x))

    ours = {kind: forward(compressed_layer(kind, batch)) for kind in TARGETS}
    against = f"dense nn.RNN, n = {NEURONS}, batch {batch}, {STEPS} steps"
    return compare_several(ours, forward(dense_layer()), TARGETS, against, rounds)


def training(rounds: int, kind: str = "single-98", batch: int = 32) -> Result:
    """A step of training: forward, backward, Adam."""
    x, target = torch.randn(STEPS, batch, 2), torch.randn(STEPS, batch, NEURONS)

    def step(layer: nn.Module) -> Callable[[], object]:
        optimizer = torch.optim.Adam(layer.parameters(), lr=1e-4, fused=True)

        def run() -> None:
            loss = nn.functional.mse_loss(layer(x)[0], target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return run

    ours = {kind: step(riemod.sparse.compress(pruned_layer(kind), example_input=x))}
    against = f"dense nn.RNN, n = {NEURONS}, batch {batch}, {STEPS} steps, fused Adam"
    return compare_several(ours, step(dense_layer()), {kind: 1 / 4}, against, rounds)[kind]


def disk(_: int) -> Result:
    """Bytes of the file of a compressed layer at 98 %, over those of the dense weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.safetensors"
        riemod.sparse.save(riemod.sparse.compress(pruned_layer("single-98"), "csr"), path)
        size = path.stat().st_size
    dense = sum(parameter.nbytes for parameter in dense_layer().parameters())
    notes = {"bytes": size, "dense_bytes": dense}
    return Result("sparse-disk-98", size / dense, "x", 0.04, "float32 weights of the dense layer", notes=notes)


def _sequence(kind: str, batch: int) -> Callable[[int], Result]:
    return lambda rounds: sequences(batch, rounds)[kind]


ROWS: dict[str, Callable[[int], Result]] = {
    **{f"sparse-{kind}-batch{batch}": _sequence(kind, batch) for batch in (32, 200) for kind in TARGETS},
    "sparse-training-98": training,
    "sparse-disk-98": disk,
}
