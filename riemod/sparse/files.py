"""Write compressed models to safetensors files, kept weights and their indices, and read them."""

import copy
import json
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypedDict

import torch
from torch import Tensor, nn

from riemod._checks import check_module, check_type
from riemod._files import write_atomically
from riemod._tensor_files import CHECKSUM, check_seal, read_header, read_tensors, to_sealed_bytes
from riemod._untrusted import DamagedFile, Range, check_shape, one_line, parse_json, shown
from riemod.masks import mask_name
from riemod.sparse.layers import KINDS, set_submodule
from riemod.sparse.layouts import BlockMatrix, CSRMatrix, DenseMatrix, StoredMatrix
from riemod.sparse.recurrent import CompressedLinear, CompressedRecurrent

__all__ = ["load", "save"]

_FORMAT = "riemod.sparse 2"
_FORMAT_WITHOUT_CHECKSUM = "riemod.sparse 1"
_MASK = mask_name("")
_ORDER = "_order"
_SHORT = torch.iinfo(torch.int16).max
_BLOCK = re.compile(r"block[1-9][0-9]{0,8}")
_INDICES = (torch.int16, torch.int32, torch.int64)


class _StoredWeight(TypedDict):
    """Names the layout of a weight in a file, and the shape of the whole matrix."""

    layout: str
    shape: list[Annotated[int, Range(0)]]


class _StoredLayer(TypedDict):
    """Names what a layer in a file computes, and its weights."""

    kind: str
    weights: dict[str, _StoredWeight]


def save(module: nn.Module, path: str | Path) -> None:
    """Write a compressed model: 4 bytes for each kept float32 weight, and 2 for its column in up to 32,768 columns.

    The file holds a SHA-256 of itself, so that `load` refuses it if a byte was changed.

    Args:
        module: a model that `compress` returned.
        path: of the file, which is written whole or not at all.

    Raises:
        TypeError: `module` is no module.
        OSError: the file cannot be written.
    """
    check_module("module", module)
    check_type("path", path, (str, os.PathLike), "a path")
    path = Path(path)
    if not path.name or not path.parent.is_dir():
        raise FileNotFoundError(f"path must be a file in an existing folder, got {path}")
    layers = {
        name: {
            "kind": _kind(layer),
            "weights": {own: {"layout": part.layout, "shape": part.shape} for own, part in layer.named_children()},
        }
        for name, layer in module.named_modules()
        if isinstance(layer, CompressedLinear | CompressedRecurrent)
    }
    tensors = module.state_dict()
    # Most masks are True exactly where the weight is not 0; these need not be stored.
    implied = [name for name in _masks(tensors) if torch.equal(tensors[name], tensors[_masked(name)] != 0)]
    tensors = {name: _narrow(tensor) for name, tensor in tensors.items() if name not in implied}
    metadata = {"format": _FORMAT, "layers": json.dumps(layers), "masks": json.dumps(implied)}
    write_atomically(path, to_sealed_bytes(tensors, metadata))


def load(path: str | Path, module: nn.Module) -> nn.Module:
    """Read a compressed model from its file.

    Args:
        path: of a file that `save` wrote.
        module: a dense model of the same architecture with any weights; it is not changed.

    Returns:
        A copy of the model with the compressed layers of the file, and with every other tensor read from the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, was changed, has another format, or does not fit the model.
        TypeError: `module` is no module.

    Warns:
        UserWarning: the file is from before files had a checksum, so that changed numbers in it cannot be noticed.
    """
    check_module("module", module)
    check_type("path", path, (str, os.PathLike), "a path")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must be an existing file, got {path}")
    try:
        layers, tensors, is_sealed = _read(path)
        result = _filled(path, module, layers, tensors)
    except DamagedFile as error:
        raise ValueError(f"path must be an undamaged safetensors file, got {path}: {error}") from error
    if not is_sealed:
        warnings.warn(
            f"{path} has no checksum, so that changed numbers in it cannot be noticed: save the model again to add one",
            stacklevel=2,
        )
    return result


