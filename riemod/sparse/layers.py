"""Find the layers of a model that can be compressed, and which of their weights were kept."""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from riemod._checks import check_module
from riemod.masks import find_buffer, find_mask, mask_name

__all__ = ["PrunedLayer", "PrunedWeight", "pruned_layers", "skipped_layers"]

# Exactly these: a subclass may compute something else.
KINDS = (nn.RNN, nn.GRU, nn.LSTM, nn.Linear)
_NAMES = ", ".join(f"nn.{kind.__name__}" for kind in KINDS)


class PrunedWeight(NamedTuple):
    """Holds a weight (n, m), and which of its entries are kept."""

    values: Float[Tensor, "n m"]
    kept: Bool[Tensor, "n m"]

    @property
    def has_zeros(self) -> bool:
        """True if any entry is not kept."""
        return not bool(self.kept.all())


class PrunedLayer(NamedTuple):
    """Holds a layer, its names in the model (several if it is shared), and its weights by qualified name."""

    names: tuple[str, ...]
    module: nn.Module
    weights: dict[str, PrunedWeight]

    @property
    def name(self) -> str:
        """The first name of the layer; "" if the layer is the model itself."""
        return self.names[0]


def pruned_layers(module: nn.Module) -> list[PrunedLayer]:
    """Return the layers of a model that can be compressed, in the order of the model.

    Args:
        module: a layer or a model. Kept weights are those that a mask keeps, or without a mask those that are not 0. A
            weight that several layers share is left out, because it would be stored twice.

    Raises:
        TypeError: `module` is no module, or holds no such layer.
        ValueError: a weight is not finite, is not 0 where its mask is False, or has a mask that does not fit.

    >>> [list(layer.weights) for layer in pruned_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))]
    [['0.weight']]
    """
    for name, parameter in check_module("module", module).named_parameters():
        if parameter.is_meta:
            raise ValueError(f"module must have weights, got {name} on the meta device")
    owners, read = _owners(module), _read_by_others(module)
    layers: list[PrunedLayer] = []
    for part, own_names in _named(module).items():
        if _obstacle(part, read) is None:
            prefix = f"{own_names[0]}." if own_names[0] else ""
            weights = {
                prefix + name: _pruned_weight(prefix + name, part, name)
                for name, parameter in part.named_parameters(recurse=False)
                if name.startswith("weight") and owners[id(parameter)] == 1
            }
            layers.append(PrunedLayer(tuple(own_names), part, weights))
    if not layers:
        reasons = "".join(f"; {name or 'it'} {reason}" for name, reason in skipped_layers(module).items())
        raise TypeError(
            f"module must hold a layer that can be compressed ({_NAMES}), got {type(module).__name__}{reasons}"
        )
    return layers


def skipped_layers(module: nn.Module) -> dict[str, str]:
    """Return the pruned layers of a model that cannot be compressed, by name, each with the reason.

    A layer counts as pruned if a mask drops one of its weights, or if half of a matrix without a mask is 0. Embeddings,
    which only look rows up, are left out.

    >>> cell = nn.GRUCell(2, 2)
    >>> cell.weight_hh.data.zero_()[0, 0] = 1.0
    >>> skipped_layers(nn.Sequential(nn.Linear(2, 2), cell))
    {'1': 'is a GRUCell: only nn.RNN, nn.GRU, nn.LSTM, nn.Linear themselves can be compressed'}
    """
    owners, read = _owners(module), _read_by_others(module)
    skipped: dict[str, str] = {}
    for part, (name, *_) in _named(module).items():
        pruned = [] if isinstance(part, nn.Embedding) else _pruned_parameters(part)
        obstacle = _obstacle(part, read)
        shared = [own for own in pruned if owners[id(part.get_parameter(own))] > 1]
        if pruned and obstacle is not None:
            skipped[name] = obstacle
        elif shared:
            skipped[name] = f"shares {', '.join(shared)} with another layer, and it would be stored twice"
    return skipped


