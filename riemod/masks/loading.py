"""Masks of a checkpoint given to a model that has none, and masks found again from the zeros of its weights."""

import warnings
import weakref
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import Module

from riemod._checks import check_items, check_mapping, check_module, shown
from riemod.masks.buffers import (
    add_mask,
    apply_masks,
    find_mask,
    keep_mask,
    mask_name,
    owner_of,
    register_mask,
)

__all__ = ["masks_from_zeros", "restore_masks", "take_masks_in_loading", "warn_of_masks_left_out"]

_SUFFIX = mask_name("")
_TAKING: "weakref.WeakSet[Module]" = weakref.WeakSet()


def restore_masks(model: Module, state_dict: Mapping[str, Tensor]) -> dict[str, Bool[Tensor, "..."]]:
    """Give a model the masks that a state dict holds, and set its pruned weights to 0.

    torch's `load_state_dict` refuses the masks of a pruned model as unexpected keys (`weight_mask`) if the model that
    loads has none; with `strict=False`, as in Hugging Face's `from_pretrained`, it leaves them out, and training then
    fills the weights. (A model under `attach_masks`, an optimizer of `riemod.optim` or a `MagnitudePruner` takes the
    masks of a state by itself.) Call this before `load_state_dict(state_dict)`, which then loads strictly, or after a
    loading that left the masks out. In a LightningModule call it in `on_load_checkpoint(self, checkpoint)`, with
    `checkpoint["state_dict"]`.

    Args:
        model: changed in place. A mask that a parameter already has is replaced.
        state_dict: of a pruned model with the same names, as from `torch.load` or `safetensors.torch.load_file`.

    Returns:
        The masks by the names of their parameters: the model's own buffers, not copies.

    Raises:
        ValueError: the state dict holds no masks, or masks for other parameters than those of the model. Nothing was
            changed.

    >>> pruned, fresh = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    >>> apply_masks(pruned, {"weight": torch.tensor([[True, False]])})
    >>> sorted(restore_masks(fresh, pruned.state_dict()))
    ['weight']
    >>> fresh.load_state_dict(pruned.state_dict())
    <All keys matched successfully>
    """
    check_module("model", model)
    check_mapping("state_dict", state_dict, "a state dict")
    masks = {key.removesuffix(_SUFFIX): value for key, value in state_dict.items() if _is_mask(key, state_dict)}
    if not masks:
        raise ValueError(
            f"state_dict must hold masks (bool, named <parameter>{_SUFFIX}), got none among {len(state_dict)} entries: "
            "if pruned weights are 0 in it, load it and call riemod.masks.masks_from_zeros(model)"
        )
    apply_masks(model, masks)
    return _masks_of(model, masks)


def masks_from_zeros(model: Module, names: Collection[str] | None = None) -> dict[str, Bool[Tensor, "..."]]:
    """Mask the weights of a model that are exactly 0, so that training keeps them at 0.

    For a pruned model whose masks were lost: by `load_state_dict(strict=False)`, by an export, or by averages that made
    the masks True. A mask that a parameter already has loses the entries whose weight is 0.

    Args:
        model: its weights do not change; masks are added.
        names: qualified names of the parameters to mask. By default all that hold a 0, are floating-point, have two or
            more dimensions and are no points on a manifold. So a row of an embedding that is 0 (`padding_idx`) is
            masked as well.

    Returns:
        The masks by the names of their parameters: the model's own buffers, not copies. Empty if there are no zeros.

    Raises:
        ValueError: a name that is no parameter, a module that uses the name of a mask for something else, or, without
            names, a parameter with zeros alone: it was either pruned as a whole or initialized at 0. Nothing was
            changed.

    >>> layer = torch.nn.Linear(2, 1)
    >>> with torch.no_grad(): _ = layer.weight.copy_(torch.tensor([[3.0, 0.0]]))
    >>> masks_from_zeros(layer)
    {'weight': tensor([[ True, False]])}
    """
    parameters = dict(check_module("model", model).named_parameters())
    if names is not None:
        names = check_items("names", names, "names of parameters, or None")
    for name in () if names is None else names:
        if not isinstance(name, str) or name not in parameters:
            raise ValueError(f"names must be parameters of the model, {', '.join(parameters)}, got {shown(name)}")
    if any(parameter.is_meta for parameter in parameters.values()):
        raise ValueError("model must have weights, got parameters on the meta device")
    masks = {}
    for name, parameter in parameters.items():
        if not (_is_weight(parameter) if names is None else name in names):
            continue
        kept = parameter.detach() != 0
        if names is None and not kept.any():
            raise ValueError(
                f"names must say whether {name!r} was pruned as a whole or starts at 0, got None: name the parameters "
                "to mask"
            )
        if not kept.all():
            owner, own = owner_of(model, name)
            mask = find_mask(owner, own)
            masks[name] = kept if mask is None else kept & mask
    apply_masks(model, masks)
    return _masks_of(model, masks)


def take_masks_in_loading(model: Module) -> None:
    """Let `model.load_state_dict` take the masks of a pruned model's state for parameters that have none, from now on.

    Otherwise torch refuses them as unexpected keys, or leaves them out with `strict=False`.

    >>> pruned, fresh = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    >>> apply_masks(pruned, {"weight": torch.tensor([[True, False]])})
    >>> take_masks_in_loading(fresh)
    >>> fresh.load_state_dict(pruned.state_dict())
    <All keys matched successfully>
    """
    if model not in _TAKING:
        _TAKING.add(model)
        model.register_load_state_dict_pre_hook(_take_masks)


def warn_of_masks_left_out(unexpected: Sequence[str]) -> None:
    """Warn of masks among the keys of a state for which the model that loads it has no place, and say what to do."""
    masks = [key for key in unexpected if key.endswith(_SUFFIX)]
    if masks:
        warnings.warn(
            f"state_dict holds {masks[0]}, for which the model has no place: if it is of a pruned model, call "
            "riemod.masks.restore_masks(model, state_dict) before load_state_dict; without its masks training fills "
            "the pruned weights",
            stacklevel=2,
        )


def _take_masks(model: Module, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
    """Make a place for each mask of the state that fits; it runs before the model and its parts load the state."""
    for path, owner in model.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            key = f"{prefix}{path}.{mask_name(name)}" if path else prefix + mask_name(name)
            free = getattr(owner, mask_name(name), None) is None
            if free and _is_mask(key, state_dict) and state_dict[key].shape == parameter.shape:
                # torch is about to go through this module's own hooks, so there none can be added.
                (add_mask if owner is model else register_mask)(owner, name)
            if owner is model:
                keep_mask(name, owner, state_dict, prefix)


def _is_mask(key: str, state_dict: Mapping[str, Any]) -> bool:
    value = state_dict.get(key)
    return (
        key.endswith(_SUFFIX) and key.removesuffix(_SUFFIX) in state_dict and getattr(value, "dtype", 0) is torch.bool
    )


def _is_weight(parameter: Tensor) -> bool:
    # geoopt gives points the attribute `manifold`.
    return parameter.ndim >= 2 and parameter.is_floating_point() and getattr(parameter, "manifold", None) is None


def _masks_of(model: Module, names: Collection[str]) -> dict[str, Tensor]:
    return {name: register_mask(*owner_of(model, name)) for name in names}
