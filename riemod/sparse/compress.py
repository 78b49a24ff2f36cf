"""Compression: the recurrent and linear layers of a pruned model, replaced by ones that store what was kept."""

import copy
import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from riemod.sparse.layers import PrunedLayer, PrunedWeight, pruned_layers, set_submodule
from riemod.sparse.layouts import BlockMatrix, CSRMatrix, DenseMatrix, StoredMatrix
from riemod.sparse.recurrent import CompressedLinear, CompressedRecurrent
from riemod.sparse.timing import median_seconds

__all__ = ["Timing", "compress", "fastest", "time_layouts"]

_LOGGER = logging.getLogger(__name__)

# Without an example a batch of so many rows, and of so many steps, is timed.
_BATCH, _STEPS = 32, 10
# Blocks that hold more than this share of a matrix's entries are not worth a trial.
_FULLEST = 0.5
_BLOCK_SIZES = (16, 32, 64)
_BLOCK = re.compile(r"(?:block|bsr)([1-9]\d*)?")


class Timing(NamedTuple):
    """One weight, or a whole layer, in one layout.

    `seconds` is the median time of a product (of the layer's forward), `bytes` what weights and indices take.
    """

    name: str
    layout: str
    seconds: float
    bytes: int


def compress(module: nn.Module, layout: str | Mapping[str, str] = "auto", example_input: Any = None) -> nn.Module:
    """A copy of a pruned model with the same inputs and outputs, whose layers store and multiply kept weights alone.

    `nn.RNN`, `nn.GRU`, `nn.LSTM` and `nn.Linear` become `CompressedRecurrent` and `CompressedLinear`; a layer all of
    whose weights stay dense stays as it is, as do all other modules. Kept is what a mask says (`riemod.masks`),
    or what is not 0 where there is none. The copy can be trained: kept weights get gradients, others do not exist.
    Outputs are those of the model to rounding. In blocks, entries at the edge of a matrix whose size is no multiple
    of the block's are filled up with zeros, which stay zero.

    Args:
        module: a layer, or a model that holds some; it is not changed.
        layout: "auto" times the layouts of each weight that has zeros, and then each layer as a whole, and takes what
            is fastest; "dense", "csr", "block32" (any size) or "block" (of 16, 32 and 64 the size that stores least;
            "bsr" is the same) is used for every weight that has zeros; a mapping from names of weights to these for
            some, the others staying dense.
        example_input: what the model is called with, a tensor, packed sequence or tuple of arguments, to be timed on;
            without it 10 steps of 32 sequences are. The copy works for any other batch as well.

    Returns:
        The compressed copy. If nothing in `module` is 0, a warning with the speed that would be lost, and a plain copy.

    Raises:
        TypeError: `module` is no module, holds no layer of these kinds, or has a mask on a layer of another kind.
        ValueError: a layout of another name or for another weight, weights that are NaN or infinite, a mask of another
            shape than its weight, weights that are not 0 where the mask is False, or an LSTM with projections.

    >>> layer = nn.Linear(4, 2)
    >>> layer.weight.data = torch.tensor([[0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 3.0]])
    >>> compressed = compress(layer, layout="csr")
    >>> compressed.weight
    CSRMatrix(2, 4, stored=2)
    >>> x = torch.randn(5, 4)
    >>> torch.allclose(compressed(x), layer(x))
    True
    """
    layers = pruned_layers(module)
    weights = {name: weight for layer in layers for name, weight in layer.weights.items()}
    pruned = [name for name, weight in weights.items() if weight.has_zeros]
    layouts = dict.fromkeys(pruned, layout) if isinstance(layout, str) else layout
    for name, chosen in layouts.items():
        if name not in weights:
            raise ValueError(f"layout: no weight {name!r} that can be compressed; there are {', '.join(weights)}")
        if chosen not in ("dense", "csr") and not _BLOCK.fullmatch(chosen) and layout != "auto":
            raise ValueError(f'layout: expected "auto", "dense", "csr", "block" or "block32", got {chosen!r}')
    if not pruned:
        _warn_of_no_zeros(time_layouts(module, example_input))
        return copy.deepcopy(module)
    if layout == "auto":
        timings = time_layouts(module, example_input)
        for timing in timings:
            _LOGGER.info("%s as %s: %.3g ms, %d bytes", timing.name, timing.layout, 1e3 * timing.seconds, timing.bytes)
        layouts = fastest(timings)
    compressed = copy.deepcopy(module)
    for layer in layers:
        if any(layouts.get(name, "dense") != "dense" for name in layer.weights):
            part = _compressed_layer(layer, layouts)
            for name in layer.names:
                compressed = set_submodule(compressed, name, part)
    return compressed