def _named(module: nn.Module) -> dict[nn.Module, list[str]]:
    """Return every part of a model with all of its names."""
    names: dict[nn.Module, list[str]] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        names.setdefault(part, []).append(name)
    return names


def _owners(module: nn.Module) -> Counter[int]:
    """Return in how many layers each parameter stands, by its id."""
    return Counter(id(parameter) for part in module.modules() for _, parameter in part.named_parameters(recurse=False))


def _read_by_others(module: nn.Module) -> set[nn.Module]:
    """Return the linear layers whose weights another layer reads itself, instead of calling them."""
    encoders = [part for part in module.modules() if isinstance(part, nn.TransformerEncoderLayer)]
    return {child for encoder in encoders for child in encoder.children() if isinstance(child, nn.Linear)}


def _obstacle(layer: nn.Module, read_by_others: Collection[nn.Module]) -> str | None:
    """Say why a layer cannot be compressed, or return None if it can."""
    if type(layer) not in KINDS:
        return f"is a {type(layer).__name__}: only {_NAMES} themselves can be compressed"
    if layer in read_by_others:
        return "belongs to an nn.TransformerEncoderLayer, which reads the weight itself"
    if isinstance(layer, nn.RNNBase) and layer.proj_size:
        return f"projects its hidden state, proj_size={layer.proj_size}, which is not supported"
    own = dict(layer.named_parameters(recurse=False))
    if any(not own[name].numel() for name in _weight_names(layer) if name in own):
        return "has a weight without rows or columns"
    missing = [name for name in _weight_names(layer) if name not in own]
    if missing:
        return (
            f"computes {', '.join(missing)} from other parameters ({', '.join(own)}) at each forward pass, as weight "
            f"drop and weight norm do: put the weights into a plain nn.{type(layer).__name__} and compress that"
        )
    return None


def _weight_names(layer: nn.Module) -> list[str]:
    """Return the names of the weights that a layer of torch has."""
    if not isinstance(layer, nn.RNNBase):
        return ["weight"]
    suffixes = [
        f"_l{number}{direction}"
        for number in range(layer.num_layers)
        for direction in (("", "_reverse") if layer.bidirectional else ("",))
    ]
    return [f"weight_{kind}{suffix}" for suffix in suffixes for kind in ("ih", "hh")]


def _pruned_parameters(layer: nn.Module) -> list[str]:
    """Return the names of a layer's own weights that a mask prunes, or without a mask half of whose entries are 0."""
    pruned = []
    for name, parameter in layer.named_parameters(recurse=False):
        mask = find_mask(layer, name)
        if mask is not None:
            if not bool(mask.all()):
                pruned.append(name)
        elif parameter.ndim > 1 and 0 < 2 * int(parameter.count_nonzero()) <= parameter.numel():
            pruned.append(name)
    return pruned


def _pruned_weight(name: str, owner: nn.Module, parameter: str) -> PrunedWeight:
    weight = owner.get_parameter(parameter).detach()
    mask = find_mask(owner, parameter)
    other = find_buffer(owner, mask_name(parameter))
    if mask is None and other is not None:
        raise ValueError(
            f"mask of {name} must be bool of shape {tuple(weight.shape)}, got {other.dtype} of {tuple(other.shape)}"
        )
    if not weight.is_floating_point():
        raise ValueError(f"{name} must be floating-point, got {weight.dtype}")
    if not torch.isfinite(weight).all():
        raise ValueError(f"module must have finite weights: {name} must be finite, got NaN or infinity")
    if mask is None:
        return PrunedWeight(weight, weight != 0)
    if bool((weight[~mask] != 0).any()):
        raise ValueError(f"{name} must be 0 where its mask is False, got other values: call the pruner's apply()")
    return PrunedWeight(weight, mask)


def set_submodule(model: nn.Module, name: str, part: nn.Module) -> nn.Module:
    """Put another module under a name of the model and return the model; for the name "" return that module."""
    if not name:
        return part
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, part)
    return model
