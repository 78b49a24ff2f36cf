"""Compression: replace the recurrent and linear layers of a pruned model by layers that store kept weights alone."""

import copy
import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from riemod._checks import check_items, check_mapping, check_text, check_type, shown
from riemod.regularization._double_use import regularizers_of
from riemod.regularization.regularizer import ModuliRegularizer
from riemod.sparse._at_once import is_small
from riemod.sparse.layers import PrunedLayer, PrunedWeight, pruned_layers, set_submodule, skipped_layers
from riemod.sparse.layouts import BlockMatrix, CSRMatrix, DenseMatrix, StoredMatrix
from riemod.sparse.recurrent import CompressedLinear, CompressedRecurrent
from riemod.sparse.timing import median_seconds

__all__ = ["Timing", "compress", "fastest", "time_layouts"]

_LOGGER = logging.getLogger(__name__)

# The batch and the number of steps that are timed without an example.
_BATCH, _STEPS = 32, 10
# Blocks that hold more than this share of a matrix's entries are not worth a trial.
_FULLEST = 0.5
_BLOCK_SIZES = (16, 32, 64)
_BLOCK = re.compile(r"block([1-9]\d*)?")


class Timing(NamedTuple):
    """Holds the measured time and size of one weight, or of a whole layer, in one layout.

    `seconds` is the median time of a product with the weight, or of the layer's forward, as for the hidden matrix of a
    layer that runs in one compiled call; `bytes` is the memory of weights and indices.
    """

    name: str
    layout: str
    seconds: float
    bytes: int


def compress(module: nn.Module, layout: str | Mapping[str, str] = "auto", example_input: Any = None) -> nn.Module:
    """Copy a pruned model so that its layers store and multiply kept weights alone.

    `nn.RNN`, `nn.GRU`, `nn.LSTM` and `nn.Linear` become `CompressedRecurrent` and `CompressedLinear`. A layer stays as
    it is if all of its weights stay dense, and so do all other modules. A warning names each pruned layer that cannot
    be compressed, and why: a cell, a convolution, a subclass, an LSTM with projections, weights that are computed in
    the forward pass (weight drop, weight norm) or shared. Frozen parameters stay frozen. Kept weights are those that a
    mask keeps (`riemod.masks`), or without a mask those that are not 0. The copy has the inputs and outputs of the
    model, to rounding, and can be trained: kept weights get gradients, the others do not exist. In blocks, a matrix
    whose size is no multiple of the block's is filled up with zeros at its edges, and these stay 0.

    Args:
        module: a layer, or a model that holds some; it is not changed.
        layout: "auto" times the layouts of each weight that has zeros, then each layer as a whole, and takes the
            fastest. "dense", "csr", "block32" (or another size) or "block" (of 16, 32 and 64 the size that stores
            least) is used for every weight that has zeros. A mapping gives one of these to some weights by name; the
            others stay dense.
        example_input: the argument of a call of the model that is timed: a tensor, a packed sequence or a tuple of
            arguments. Without it, 10 steps of 32 sequences are timed. The copy works for any other batch as well.

    Returns:
        The compressed copy. If nothing was compressed, a plain copy, with a warning: either no weight of `module` is 0
        (it tells how much slower CSR would be), or "auto" found every layer fastest dense.

    Raises:
        TypeError: `module` is no module, or holds no layer that can be compressed.
        ValueError: a layout is unknown or for an unknown weight, a weight is NaN or infinite, a mask has another shape
            than its weight, a weight is not 0 where its mask is False, `module` cannot be copied, or it holds a
            `ModuliRegularizer` on a pruned weight, which would go on penalizing the dense one.

    Warns:
        UserWarning: a regularizer outside of `module` penalizes one of its weights. It stays on the original: leave it
            out of the loss of the copy. In evaluation mode (`module.eval()`), as for inference, nothing is said.

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
    check_mapping("layout", layouts, "a name, or a mapping from weight to name")
    for name, chosen in layouts.items():
        if name not in weights:
            known = ", ".join(weights)
            raise ValueError(f"layout must name weights that can be compressed, {known}, got {shown(name)}")
        check_text("layout", chosen)
        if chosen not in ("dense", "csr") and not _BLOCK.fullmatch(chosen) and layout != "auto":
            raise ValueError(f'layout must be "auto", "dense", "csr", "block" or "block32", got {shown(chosen)}')
    for name, reason in skipped_layers(module).items():
        warnings.warn(f"{name or type(module).__name__} stays as it is, for it {reason}", stacklevel=2)
    if not pruned:
        _warn_of_no_zeros(time_layouts(module, example_input))
        return _copy(module)
    _check_not_penalized(module, layers)
    if layout == "auto":
        timings = time_layouts(module, example_input)
        for timing in timings:
            _LOGGER.info("%s as %s: %.3g ms, %d bytes", timing.name, timing.layout, 1e3 * timing.seconds, timing.bytes)
        layouts = fastest(timings)
        if all(chosen == "dense" for chosen in layouts.values()):
            warnings.warn(
                "nothing was compressed, because each layer is fastest dense on this input; layout='csr' stores kept "
                f"weights alone in {', '.join(pruned)}",
                stacklevel=2,
            )
    compressed = _copy(module)
    stored = [layer for layer in layers if any(layouts.get(name, "dense") != "dense" for name in layer.weights)]
    if module.training:
        _warn_of_penalties_left_behind(module, stored)
    for layer in stored:
        part = _compressed_layer(layer, layouts)
        for name in layer.names:
            compressed = set_submodule(compressed, name, part)
    return compressed


def time_layouts(module: nn.Module, example_input: Any = None) -> list[Timing]:
    """Time every layout of every weight that has zeros, then every layer dense and with its fastest layouts.

    Args:
        module: as for `compress`.
        example_input: as for `compress`.

    Returns:
        For each weight its layouts; then, under the layer's name, "dense" and "compressed" if any of its weights is
        faster in another layout than dense. If no weight is 0, "dense" and "csr" for each weight.

    Raises:
        TypeError, ValueError: as for `compress`.

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
                columns = _columns(layer.module, given)
                if _runs_at_once(layer, name, columns):
                    alternatives = _time_in_layer(layer, name, given)
                else:
                    alternatives = _time_weight(name, weight, columns)
                timings += alternatives
                best[name] = min(alternatives, key=lambda timing: timing.seconds).layout
        if any(chosen != "dense" for chosen in best.values()):
            timings += _time_layer(layer, _compressed_layer(layer, best), given)
    return timings