def _read(path: Path) -> tuple[dict[str, _StoredLayer], dict[str, Tensor], bool]:
    """Return the layers of a file, its tensors with the masks that they imply, and whether it has a checksum."""
    metadata = read_header(path)[1]
    stated = metadata.get("format")
    if stated not in (_FORMAT, _FORMAT_WITHOUT_CHECKSUM):
        stated = None if stated is None else stated[:60]
        raise ValueError(f"path must be a file in the format {_FORMAT!r}, got {path} in {stated!r}")
    is_sealed = stated == _FORMAT or CHECKSUM in metadata
    if is_sealed:
        check_seal(path)
    contents = {}
    for key, shape in (("layers", dict[str, _StoredLayer]), ("masks", list[str])):
        if key not in metadata:
            raise DamagedFile(f"its metadata must have the key {key!r}, got none")
        contents[key] = parse_json(metadata[key])
        check_shape(contents[key], shape, key)
    tensors = read_tensors(path)
    for name in contents["masks"]:
        if not name.endswith(_MASK) or _masked(name) not in tensors or name in tensors:
            raise DamagedFile(f"masks must name masks of tensors that it holds, got {shown(name)}")
    implied = {name: tensors[_masked(name)] != 0 for name in contents["masks"]}
    tensors = {name: _widened(tensor) for name, tensor in tensors.items()} | implied
    return contents["layers"], tensors, is_sealed


def _filled(
    path: Path, module: nn.Module, layers: Mapping[str, _StoredLayer], tensors: Mapping[str, Tensor]
) -> nn.Module:
    """Return a copy of the model with the compressed layers and every other tensor of a file."""
    result = copy.deepcopy(module)
    for name, about in layers.items():
        result = set_submodule(result, name, _layer(path, result, name, about, tensors))
    _make_room(result, tensors)
    own = result.state_dict()
    for name, tensor in tensors.items():
        if name in own and _number_kind(tensor) != _number_kind(own[name]):
            raise ValueError(f"module must have {name} of {tensor.dtype}, as {path} has, got {own[name].dtype}")
    try:
        result.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"path must fit this {type(module).__name__}, got {path}: {one_line(error)}") from error
    return result


def _number_kind(tensor: Tensor) -> str:
    """Name the numbers that a tensor holds: those of one kind are converted to each other without loss of meaning."""
    if tensor.is_floating_point() or tensor.is_complex():
        return "complex" if tensor.is_complex() else "real"
    return "bool" if tensor.dtype == torch.bool else "integer"


def _masks(tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name in tensors if name.endswith(_MASK) and _masked(name) in tensors]


def _masked(name: str) -> str:
    return name.removesuffix(_MASK)


