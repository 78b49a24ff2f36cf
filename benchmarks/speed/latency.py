"""Few sequences through small recurrent layers on one thread: compressed layers against torch's and TorchScript."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

import riemod
from benchmarks.speed.harness import Result, compare_several

KINDS: dict[str, type[nn.RNN] | type[nn.LSTM]] = {"rnn": nn.RNN, "lstm": nn.LSTM}
SIZES = (256, 512, 1024)
# Sequences at a time, and their steps; a controller has one of each.
SHAPES = {"batch1": (1, 50), "batch8": (8, 50), "step": (1, 1)}
# Layouts of single weights and of blocks, by the name in a row.
LAYOUTS = {"single": "csr", "blocks": "block32"}
_ROUNDS = 31


class Loop(nn.Module):
    """A loop over time as users write it for TorchScript, with the weights of a layer of torch."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        cell = nn.LSTMCell if isinstance(layer, nn.LSTM) else nn.RNNCell
        self.cell = cell(layer.input_size, layer.hidden_size)
        self.cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})


class RNNLoop(Loop):
    """Of an `nn.RNN`."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[1], self.cell.hidden_size)
        outputs: list[Tensor] = []
        for step in x.unbind(0):
            h = self.cell(step, h)
            outputs.append(h)
        return torch.stack(outputs)


class LSTMLoop(Loop):
    """Of an `nn.LSTM`."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[1], self.cell.hidden_size)
        c = torch.zeros_like(h)
        outputs: list[Tensor] = []
        for step in x.unbind(0):
            h, c = self.cell(step, (h, c))
            outputs.append(h)
        return torch.stack(outputs)


LOOPS: dict[type[nn.RNN] | type[nn.LSTM], type[Loop]] = {nn.RNN: RNNLoop, nn.LSTM: LSTMLoop}


def pruned(kind: str, neurons: int, sparsity: int, layout: str) -> nn.RNNBase:
    """A layer with random weights, pruned one by one or in blocks of 32."""
    torch.manual_seed(0)
    layer = KINDS[kind](2, neurons).eval()
    blocks = None if layout == "single" else 32
    riemod.MagnitudePruner(layer, targets=["weight_hh_l0"], blocks=blocks).prune(sparsity / 100)
    return layer


def latency(kind: str, neurons: int, shape: str, rounds: int) -> Result:
    """A sequence on one thread: compressed layers, TorchScript and a loop in Python, each over torch's dense layer.

    The row's number is that of single weights at 90 %; the notes have all of them, with milliseconds.
    """
    batch, steps = SHAPES[shape]
    x = torch.randn(steps, batch, 2)
    torch.manual_seed(0)
    dense = KINDS[kind](2, neurons).eval()
    loop = LOOPS[KINDS[kind]](dense).eval()

    def forward(net: Callable[[Tensor], object]) -> Callable[[], object]:
        return torch.inference_mode()(lambda: net(x))

    sides = {"TorchScript": forward(torch.jit.script(loop)), "loop in Python": forward(loop)}
    for name, layout in LAYOUTS.items():
        for sparsity in (90, 98):
            layer = pruned(kind, neurons, sparsity, name)
            sides[f"{name} {sparsity} %"] = forward(riemod.sparse.compress(layer, layout))
    about = f"dense nn.{kind.upper()}, n = {neurons}, batch {batch}, {steps} steps, one thread"
    with one_thread():
        found = compare_several(sides, forward(dense), dict.fromkeys(sides, 1.0), about, max(rounds, _ROUNDS))
    notes = {
        name: {"ratio": result.value, "quartiles": result.spread, "ms": 1e3 * result.seconds["ours"].median}
        for name, result in found.items()
    }
    row = found["single 90 %"]
    return replace(row, notes={**notes, "dense": {"ms": 1e3 * row.seconds["baseline"].median}})


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _row(kind: str, neurons: int, shape: str) -> Callable[[int], Result]:
    return lambda rounds: latency(kind, neurons, shape, rounds)


ROWS: dict[str, Callable[[int], Result]] = {
    f"latency-{kind}-{neurons}-{shape}": _row(kind, neurons, shape)
    for shape in SHAPES
    for kind in KINDS
    for neurons in SIZES
}
