"""Find the parameters of a model that are to be pruned, by default or by name, and check that they can be."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import Module, Parameter
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList

from riemod._checks import shown
from riemod.manifolds._geoopt import geoopt
from riemod.masks import find_mask, mask_name

__all__ = ["Place", "Targets", "find_places"]

# h0, c_0, hidden0, initial_state, init_hidden, state_init and the like.
_STATE = "(h|c|hidden|cell|state)s?"
_FIRST_STATE = re.compile(rf"{_STATE}_?0|(init|initial|start|first)_?{_STATE}|{_STATE}_?(init|initial)")

Targets = Sequence[str] | Sequence[tuple[Module, str]]


class Place(NamedTuple):
    """Says where a parameter stands in a model.

    The parameter is looked up at each use, because loading or moving a model may put another tensor in its place.
    """

    name: str
    owner: Module
    attribute: str

    @property
    def parameter(self) -> Parameter:
        """The parameter that stands there now."""
        return self.owner.get_parameter(self.attribute)

    @property
    def mask(self) -> Tensor:
        """The mask of the parameter, a buffer of its owner."""
        return self.owner.get_buffer(mask_name(self.attribute))


def find_places(model: Module, targets: Targets | None) -> tuple[Place, ...]:
    """Return the places to prune in the order of the model, each parameter once.

    Args:
        model: holds the parameters.
        targets: qualified names or (module, name) pairs; None takes every floating-point parameter with two or more
            dimensions that holds no points of a manifold, and that has a mask, or is trained and is neither a learned
            first state of a recurrent layer, nor a gain of a layer norm, nor the lengths of old weight norm.

    Raises:
        TypeError: `targets` of another type.
        ValueError: an unknown target, one that cannot be pruned, or no target at all.
    """
    places = [
        Place(f"{prefix}.{name}" if prefix else name, owner, name)
        for prefix, owner in model.named_modules(remove_duplicate=False)
        for name, _ in owner.named_parameters(recurse=False, remove_duplicate=False)
    ]
    # A shared parameter goes by its first name, unless an earlier pruner has put its mask beside another one.
    first: dict[int, Place] = {}
    for place in sorted(places, key=lambda place: find_mask(place.owner, place.attribute) is None):
        first.setdefault(id(place.parameter), place)
    if targets is None:
        chosen = [place for place in places if _is_weight(place)]
    else:
        chosen = [_find(model, places, target) for target in _as_list(targets)]
    chosen_places = dict.fromkeys(first[id(place.parameter)] for place in chosen)
    if not chosen_places:
        if targets is not None:
            raise ValueError(f"targets must name at least one of {_names(places)}, got none: there is nothing to prune")
        raise ValueError(
            f"model must have a floating-point weight of two or more dimensions, got {_names(places)}: there is "
            "nothing to prune"
        )
    for place in chosen_places:
        _check_prunable(place)
    order = {place: index for index, place in enumerate(places)}
    return tuple(sorted(chosen_places, key=order.__getitem__))


def _as_list(targets: Targets) -> Sequence[str | tuple[Module, str]]:
    if isinstance(targets, str) or not isinstance(targets, Sequence):
        raise TypeError(f"targets must be a list of names or of (module, name) pairs, got {shown(targets)}")
    return targets


def _find(model: Module, places: Sequence[Place], target: str | tuple[Module, str]) -> Place:
    if isinstance(target, str):
        found = next((place for place in places if place.name == target), None)
        if found is None:
            raise ValueError(f"targets must be among {_names(places)}, got {shown(target)}")
        return found
    if not (isinstance(target, tuple) and len(target) == 2 and isinstance(target[0], Module)):
        raise TypeError(f"targets must hold names or (module, name) pairs, got {shown(target)}")
    owner, attribute = target
    if all(owner is not module for module in model.modules()):
        raise ValueError(f"targets must be in the model, got a {type(owner).__name__} that is not a part of the model")
    own = [place for place in places if place.owner is owner]
    found = next((place for place in own if place.attribute == attribute), None)
    if found is None:
        names = ", ".join(place.attribute for place in own) or "none"
        raise ValueError(
            f"targets must name parameters, got {attribute!r} in this {type(owner).__name__}; it has {names}"
        )
    return found


def _is_weight(place: Place) -> bool:
    if is_lazy(place.parameter):
        return True
    if isinstance(place.parameter, geoopt.ManifoldParameter) or not place.parameter.is_floating_point():
        return False
    if place.parameter.ndim < 2 or place.parameter.numel() == 0:
        return False
    if find_mask(place.owner, place.attribute) is not None:
        return True
    return place.parameter.requires_grad and not (_is_length(place) or _is_first_state(place))


def _is_length(place: Place) -> bool:
    """Return whether the parameter scales whole rows: of old weight norm, or a layer norm's gain."""
    stem, _, ending = place.attribute.rpartition("_")
    own = dict(place.owner.named_parameters(recurse=False))
    return (ending == "g" and f"{stem}_v" in own) or isinstance(place.owner, nn.LayerNorm | nn.RMSNorm)


def _is_first_state(place: Place) -> bool:
    """Return whether the parameter is named like a first state, or has the shape of one for a layer beside it."""
    if _FIRST_STATE.fullmatch(place.attribute):
        return True
    shape = tuple(place.parameter.shape)
    for layer in place.owner.children():
        if isinstance(layer, nn.RNNBase):
            rows = layer.num_layers * (2 if layer.bidirectional else 1)
            if any(shape in ((rows, 1, size), (rows, size)) for size in {layer.hidden_size, layer.proj_size} - {0}):
                return True
        if isinstance(layer, nn.RNNCellBase) and shape == (1, layer.hidden_size):
            return True
    return False


def _check_prunable(place: Place) -> None:
    """Raise a ValueError if entries of the parameter cannot be set to 0, or if that would not set weights to 0."""
    if is_lazy(place.parameter):
        raise ValueError(
            f"model must have weights with shapes, got {place.name} without one: run the model once before building a "
            "pruner"
        )
    if isinstance(place.parameter, geoopt.ManifoldParameter):
        raise ValueError(
            f"targets must be weights, got {place.name}, which holds points of a manifold (geoopt.ManifoldParameter)"
        )
    if not place.parameter.is_floating_point() or place.parameter.numel() == 0 or place.parameter.ndim == 0:
        shape, dtype = tuple(place.parameter.shape), place.parameter.dtype
        raise ValueError(f"targets must be non-empty float tensors, got {place.name}, {dtype} of shape {shape}")
    if isinstance(place.owner, ParametrizationList):
        raise ValueError(
            f"targets must be plain parameters, got {place.name}, which belongs to a parametrization "
            "(torch.nn.utils.parametrize), so its zeros are not the weight's: remove the parametrization, or choose "
            "other targets"
        )


def _names(places: Sequence[Place]) -> str:
    return ", ".join(place.name for place in places) or "none"
