"""Magnitude pruning: the smallest weights go, and never come back."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList
from torch.optim import Optimizer

from riemod.manifolds._geoopt import geoopt
from riemod.pruning.masks import (
    check_mask_name_is_free,
    find_mask,
    mask_gradients,
    mask_name,
    mask_optimizer_state,
    register_mask,
    zero_pruned,
)
from riemod.pruning.schedules import ConstantSchedule, Schedule, check_sparsity
from riemod.pruning.selection import drop_smallest

__all__ = ["MagnitudePruner"]

Scope = Literal["global", "tensor"]
Targets = Sequence[str] | Sequence[tuple[Module, str]]


class _Place(NamedTuple):
    """Where a parameter lives. It is looked up each time: loading or moving a model may put another tensor there."""

    name: str
    owner: Module
    attribute: str

    @property
    def parameter(self) -> Parameter:
        return self.owner.get_parameter(self.attribute)

    @property
    def mask(self) -> Tensor:
        return self.owner.get_buffer(mask_name(self.attribute))


class MagnitudePruner:
    """Zeroes the round(sparsity * total) weights of least |w|, ranked over all targets together or in each alone.

    Weights that were pruned stay pruned: they rank first, and a lower sparsity than the present one changes nothing.
    Ties go by the order of the tensors in the model, then by flat index. The masks are buffers of the model
    (`riemod.pruning.masks`), so a pruner on a model, or a loaded checkpoint, that has masks continues from these, and
    copying model and pruner in one deepcopy keeps them together. Parameters are changed in place, never replaced.

    Args:
        model: its weights are changed only by `prune`, `start_epoch` and `apply`; building a pruner adds the masks.
        schedule: sparsity for each epoch (from 0), for `start_epoch`.
        targets: qualified parameter names, or (module, parameter name) pairs. By default every floating-point
            parameter with two or more dimensions: embeddings, input, hidden and output weights, no biases, and no
            geoopt ManifoldParameters. A parameter that is shared (tied) counts once, under its first name.
        scope: "global" ranks all targets together, "tensor" prunes each to the same sparsity.

    Raises:
        TypeError: an argument of another type.
        ValueError: an unknown scope or target, a target that cannot be pruned, nothing to prune, or a module that
            uses a mask's name for something else. The model is then as it was.

    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> _ = model.load_state_dict({"weight": torch.tensor([[4.0, -1.0], [2.0, 3.0]])})
    >>> pruner = MagnitudePruner(model)
    >>> pruner.prune(0.5)
    >>> model.weight.tolist(), pruner.sparsity()
    ([[4.0, 0.0], [0.0, 3.0]], {'weight': 0.5, 'total': 0.5})
    """

    def __init__(
        self,
        model: Module,
        schedule: Schedule | None = None,
        *,
        targets: Targets | None = None,
        scope: Scope = "global",
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
        if schedule is not None and not callable(schedule):
            raise TypeError(f"schedule: expected a callable epoch -> sparsity or None, got {schedule!r}")
        if scope not in ("global", "tensor"):
            raise ValueError(f'scope: expected "global" or "tensor", got {scope!r}')
        self.model = model
        self.schedule = schedule
        self.scope: Scope = scope
        self._places = _resolve(model, targets)
        for place in self._places:
            check_mask_name_is_free(place.owner, place.attribute)
        for place in self._places:
            register_mask(place.owner, place.attribute)

    def start_epoch(self, epoch: int) -> float:
        """Prune to `schedule(epoch)` and return that sparsity; epochs count from 0.

        Raises:
            ValueError: no schedule, a negative epoch, or as `prune`.
        """
        if self.schedule is None:
            raise ValueError("schedule: this pruner was built without one; give it a schedule, or call prune(sparsity)")
        sparsity = self.schedule(epoch)
        self.prune(sparsity)
        return sparsity

    def prune(self, sparsity: float) -> None:
        """Drop the smallest weights until exactly round(sparsity * total) are dropped, and set these to 0.

        Args:
            sparsity: fraction of zeros, in [0, 1]; below the present one it changes no mask.

        Raises:
            TypeError: `sparsity` is no number.
            ValueError: `sparsity` outside [0, 1], or a target holds NaN or infinity; nothing was changed.
        """
        check_sparsity("sparsity", sparsity)
        for place in self._places:
            if not torch.isfinite(place.parameter).all():
                raise ValueError(f"model: {place.name} holds NaN or infinity, so its weights have no order; not pruned")
        pools = [self._places] if self.scope == "global" else [(place,) for place in self._places]
        selected: list[Tensor] = []
        for pool in pools:
            weights, masks = [place.parameter for place in pool], [place.mask for place in pool]
            total = sum(weight.numel() for weight in weights)
            selected += drop_smallest(weights, masks, round(float(sparsity) * total))
        for place, mask in zip(self._places, selected, strict=True):
            place.mask.copy_(mask)
            place.parameter.detach().masked_fill_(~mask, 0)

    def apply(self, optimizer: Optimizer | None = None) -> None:
        """Set pruned weights back to 0, in place; call it after each `optimizer.step()`, unless masks are attached.

        Args:
            optimizer: if given, the gradients of pruned weights and its moments for them are zeroed as well.
        """
        for place in self._places:
            zero_pruned(place.parameter, place.mask)
        if optimizer is not None:
            self.mask_gradients()
            mask_optimizer_state(optimizer, ((place.parameter, place.mask) for place in self._places))

    def mask_gradients(self) -> None:
        """Zero the gradients of pruned weights, so that clipping by the norm sees only what will be used."""
        mask_gradients((place.parameter, place.mask) for place in self._places)

    def freeze(self) -> None:
        """Replace the schedule by a constant one at the present sparsity, so that `start_epoch` prunes no further."""
        present = self.sparsity()
        total = present.pop("total")
        self.schedule = ConstantSchedule(total if self.scope == "global" else min(present.values()))

    def sparsity(self) -> dict[str, float]:
        """Fraction of pruned entries of each target by name, and of all targets together as "total"."""
        sizes = {place.name: place.mask.numel() for place in self._places}
        pruned = {place.name: sizes[place.name] - int(place.mask.count_nonzero()) for place in self._places}
        result = {name: pruned[name] / sizes[name] for name in sizes}
        result["total"] = sum(pruned.values()) / sum(sizes.values())
        return result

    def masks(self) -> dict[str, Bool[Tensor, "..."]]:
        """The mask of each target by name, True where kept: the model's own buffers, not copies."""
        return {place.name: place.mask for place in self._places}


