"""Which layers of a model can be compressed, and which of their weights were kept."""

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
    """A weight (n, m), and which of its entries are kept."""

    values: Float[Tensor, "n m"]
    kept: Bool[Tensor, "n m"]

    @property
    def has_zeros(self) -> bool:
        """Whether any entry is not kept."""
        return not bool(self.kept.all())


class PrunedLayer(NamedTuple):
    """A layer, its names in the model (several if it is shared), and its weights by qualified name."""

    names: tuple[str, ...]
    module: nn.Module
    weights: dict[str, PrunedWeight]

    @property
    def name(self) -> str:
        """Its first name; "" for a layer that is itself the model."""
        return self.names[0]


def pruned_layers(module: nn.Module) -> list[PrunedLayer]:
    """The layers of a model that can be compressed, in its order.

    Args:
        module: a layer or a model. Kept is what a layer's masks say, or what is not 0 where there is none. A weight
            that several layers share is left out, for it would be stored twice.

    Raises:
        TypeError: if it is no module, holds no such layer, or a layer of another kind has a mask.
        ValueError: for a weight that is not finite, not 0 where its mask is False, or has a mask that does not fit.

    >>> [list(layer.weights) for layer in pruned_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))]
    [['0.weight']]
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
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
        raise TypeError(f"module: holds no layer that can be compressed ({_NAMES}), got {type(module).__name__}")
    return layers


def _pruned_weight(name: str, owner: nn.Module, parameter: str) -> PrunedWeight:
    weight = owner.get_parameter(parameter).detach()
    mask = find_mask(owner, parameter)
    other = find_buffer(owner, mask_name(parameter))
    if mask is None and other is not None:
        raise ValueError(
            f"{name}: its mask must be bool of shape {tuple(weight.shape)}, got {other.dtype} of {tuple(other.shape)}"
        )
    if not weight.is_floating_point():
        raise ValueError(f"{name}: must be floating-point, got {weight.dtype}")
    if not torch.isfinite(weight).all():
        raise ValueError(f"{name}: holds NaN or infinity")
    if mask is None:
        return PrunedWeight(weight, weight != 0)
    if bool((weight[~mask] != 0).any()):
        raise ValueError(f"{name}: is not 0 where its mask is False; call the pruner's apply() before")
    return PrunedWeight(weight, mask)


def _check_unmasked(name: str, module: nn.Module) -> None:
    """Raise TypeError if a layer that stays as it is was pruned; an embedding's rows are looked up, not multiplied."""
    masked = [own for own, _ in module.named_parameters(recurse=False) if find_mask(module, own) is not None]
    if masked and not isinstance(module, nn.Embedding):
        raise TypeError(
            f"module: {name or 'it'} is a pruned {type(module).__name__}, which cannot be compressed; {_NAMES} can"
        )


def set_submodule(model: nn.Module, name: str, part: nn.Module) -> nn.Module:
    """The model with another module under that name; the module itself for the name ""."""
    if not name:
        return part
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, part)
    return model