def _make_room(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Register the masks, and the orders of blocks, of the layers that stayed dense."""
    present, owners = model.state_dict(), dict(model.named_modules())
    for name, tensor in tensors.items():
        owner, _, own = name.rpartition(".")
        suffix = next((ending for ending in (_MASK, _ORDER) if name.endswith(ending)), None)
        if suffix is None or name in present or owner not in owners:
            continue
        weight = present.get(name.removesuffix(suffix))
        if weight is None:
            raise DamagedFile(f"it must hold masks and orders of weights alone, got {shown(name)}")
        fits = tensor.dtype == torch.bool and tensor.shape == weight.shape
        if suffix == _ORDER:
            fits = tensor.dtype in _INDICES
        if not fits:
            raise DamagedFile(f"{one_line(name)} must fit its weight, got {tensor.dtype} of {tuple(tensor.shape)}")
        owners[owner].register_buffer(own, torch.empty_like(tensor))


def _layer(path: Path, model: nn.Module, name: str, about: _StoredLayer, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return the compressed layer of a name, to replace the model's dense one."""
    dense = dict(model.named_modules()).get(name)
    if not isinstance(dense, KINDS) or _kind(dense) != about["kind"]:
        there = "nothing" if dense is None else type(dense).__name__
        there = _kind(dense) if isinstance(dense, KINDS) else there
        kind, label = one_line(about["kind"]), one_line(name)
        raise ValueError(f"module must have {kind} as {label!r}, as {path} has, got {there}")
    weights = {own: value for own, value in dense.named_parameters(recurse=False) if own.startswith("weight")}
    if set(about["weights"]) != set(weights):
        raise DamagedFile(f"{one_line(name)} must have the weights {sorted(weights)}, got {sorted(about['weights'])}")
    matrices = {}
    for own, stored in about["weights"].items():
        label = f"{name}.{own}" if name else own
        if list(weights[own].shape) != stored["shape"]:
            shape, got = tuple(stored["shape"]), tuple(weights[own].shape)
            raise ValueError(f"module must have {label} of shape {shape}, as {path} has, got {got}")
        height, width = stored["shape"]
        values = tensors.get(f"{label}.values")
        if values is not None and values.is_floating_point() and values.dtype != weights[own].dtype:
            raise ValueError(f"module must have {label} of {values.dtype}, as {path} has, got {weights[own].dtype}")
        try:
            matrices[own] = _matrix(label, stored["layout"], (height, width), tensors)
        except ValueError as error:
            raise DamagedFile(f"{label}: {one_line(error)}") from error
    if isinstance(dense, nn.RNNBase):
        layer: nn.Module = CompressedRecurrent(dense, matrices)
    else:
        layer = CompressedLinear(matrices["weight"], dense.bias)
    return layer.to(next(dense.parameters()).device).train(dense.training)


def _kind(layer: nn.Module) -> str:
    """Name what the layer computes, without its sizes."""
    if not isinstance(layer, nn.RNNBase | CompressedRecurrent):
        return "Linear"
    order = "batch first" if layer.batch_first else "time first"
    directions = ", bidirectional" if layer.bidirectional else ""
    return f"{layer.mode}, {layer.num_layers} layers, {order}{directions}"


def _matrix(name: str, layout: str, shape: tuple[int, int], tensors: Mapping[str, Tensor]) -> StoredMatrix:
    """Return the matrix of a name, of tensors whose types are checked here and whose contents the layout checks."""

    def part(own: str, *, is_index: bool) -> Tensor:
        tensor = tensors.get(f"{name}.{own}")
        if tensor is None:
            raise ValueError(f"{own} must be in the file for the layout {layout}, got none")
        if not (tensor.dtype in _INDICES if is_index else tensor.is_floating_point()):
            raise ValueError(f"{own} must hold {'indices' if is_index else 'real numbers'}, got {tensor.dtype}")
        return tensor

    values, mask = part("values", is_index=False), tensors.get(f"{name}.values_mask")
    if mask is not None and (mask.dtype != torch.bool or mask.shape != values.shape):
        raise ValueError(
            f"values_mask must be bool of shape {tuple(values.shape)}, got {mask.dtype} of {tuple(mask.shape)}"
        )
    if layout == "dense":
        if tuple(values.shape) != shape:
            raise ValueError(f"values must be {shape}, got {tuple(values.shape)}")
        return DenseMatrix(values, mask)
    if layout == "csr":
        return CSRMatrix(shape, values, part("row_starts", is_index=True), part("columns", is_index=True))
    if not _BLOCK.fullmatch(layout) or values.ndim != 3 or layout != f"block{values.shape[-1]}":
        raise ValueError(
            f"layout must be dense, csr or that of its blocks, got {shown(layout)} and values {tuple(values.shape)}"
        )
    rows, columns = part("block_rows", is_index=True), part("block_columns", is_index=True)
    return BlockMatrix(shape, values, rows, columns, mask)


def _narrow(tensor: Tensor) -> Tensor:
    """Copy a tensor for the file, indices as int16 where they fit; safetensors refuses tensors that share memory."""
    if tensor.dtype == torch.int32 and (not tensor.numel() or int(tensor.max()) <= _SHORT):
        tensor = tensor.short()
    return tensor.detach().cpu().contiguous().clone()


def _widened(tensor: Tensor) -> Tensor:
    return tensor.int() if tensor.dtype == torch.int16 else tensor