def fastest(timings: list[Timing]) -> dict[str, str]:
    """Choose the layout of each weight that makes its layer fastest, among the times of `time_layouts`.

    >>> fastest([Timing("weight", "dense", 2.0, 8), Timing("weight", "csr", 1.0, 4)])
    {'weight': 'csr'}
    """
    grouped: dict[str, dict[str, float]] = {}
    for timing in check_items("timings", timings, "a list of Timings"):
        check_type("timings", timing, Timing, "a list of Timings")
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
    """Return the layer with weights in these layouts, others dense, in its mode and with its frozen weights frozen."""
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
    """Time the product of one weight with a number of columns, in every layout worth a trial."""
    matrices = _alternatives(weight)
    h = _drawn(weight.values, weight.values.shape[1], columns)

    def product(matrix: StoredMatrix) -> Callable[[], object]:
        return lambda: matrix.bind()(h)

    seconds = median_seconds({layout: product(matrix) for layout, matrix in matrices.items()}, h.device)
    return [Timing(name, layout, seconds[layout], matrix.stored_bytes()) for layout, matrix in matrices.items()]


def _runs_at_once(layer: PrunedLayer, name: str, columns: int) -> bool:
    """Tell whether a layer whose hidden matrix this is runs in one compiled call, if it is stored row by row."""
    hidden = name.rpartition(".")[2].startswith("weight_hh")
    return hidden and is_small(columns, *(_matrix(w, "csr") for own, w in layer.weights.items() if "weight_hh" in own))


def _time_in_layer(layer: PrunedLayer, name: str, given: tuple[Any, ...]) -> list[Timing]:
    """Time the layer with one weight in every layout worth a trial: a product alone would be lost in calls."""
    alternatives = _alternatives(layer.weights[name])
    sides = {layout: _compressed_layer(layer, {name: layout}) for layout in alternatives if layout != "dense"}

    def forward(side: nn.Module) -> Callable[[], object]:
        return lambda: side(*given)

    calls = {layout: forward(side) for layout, side in {"dense": layer.module, **sides}.items()}
    seconds = median_seconds(calls, layer.weights[name].values.device)
    return [Timing(name, layout, seconds[layout], matrix.stored_bytes()) for layout, matrix in alternatives.items()]


def _alternatives(weight: PrunedWeight) -> dict[str, StoredMatrix]:
    """Return a weight in every layout that is worth a trial."""
    matrices = {"dense": _matrix(weight, "dense"), "csr": _matrix(weight, "csr")}
    if weight.has_zeros:
        sizes = [size for size in _BLOCK_SIZES if size < max(weight.values.shape)]
        blocks = {f"block{size}": _matrix(weight, f"block{size}") for size in sizes}
        limit = _FULLEST * weight.values.numel()
        matrices |= {layout: matrix for layout, matrix in blocks.items() if matrix.values.numel() <= limit}
    return matrices


