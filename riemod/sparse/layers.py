"""Find the layers of a model that can be compressed, and which of their weights were kept."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from riemod.masks import find_buffer, find_mask, mask_name

__all__ = ["PrunedLayer", "PrunedWeight", "pruned_layers"]

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
        TypeError: `module` is no module, holds no such layer, or has a mask on a layer of another kind.
        ValueError: a weight is not finite, is not 0 where its mask is False, or has a mask that does not fit.

    >>> [list(layer.weights) for layer in pruned_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))]
    [['0.weight']]
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    names: dict[nn.Module, list[str]] = {}
    owners: dict[int, int] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        names.setdefault(part, []).append(name)
    for part in names:
        for _, parameter in part.named_parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    layers: list[PrunedLayer] = []
    for part, own_names in names.items():
        if type(part) not in KINDS:
            _check_unmasked(own_names[0], part)
            continue
        prefix = f"{own_names[0]}." if own_names[0] else ""
        weights = {
            prefix + name: _pruned_weight(prefix + name, part, name)
            for name, parameter in part.named_parameters(recurse=False)
            if name.startswith("weight") and owners[id(parameter)] == 1
        }
        layers.append(PrunedLayer(tuple(own_names), part, weights))
    if not layers:
        raise TypeError(f"module must hold a layer that can be compressed ({_NAMES}), got {type(module).__name__}")
    return layers


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
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    if mask is None:
        return PrunedWeight(weight, weight != 0)
    if bool((weight[~mask] != 0).any()):
        raise ValueError(f"{name} must be 0 where its mask is False, got other values: call the pruner's apply()")
    return PrunedWeight(weight, mask)


def _check_unmasked(name: str, module: nn.Module) -> None:
    """Raise a TypeError if a layer of another kind was pruned; an embedding, which only looks rows up, may be."""
    masked = [own for own, _ in module.named_parameters(recurse=False) if find_mask(module, own) is not None]
    if masked and not isinstance(module, nn.Embedding):
        raise TypeError(
            f"module must have masks on {_NAMES} alone, got {name or 'itself'}, a pruned {type(module).__name__}, "
            "which cannot be compressed"
        )


def set_submodule(model: nn.Module, name: str, part: nn.Module) -> nn.Module:
    """Put another module under a name of the model and return the model; for the name "" return that module."""
    if not name:
        return part
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, part)
    return model