def _resolve(model: Module, targets: Targets | None) -> tuple[_Place, ...]:
    """The places to prune, each parameter once."""
    places = [
        _Place(f"{prefix}.{name}" if prefix else name, owner, name)
        for prefix, owner in model.named_modules(remove_duplicate=False)
        for name, _ in owner.named_parameters(recurse=False, remove_duplicate=False)
    ]
    # Under its first name, unless an earlier pruner has put the mask of a shared parameter elsewhere.
    first: dict[int, _Place] = {}
    for place in sorted(places, key=lambda place: find_mask(place.owner, place.attribute) is None):
        first.setdefault(id(place.parameter), place)
    if targets is None:
        chosen = [place for place in places if _is_weight(place)]
    else:
        chosen = [_find(model, places, target) for target in _as_list(targets)]
    chosen_places = dict.fromkeys(first[id(place.parameter)] for place in chosen)
    if not chosen_places:
        what = "targets: empty list" if targets is not None else "model: no floating-point weight of two dimensions"
        raise ValueError(f"{what}: nothing to prune; parameters are {_names(places)}")
    for place in chosen_places:
        _check_prunable(place)
    order = {place: index for index, place in enumerate(places)}
    return tuple(sorted(chosen_places, key=order.__getitem__))


def _as_list(targets: Targets) -> Sequence[str | tuple[Module, str]]:
    if isinstance(targets, str) or not isinstance(targets, Sequence):
        raise TypeError(f"targets: expected a list of names or of (module, name) pairs, got {targets!r}")
    return targets


def _find(model: Module, places: Sequence[_Place], target: str | tuple[Module, str]) -> _Place:
    if isinstance(target, str):
        found = next((place for place in places if place.name == target), None)
        if found is None:
            raise ValueError(f"targets: no parameter {target!r} in the model; there are {_names(places)}")
        return found
    if not (isinstance(target, tuple) and len(target) == 2 and isinstance(target[0], Module)):
        raise TypeError(f"targets: expected a name or a (module, name) pair, got {target!r}")
    owner, attribute = target
    if all(owner is not module for module in model.modules()):
        raise ValueError(f"targets: this {type(owner).__name__} is not a part of the model")
    own = [place for place in places if place.owner is owner]
    found = next((place for place in own if place.attribute == attribute), None)
    if found is None:
        names = ", ".join(place.attribute for place in own) or "none"
        raise ValueError(f"targets: no parameter {attribute!r} in this {type(owner).__name__}; it has {names}")
    return found


def _is_weight(place: _Place) -> bool:
    if is_lazy(place.parameter):
        return True
    if isinstance(place.parameter, geoopt.ManifoldParameter) or not place.parameter.is_floating_point():
        return False
    return place.parameter.ndim >= 2 and place.parameter.numel() > 0


def _check_prunable(place: _Place) -> None:
    """Raise ValueError if zeroing entries of the parameter would be impossible or would not zero weights."""
    if is_lazy(place.parameter):
        raise ValueError(f"model: {place.name} has no shape yet; run the model once before building a pruner")
    if isinstance(place.parameter, geoopt.ManifoldParameter):
        raise ValueError(f"targets: {place.name} holds points of a manifold (geoopt.ManifoldParameter), not weights")
    if not place.parameter.is_floating_point() or place.parameter.numel() == 0 or place.parameter.ndim == 0:
        shape, dtype = tuple(place.parameter.shape), place.parameter.dtype
        raise ValueError(f"targets: {place.name} is {dtype} of shape {shape}; only non-empty float tensors are pruned")
    if isinstance(place.owner, ParametrizationList):
        raise ValueError(
            f"model: {place.name} belongs to a parametrization (torch.nn.utils.parametrize), so its zeros are not the "
            "weight's; remove the parametrization, or choose other targets"
        )


def _names(places: Sequence[_Place]) -> str:
    return ", ".join(place.name for place in places) or "none"
