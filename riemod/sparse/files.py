"""Write compressed models to safetensors files, kept weights and their indices, and read them."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from riemod._files import write_atomically
from riemod.masks import mask_name
from riemod.sparse.layers import KINDS, set_submodule
from riemod.sparse.layouts import BlockMatrix, CSRMatrix, DenseMatrix, StoredMatrix
from riemod.sparse.recurrent import CompressedLinear, CompressedRecurrent

__all__ = ["load", "save"]

_FORMAT = "riemod.sparse 1"
_MASK = mask_name("")
_SHORT = torch.iinfo(torch.int16).max


def save(module: nn.Module, path: str | Path) -> None:
    """Write a compressed model: 4 bytes for each kept float32 weight, and 2 for its column in up to 32,768 columns.

    Args:
        module: a model that `compress` returned.
        path: of the file, which is written whole or not at all.

    Raises:
        TypeError: `module` is no module.
        OSError: the file cannot be written.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
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
    write_atomically(Path(path), to_bytes(tensors, metadata=metadata))


def load(path: str | Path, module: nn.Module) -> nn.Module:
    """Read a compressed model from its file.

    Args:
        path: of a file that `save` wrote.
        module: a dense model of the same architecture with any weights; it is not changed.

    Returns:
        A copy of the model with the compressed layers of the file, and with every other tensor read from the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, has another format, or does not fit the model.
        TypeError: `module` is no module.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    if not Path(path).is_file():
        raise FileNotFoundError(f"path must be an existing file, got {path}")
    metadata, tensors = _read(path)
    result = copy.deepcopy(module)
    for name, about in json.loads(metadata["layers"]).items():
        result = set_submodule(result, name, _layer(path, result, name, about, tensors))
    _make_room(result, tensors)
    try:
        result.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"path must fit this {type(module).__name__}, got {path}: {error}") from error
    return result


def _read(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise ValueError(f"path must be an undamaged safetensors file, got {path}: {error}") from error
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"path must be a file in the format {_FORMAT!r}, got {path} in {metadata.get('format')!r}")
    implied = {name: tensors[_masked(name)] != 0 for name in json.loads(metadata["masks"])}
    return metadata, {name: _widened(tensor) for name, tensor in tensors.items()} | implied


def _masks(tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name in tensors if name.endswith(_MASK) and _masked(name) in tensors]


def _masked(name: str) -> str:
    return name.removesuffix(_MASK)


def _make_room(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Register the masks, and the orders of blocks, of the layers that stayed dense."""
    present, owners = model.state_dict().keys(), dict(model.named_modules())
    for name, tensor in tensors.items():
        owner, _, own = name.rpartition(".")
        if name.endswith((_MASK, "_order")) and name not in present and owner in owners:
            owners[owner].register_buffer(own, torch.empty_like(tensor))


def _layer(
    path: str | Path, model: nn.Module, name: str, about: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> nn.Module:
    """Return the compressed layer of a name, to replace the model's dense one."""
    dense = dict(model.named_modules()).get(name)
    if not isinstance(dense, KINDS) or _kind(dense) != about["kind"]:
        there = "nothing" if dense is None else type(dense).__name__
        there = _kind(dense) if isinstance(dense, KINDS) else there
        raise ValueError(f"module must have {about['kind']} as {name!r}, as {path} has, got {there}")
    matrices = {
        own: _matrix(f"{name}.{own}" if name else own, stored, tensors) for own, stored in about["weights"].items()
    }
    for own, matrix in matrices.items():
        parameter = dict(dense.named_parameters(recurse=False)).get(own)
        if parameter is None or tuple(parameter.shape) != matrix.shape:
            shape = "no such weight" if parameter is None else tuple(parameter.shape)
            raise ValueError(f"module must have {name}.{own} of shape {matrix.shape}, as {path} has, got {shape}")
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


def _matrix(name: str, about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> StoredMatrix:
    shape = (int(about["shape"][0]), int(about["shape"][1]))
    values, mask = tensors[f"{name}.values"], tensors.get(f"{name}.values_mask")
    if about["layout"] == "dense":
        return DenseMatrix(values, mask)
    if about["layout"] == "csr":
        return CSRMatrix(shape, values, tensors[f"{name}.row_starts"], tensors[f"{name}.columns"])
    return BlockMatrix(shape, values, tensors[f"{name}.block_rows"], tensors[f"{name}.block_columns"], mask)


def _narrow(tensor: Tensor) -> Tensor:
    """Copy a tensor for the file, indices as int16 where they fit; safetensors refuses tensors that share memory."""
    if tensor.dtype == torch.int32 and (not tensor.numel() or int(tensor.max()) <= _SHORT):
        tensor = tensor.short()
    return tensor.detach().cpu().contiguous().clone()


def _widened(tensor: Tensor) -> Tensor:
    return tensor.int() if tensor.dtype == torch.int16 else tensor