def time_layouts(module: nn.Module, example_input: Any = None) -> list[Timing]:
    """Every layout of every weight that has zeros, and every layer as it is and compressed at its weights' best.

    Args:
        module: as for `compress`.
        example_input: likewise.

    Returns:
        For each weight its alternatives; then, under the layer's name, "dense" and "compressed", if any weight of it is
        faster in another layout than dense. If nothing is 0, each weight has its "dense" and its "csr".

    Raises:
        TypeError, ValueError: as `compress`.

    >>> layer = nn.Linear(64, 64)
    >>> layer.weight.data[1:] = 0
    >>> [timing.layout for timing in time_layouts(layer) if timing.name == "weight"]
    ['dense', 'csr', 'block16', 'block32']
    """
    layers = pruned_layers(module)
    inputs = _inputs(module, layers, example_input)
    none_pruned = not any(weight.has_zeros for layer in layers for weight in layer.weights.values())
    timings: list[Timing] = []
    for layer, given in zip(layers, inputs, strict=True):
        best: dict[str, str] = {}
        for name, weight in layer.weights.items():
            if weight.has_zeros or none_pruned:
                alternatives = _time_weight(name, weight, _columns(layer.module, given))
                timings += alternatives
                best[name] = min(alternatives, key=lambda timing: timing.seconds).layout
        if any(chosen != "dense" for chosen in best.values()):
            timings += _time_layer(layer, _compressed_layer(layer, best), given)
    return timings


def fastest(timings: list[Timing]) -> dict[str, str]:
    """The layout of each weight that makes its layer fastest, of what `time_layouts` found.

    >>> fastest([Timing("weight", "dense", 2.0, 8), Timing("weight", "csr", 1.0, 4)])
    {'weight': 'csr'}
    """
    grouped: dict[str, dict[str, float]] = {}
    for timing in timings:
        grouped.setdefault(timing.name, {})[timing.layout] = timing.seconds
    wholes = {name: seconds for name, seconds in grouped.items() if "compressed" in seconds}
    slower = {name for name, seconds in wholes.items() if seconds["compressed"] > seconds["dense"]}
    return {
        name: "dense" if name.rpartition(".")[0] in slower else min(seconds, key=seconds.__getitem__)
        for name, seconds in grouped.items()
        if name not in wholes
    }


def _matrix(weight: PrunedWeight, layout: str) -> StoredMatrix:
    if layout == "dense":
        return DenseMatrix(weight.values, weight.kept)
    if layout == "csr":
        return CSRMatrix.of(weight.values, weight.kept)
    block = _BLOCK.fullmatch(layout)
    assert block is not None
    if block[1] is not None:
        return BlockMatrix.of(weight.values, weight.kept, int(block[1]))
    alternatives = [BlockMatrix.of(weight.values, weight.kept, size) for size in reversed(_BLOCK_SIZES)]
    return min(alternatives, key=lambda matrix: matrix.values.numel())


def _compressed_layer(layer: PrunedLayer, layouts: Mapping[str, str]) -> nn.Module:
    """The layer with its weights in these layouts, the others dense; training or not, and frozen or not, as it is."""
    matrices: dict[str, StoredMatrix] = {}
    for name, weight in layer.weights.items():
        own = name.rpartition(".")[2]
        matrices[own] = _matrix(weight, layouts.get(name, "dense"))
        matrices[own].values.requires_grad_(layer.module.get_parameter(own).requires_grad)
    if isinstance(layer.module, nn.RNNBase):
        return CompressedRecurrent(layer.module, matrices).train(layer.module.training)
    assert isinstance(layer.module, nn.Linear)
    return CompressedLinear(matrices["weight"], layer.module.bias).train(layer.module.training)


