"""Bool masks in buffers beside their parameters: named, found, registered, and applied."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn import Module, Parameter

from riemod._checks import check_mapping, check_module, check_text, kind_of
from riemod._torch import uncoalesced_parts

__all__ = [
    "add_mask",
    "apply_masks",
    "check_mask_name_is_free",
    "fill_pruned",
    "find_buffer",
    "find_mask",
    "keep_mask",
    "mask_name",
    "masked_parameters",
    "owner_of",
    "register_mask",
    "zero_pruned",
]

# On CPU, float.mul_(bool) converts the whole mask to float first. Pieces of 2^18 keep that copy in the cache: 12 ms
# instead of 40 ms for 4096 x 4096 on one core, where masked_fill_ takes 24-61 ms.
_PIECE = 1 << 18


def mask_name(parameter_name: str) -> str:
    """Return the name of the buffer that masks a parameter of the same module.

    >>> mask_name("weight_hh_l0")
    'weight_hh_l0_mask'
    """
    return f"{check_text('parameter_name', parameter_name)}_mask"


def owner_of(model: Module, name: str) -> tuple[Module, str]:
    """Return the module that owns a parameter, and the parameter's name there.

    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 1))
    >>> owner_of(net, "0.weight")
    (Linear(in_features=2, out_features=1, bias=True), 'weight')
    """
    path, _, own = name.rpartition(".")
    return model.get_submodule(path), own


def find_buffer(owner: Module, name: str) -> Tensor | None:
    """Return a module's own buffer by its name without dots, or None if there is none.

    >>> find_buffer(torch.nn.BatchNorm1d(2), "running_mean").shape, find_buffer(torch.nn.Linear(2, 2), "weight")
    (torch.Size([2]), None)
    """
    return _own_buffers(check_module("owner", owner)).get(check_text("name", name))


def find_mask(owner: Module, parameter_name: str) -> Bool[Tensor, "..."] | None:
    """Return the mask of `owner.<parameter_name>`, or None: the bool buffer of that name with the parameter's shape.

    >>> find_mask(torch.nn.Linear(2, 2), "weight") is None
    True
    """
    buffers = _own_buffers(check_module("owner", owner))
    if mask_name(parameter_name) not in buffers:
        return None
    return _mask_among(buffers, parameter_name, owner.get_parameter(parameter_name))


def register_mask(owner: Module, parameter_name: str) -> Bool[Tensor, "..."]:
    """Return the mask of `owner.<parameter_name>`; if there is none, register one that keeps every entry.

    From then on `load_state_dict` also loads a state without masks, as of a dense model: the masks stay, and pruned
    weights are loaded as 0. A state that holds masks is loaded as it is.

    Args:
        owner: the module that owns the parameter.
        parameter_name: the parameter's name in `owner`, without dots.

    Returns:
        The mask, of the parameter's shape and on its device; the buffer itself, not a copy.

    Raises:
        ValueError: `owner` has no such parameter, or uses the mask's name for something else.

    >>> layer = torch.nn.Linear(3, 2)
    >>> register_mask(layer, "weight").all().item(), sorted(layer.state_dict())
    (True, ['bias', 'weight', 'weight_mask'])
    """
    mask = find_mask(owner, parameter_name)
    if mask is None:
        mask = add_mask(owner, parameter_name)
        owner.register_load_state_dict_pre_hook(partial(keep_mask, parameter_name))
    return mask


def add_mask(owner: Module, parameter_name: str) -> Bool[Tensor, "..."]:
    """Register a mask that keeps every entry, for a parameter that has none; see `register_mask`."""
    own = dict(owner.named_parameters(recurse=False, remove_duplicate=False))
    if parameter_name not in own:
        raise ValueError(
            f"parameter_name must be one of the module's own parameters, {', '.join(own) or 'of which it has none'}"
            f", got {parameter_name!r:.80}"
        )
    check_mask_name_is_free(owner, parameter_name)
    mask = torch.ones_like(owner.get_parameter(parameter_name), dtype=torch.bool, requires_grad=False)
    owner.register_buffer(mask_name(parameter_name), mask)
    return mask


def check_mask_name_is_free(owner: Module, parameter_name: str) -> None:
    """Raise a ValueError if `owner` has an attribute by the mask's name that is not this parameter's mask."""
    name = mask_name(parameter_name)
    if find_mask(owner, parameter_name) is None and getattr(owner, name, None) is not None:
        raise ValueError(
            f"{type(owner).__name__} already has an attribute {name!r} that is not a bool buffer of the shape "
            f"{tuple(owner.get_parameter(parameter_name).shape)} of {parameter_name!r}: masks need that name"
        )


def masked_parameters(module: Module) -> Iterator[tuple[str, Parameter, Tensor]]:
    """Yield every masked parameter of a module and its submodules in module order, a shared one once.

    Args:
        module: any module; its masks are found by the names of its buffers.

    Yields:
        Qualified name, parameter, and its bool mask of the same shape.

    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    >>> _ = register_mask(net[1], "weight")
    >>> [name for name, parameter, mask in masked_parameters(net)]
    ['1.weight']
    """
    seen: set[int] = set()
    for prefix, owner in check_module("module", module).named_modules():
        buffers = _own_buffers(owner)
        if not buffers:
            continue
        for name, parameter in owner.named_parameters(recurse=False):
            mask = _mask_among(buffers, name, parameter)
            if mask is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                yield (f"{prefix}.{name}" if prefix else name), parameter, mask


@torch.no_grad()
def apply_masks(model: Module, masks: Mapping[str, Tensor]) -> None:
    """Set w <- mask * w for every parameter that is named, and keep the masks as buffers beside their parameters.

    `MagnitudePruner`, `attach_masks`, riemod's optimizers, `sparsity_aware` and tickets find the masks from then on. A
    mask that a parameter already has is replaced; weights that were 0 stay 0. Afterwards draw the weights that are left
    (`riemod.initialization.sparsity_aware`), then make the optimizer.

    Args:
        model: changed in place.
        masks: bool, True where kept, by the qualified name of the parameter. Each mask has the shape of its parameter;
            for a recurrent layer's (gates * n, m) it may be (n, m), which is repeated for each gate.

    Raises:
        TypeError: a model or mask of another type.
        ValueError: a name that is no parameter, a mask of another shape, two names of one tensor, a parameter whose
            mask stands beside another of its names, or a module that uses a mask's name for something else. Nothing was
            changed.

    >>> layer = nn.GRU(2, 3)
    >>> apply_masks(layer, {"weight_hh_l0": torch.eye(3) > 0})
    >>> int(layer.weight_hh_l0.count_nonzero()), layer.weight_hh_l0_mask.shape
    (9, torch.Size([9, 3]))
    """
    parameters = dict(check_module("model", model).named_parameters(remove_duplicate=False))
    check_mapping("masks", masks, "a mapping from the names of parameters to masks")
    fitted: dict[str, tuple[Module, str, Tensor]] = {}
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(f"masks must name parameters of the model, {', '.join(parameters)}, got {name!r}")
        owner, own = owner_of(model, name)
        others = [other for other, found in parameters.items() if found is parameters[name] and other != name]
        for other in others:
            if other in masks or (find_mask(*owner_of(model, other)) is not None and find_mask(owner, own) is None):
                raise ValueError(
                    f"masks must name a shared tensor once, by the name of its mask: {name!r} is {other!r}"
                )
        check_mask_name_is_free(owner, own)
        fitted[name] = owner, own, _fit(name, mask, parameters[name], owner)
    for owner, own, mask in fitted.values():
        register_mask(owner, own).copy_(mask)
        owner.get_parameter(own).masked_fill_(~mask, 0)


def zero_pruned(tensor: Tensor, mask: Bool[Tensor, "..."]) -> None:
    """Set tensor <- tensor * mask in place, so that pruned entries become 0.

    A pruned entry that was NaN or infinite becomes NaN, so that the fault stays visible.

    Args:
        tensor: dense or sparse; it may be a leaf that requires gradients.
        mask: bool, of the same shape.

    Raises:
        TypeError: an argument of another type.
        ValueError: the shapes differ.

    >>> weight = torch.tensor([1.0, 2.0])
    >>> zero_pruned(weight, torch.tensor([True, False]))
    >>> weight
    tensor([1., 0.])
    """
    if not (isinstance(tensor, Tensor) and isinstance(mask, Tensor) and mask.dtype == torch.bool):
        raise TypeError(f"tensor and mask must be a tensor and a bool tensor, got {_of(tensor)} and {_of(mask)}")
    if mask.shape != tensor.shape:
        raise ValueError(f"mask must have the shape of tensor, {tuple(tensor.shape)}, got {tuple(mask.shape)}")
    # detach shares the version counter, .data does not: a weight changed between forward and backward stays an error.
    tensor = tensor.detach()
    if tensor.is_sparse:
        indices, values = uncoalesced_parts(tensor)
        values.mul_(mask[tuple(indices)])
    elif tensor.device.type == "cpu" and tensor.numel() > _PIECE and tensor.is_contiguous() and mask.is_contiguous():
        for piece, kept in zip(tensor.view(-1).split(_PIECE), mask.view(-1).split(_PIECE), strict=True):
            piece.mul_(kept)
    else:
        tensor.mul_(mask)


def fill_pruned(tensor: Tensor, mask: Bool[Tensor, "..."]) -> None:
    """Set pruned entries to 0 in place, whatever they were: NaN and infinity too, unlike `zero_pruned`.

    Args:
        tensor: dense; it may be a leaf that requires gradients.
        mask: bool, of the same shape.

    >>> weight = torch.tensor([float("nan"), 2.0])
    >>> fill_pruned(weight, torch.tensor([False, True]))
    >>> weight
    tensor([0., 2.])
    """
    tensor = tensor.detach()
    if type(tensor) is Tensor:
        # 0.7 of the time of masked_fill_, which would need the inverted mask.
        torch.where(mask, tensor, tensor.new_zeros(()), out=tensor)
    else:
        tensor.masked_fill_(~mask, 0)


def keep_mask(parameter_name: str, owner: Module, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
    """Complete a state that lacks this mask, as of a dense model; to be run before the module loads the state."""
    name, weight = prefix + mask_name(parameter_name), prefix + parameter_name
    parameter = dict(owner.named_parameters(recurse=False)).get(parameter_name)
    mask = None if parameter is None else _mask_among(_own_buffers(owner), parameter_name, parameter)
    if mask is None or name in state_dict or not isinstance(state_dict.get(weight), Tensor):
        return
    state_dict[name] = mask
    if state_dict[weight].shape == mask.shape:
        state_dict[weight] = state_dict[weight].detach().masked_fill(~mask.to(state_dict[weight].device), 0)


def _own_buffers(owner: Module) -> dict[str, Tensor]:
    return dict(owner.named_buffers(recurse=False, remove_duplicate=False))


def _mask_among(buffers: Mapping[str, Tensor], parameter_name: str, parameter: Tensor) -> Tensor | None:
    mask = buffers.get(mask_name(parameter_name))
    return None if mask is None or mask.dtype != torch.bool or mask.shape != parameter.shape else mask


def _of(value: Any) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else kind_of(value)


def _fit(name: str, mask: Tensor, parameter: Tensor, owner: Module) -> Tensor:
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise TypeError(f"masks must be bool tensors, got {getattr(mask, 'dtype', type(mask).__name__)} for {name!r}")
    rows = mask.shape[0] if mask.ndim else 0
    gated = isinstance(owner, nn.RNNBase | nn.RNNCellBase) and parameter.ndim == 2 and rows > 0
    if gated and mask.shape[1:] == parameter.shape[1:] and rows == owner.hidden_size:
        mask = mask.repeat(len(parameter) // rows, 1)
    if mask.shape != parameter.shape:
        raise ValueError(
            f"masks must have the shape of their parameters, or of one gate: {name!r} is {tuple(parameter.shape)}, got "
            f"{tuple(mask.shape)}"
        )
    return mask.to(parameter.device)