def _time_layer(layer: PrunedLayer, compressed: nn.Module, given: tuple[Any, ...]) -> list[Timing]:
    """Time the layer as it is, and compressed, on the same input."""
    sides = {"dense": layer.module, "compressed": compressed}

    def forward(side: nn.Module) -> Callable[[], object]:
        return lambda: side(*given)

    device = next(layer.module.parameters()).device
    seconds = median_seconds({name: forward(side) for name, side in sides.items()}, device)
    return [Timing(layer.name, name, seconds[name], _bytes(side)) for name, side in sides.items()]


def _bytes(module: nn.Module) -> int:
    """Return the bytes of a layer's parameters and indices, without masks."""
    return sum(tensor.nbytes for name, tensor in module.state_dict().items() if not name.endswith("_mask"))


def _inputs(module: nn.Module, layers: Sequence[PrunedLayer], example_input: Any) -> list[tuple[Any, ...]]:
    """Return each layer's arguments in a call of the model with the example; without it, an example for each layer."""
    given = [_example(layer.module) for layer in layers]
    if example_input is None:
        return given
    # A copy, so that nothing in the model changes: dropout draws, batch norms count.
    copied = _copy(module).eval()
    for index, layer in enumerate(layers):

        def keep(_: nn.Module, arguments: tuple[Any, ...], index: int = index) -> None:
            given[index] = arguments

        copied.get_submodule(layer.name).register_forward_pre_hook(keep)
    several = isinstance(example_input, tuple) and not isinstance(example_input, PackedSequence)
    with torch.no_grad():
        try:
            copied(*example_input) if several else copied(example_input)
        except Exception as error:
            raise ValueError(
                f"example_input must be an argument of the module, or a tuple of them, got {shown(example_input)}: "
                f"the call ends with {type(error).__name__}"
            ) from error
    return given


def _example(layer: nn.Module) -> tuple[Any, ...]:
    weight = next(layer.parameters())
    if isinstance(layer, nn.RNNBase):
        outer = (_BATCH, _STEPS) if layer.batch_first else (_STEPS, _BATCH)
        return (_drawn(weight, *outer, layer.input_size),)
    assert isinstance(layer, nn.Linear)
    return (_drawn(weight, _BATCH, layer.in_features),)


def _drawn(like: Tensor, *shape: int) -> Tensor:
    """Draw normal numbers from a separate generator, so that timing leaves torch's as it was."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(like)


def _columns(layer: nn.Module, given: tuple[Any, ...]) -> int:
    """Return how many columns a product has in a call of the layer with this input."""
    x = given[0]
    if isinstance(x, PackedSequence):
        return int(x.batch_sizes[0])
    if not isinstance(layer, nn.RNNBase):
        return max(1, x.numel() // x.shape[-1])
    return 1 if x.ndim == 2 else x.shape[0 if layer.batch_first else 1]


def _copy(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except RuntimeError as error:
        raise ValueError(
            "module must be one that copy.deepcopy copies, got one that holds a tensor with a graph, as weight drop "
            "and weight norm leave it behind in training: call module.eval() and run it once under torch.no_grad()"
        ) from error


def _check_not_penalized(module: nn.Module, layers: Sequence[PrunedLayer]) -> None:
    """Raise a ValueError if a regularizer inside the model penalizes a pruned weight of one of the layers."""
    pruned = {layer.module for layer in layers if any(weight.has_zeros for weight in layer.weights.values())}
    for name, part in module.named_modules():
        if isinstance(part, ModuliRegularizer):
            own = [weight.parameter for weight in part.weights if weight.module in pruned]
            if own:
                raise ValueError(
                    f"module must hold no ModuliRegularizer on a weight to compress, got {name or 'one'} on "
                    f"{', '.join(own)}: it would go on penalizing the dense weight, which the copy does not use. "
                    "Compress a copy of the model without it (copy.deepcopy, then delattr)"
                )


def _warn_of_penalties_left_behind(module: nn.Module, layers: Sequence[PrunedLayer]) -> None:
    """Warn of regularizers outside the model that penalize a weight of which the copy stores kept entries alone."""
    names = [
        name
        for layer in layers
        for part in regularizers_of(layer.module)
        if isinstance(part, ModuliRegularizer) and part.strength
        for weight in part.weights
        for name, pruned in layer.weights.items()
        if weight.module is layer.module and name.rpartition(".")[2] == weight.parameter and pruned.has_zeros
    ]
    if names:
        warnings.warn(
            f"a ModuliRegularizer outside of module penalizes {', '.join(dict.fromkeys(names))}, and goes on with the "
            "dense weight of the original, which the copy does not use: leave it out of the copy's loss; for inference "
            "call module.eval() before",
            stacklevel=3,
        )


def _warn_of_no_zeros(timings: Sequence[Timing]) -> None:
    dense, csr = (sum(t.seconds for t in timings if t.layout == layout and t.name) for layout in ("dense", "csr"))
    warnings.warn(
        f"module has no weight that is 0, so it stays dense; as CSR its products would take {csr / dense:.1f} times as "
        "long",
        stacklevel=3,
    )