def _time_weight(name: str, weight: PrunedWeight, columns: int) -> list[Timing]:
    """The products of one weight with so many columns, in every layout worth a trial."""
    matrices = {"dense": _matrix(weight, "dense"), "csr": _matrix(weight, "csr")}
    if weight.has_zeros:
        sizes = [size for size in _BLOCK_SIZES if size < max(weight.values.shape)]
        blocks = {f"block{size}": _matrix(weight, f"block{size}") for size in sizes}
        limit = _FULLEST * weight.values.numel()
        matrices |= {layout: matrix for layout, matrix in blocks.items() if matrix.values.numel() <= limit}
    h = _drawn(weight.values, weight.values.shape[1], columns)

    def product(matrix: StoredMatrix) -> Callable[[], object]:
        return lambda: matrix.bind()(h)

    seconds = median_seconds({layout: product(matrix) for layout, matrix in matrices.items()}, h.device)
    return [Timing(name, layout, seconds[layout], matrix.stored_bytes()) for layout, matrix in matrices.items()]


def _time_layer(layer: PrunedLayer, compressed: nn.Module, given: tuple[Any, ...]) -> list[Timing]:
    """The layer as it is, and compressed, on the same input."""
    sides = {"dense": layer.module, "compressed": compressed}

    def forward(side: nn.Module) -> Callable[[], object]:
        return lambda: side(*given)

    device = next(layer.module.parameters()).device
    seconds = median_seconds({name: forward(side) for name, side in sides.items()}, device)
    return [Timing(layer.name, name, seconds[name], _bytes(side)) for name, side in sides.items()]


def _bytes(module: nn.Module) -> int:
    """Of a layer's parameters and indices; masks are not counted."""
    return sum(tensor.nbytes for name, tensor in module.state_dict().items() if not name.endswith("_mask"))


def _inputs(module: nn.Module, layers: Sequence[PrunedLayer], example_input: Any) -> list[tuple[Any, ...]]:
    """What each layer is called with when the model is called with the example, or an example of its own."""
    given = [_example(layer.module) for layer in layers]
    if example_input is None:
        return given
    # A copy, so that nothing in the model changes: dropout draws, batch norms count.
    copied = copy.deepcopy(module).eval()
    for index, layer in enumerate(layers):

        def keep(_: nn.Module, arguments: tuple[Any, ...], index: int = index) -> None:
            given[index] = arguments

        copied.get_submodule(layer.name).register_forward_pre_hook(keep)
    several = isinstance(example_input, tuple) and not isinstance(example_input, PackedSequence)
    with torch.no_grad():
        copied(*example_input) if several else copied(example_input)
    return given


def _example(layer: nn.Module) -> tuple[Any, ...]:
    weight = next(layer.parameters())
    if isinstance(layer, nn.RNNBase):
        outer = (_BATCH, _STEPS) if layer.batch_first else (_STEPS, _BATCH)
        return (_drawn(weight, *outer, layer.input_size),)
    assert isinstance(layer, nn.Linear)
    return (_drawn(weight, _BATCH, layer.in_features),)


def _drawn(like: Tensor, *shape: int) -> Tensor:
    """Normal numbers, of a generator of their own: timing leaves torch's as it was."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(like)


def _columns(layer: nn.Module, given: tuple[Any, ...]) -> int:
    """How many columns a product has when the layer is called so."""
    x = given[0]
    if isinstance(x, PackedSequence):
        return int(x.batch_sizes[0])
    if not isinstance(layer, nn.RNNBase):
        return max(1, x.numel() // x.shape[-1])
    return 1 if x.ndim == 2 else x.shape[0 if layer.batch_first else 1]


def _warn_of_no_zeros(timings: Sequence[Timing]) -> None:
    dense, csr = (sum(t.seconds for t in timings if t.layout == layout and t.name) for layout in ("dense", "csr"))
    warnings.warn(
        f"module: none of its weights is 0, so it stays dense; stored as CSR its products would take {csr / dense:.1f} "
        "times as long",
        stacklevel=3,
    )
