"""Masks: which entries of a parameter are kept.

A mask is a plain bool buffer named `<parameter>_mask`, True where the weight is kept, on the module that owns the
parameter. So it is saved by `state_dict()`, moved by `.to()` and copied by `deepcopy`, and the parameter itself stays
what it was: `torch.nn.utils.prune` and `parametrize` replace it, which breaks the flat weights of `torch.nn.RNN`.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn import Module, Parameter
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

__all__ = [
    "MaskHook",
    "apply_masks",
    "attach_masks",
    "find_mask",
    "mask_gradients",
    "mask_name",
    "mask_optimizer_state",
    "masked_parameters",
    "register_mask",
    "zero_pruned",
]

# On CPU, float.mul_(bool) converts the whole mask to float first. Pieces of 2^18 keep that copy in the cache: 12 ms
# instead of 40 ms for 4096 x 4096 on one core, where masked_fill_ takes 24-61 ms.
_PIECE = 1 << 18

# Their updates mix the entries of a parameter, so masked gradients do not make masked updates.
_MIXING = tuple(kind for kind in (torch.optim.LBFGS, getattr(torch.optim, "Muon", None)) if kind is not None)


def mask_name(parameter_name: str) -> str:
    """Name of the buffer that masks a parameter of the same module.

    >>> mask_name("weight_hh_l0")
    'weight_hh_l0_mask'
    """
    return f"{parameter_name}_mask"


def find_mask(owner: Module, parameter_name: str) -> Bool[Tensor, "..."] | None:
    """The mask of `owner.<parameter_name>`, or None: a bool buffer of the right name and the parameter's shape.

    >>> find_mask(torch.nn.Linear(2, 2), "weight") is None
    True
    """
    mask = owner._buffers.get(mask_name(parameter_name))
    if mask is None or mask.dtype != torch.bool or mask.shape != owner.get_parameter(parameter_name).shape:
        return None
    return mask


def register_mask(owner: Module, parameter_name: str) -> Bool[Tensor, "..."]:
    """Give `owner.<parameter_name>` a mask that keeps everything, or return the mask that it has.

    Args:
        owner: the module that owns the parameter.
        parameter_name: the parameter's name in `owner`, without dots.

    Returns:
        The mask, of the parameter's shape and on its device; the buffer itself, not a copy.

    Raises:
        ValueError: `owner` uses the mask's name for something else.

    >>> layer = torch.nn.Linear(3, 2)
    >>> register_mask(layer, "weight").all().item(), sorted(layer.state_dict())
    (True, ['bias', 'weight', 'weight_mask'])
    """
    mask = find_mask(owner, parameter_name)
    if mask is None:
        check_mask_name_is_free(owner, parameter_name)
        mask = torch.ones_like(owner.get_parameter(parameter_name), dtype=torch.bool, requires_grad=False)
        owner.register_buffer(mask_name(parameter_name), mask)
    return mask


def check_mask_name_is_free(owner: Module, parameter_name: str) -> None:
    """Raise ValueError if `owner` has an attribute by the mask's name that is not this parameter's mask."""
    name = mask_name(parameter_name)
    if find_mask(owner, parameter_name) is None and getattr(owner, name, None) is not None:
        raise ValueError(
            f"{type(owner).__name__} already has an attribute {name!r} that is not a bool buffer of the shape "
            f"{tuple(owner.get_parameter(parameter_name).shape)} of {parameter_name!r}: masks need that name"
        )


def masked_parameters(module: Module) -> Iterator[tuple[str, Parameter, Tensor]]:
    """Every masked parameter of a module and its submodules, shared ones once, in module order.

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
    for prefix, owner in module.named_modules():
        if not owner._buffers:
            continue
        for name, parameter in owner.named_parameters(recurse=False):
            mask = find_mask(owner, name)
            if mask is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                yield (f"{prefix}.{name}" if prefix else name), parameter, mask


@torch.no_grad()
def apply_masks(model: Module, masks: Mapping[str, Tensor]) -> None:
    """w <- mask * w, and the masks as buffers beside their parameters, for every parameter that is named.

    From there on `MagnitudePruner`, `attach_masks`, riemod's optimizers, `sparsity_aware` and tickets know the masks. A
    mask that a parameter already has is replaced; weights that were zero stay zero. After it, draw the weights that are
    left (`riemod.initialization.sparsity_aware`), then make the optimizer.

    Args:
        model: changed in place.
        masks: bool, True where kept, by the parameter's qualified name; of the parameter's shape, or for a recurrent
            layer's (gates * n, m) of shape (n, m): each gate gets it.

    Raises:
        TypeError: a model or mask of another type.
        ValueError: a name that is no parameter, a mask of another shape, two names of one tensor, a parameter whose
            mask stands beside another of its names, or a module that uses a mask's name for something else; nothing was
            changed.

    >>> layer = nn.GRU(2, 3)
    >>> apply_masks(layer, {"weight_hh_l0": torch.eye(3) > 0})
    >>> int(layer.weight_hh_l0.count_nonzero()), layer.weight_hh_l0_mask.shape
    (9, torch.Size([9, 3]))
    """
    if not isinstance(model, Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    fitted: dict[str, tuple[Module, str, Tensor]] = {}
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(f"masks must name parameters of the model, {', '.join(parameters)}, got {name!r}")
        path, _, own = name.rpartition(".")
        owner = model.get_submodule(path)
        others = [other for other, found in parameters.items() if found is parameters[name] and other != name]
        for other in others:
            place = model.get_submodule(other.rpartition(".")[0]), other.rpartition(".")[2]
            if other in masks or (find_mask(*place) is not None and find_mask(owner, own) is None):
                raise ValueError(
                    f"masks must name a shared tensor once, by the name of its mask: {name!r} is {other!r}"
                )
        check_mask_name_is_free(owner, own)
        fitted[name] = owner, own, _fit(name, mask, parameters[name], owner)
    for owner, own, mask in fitted.values():
        register_mask(owner, own).copy_(mask)
        owner.get_parameter(own).masked_fill_(~mask, 0)


def zero_pruned(tensor: Tensor, mask: Bool[Tensor, "..."]) -> None:
    """tensor <- tensor * mask, in place: 0 where the mask is False. NaN and infinity become NaN, and so stay visible.

    Args:
        tensor: any dense or sparse tensor; a leaf that requires gradients is fine.
        mask: bool, of the same shape.

    >>> weight = torch.tensor([1.0, 2.0])
    >>> zero_pruned(weight, torch.tensor([True, False]))
    >>> weight
    tensor([1., 0.])
    """
    # detach, unlike .data, shares the version counter: changing a weight between forward and backward stays an error.
    tensor = tensor.detach()
    if tensor.is_sparse:
        values = tensor._values()
        values.mul_(mask[tuple(tensor._indices())])
    elif tensor.device.type == "cpu" and tensor.numel() > _PIECE and tensor.is_contiguous() and mask.is_contiguous():
        for piece, kept in zip(tensor.view(-1).split(_PIECE), mask.view(-1).split(_PIECE), strict=True):
            piece.mul_(kept)
    else:
        tensor.mul_(mask)


def mask_gradients(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Multiply the gradient of every parameter by its mask, in place; parameters without a gradient are passed over.

    Args:
        pairs: (parameter, mask) of equal shapes.

    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> mask_gradients([(weight, torch.tensor([False, True]))])
    >>> weight.grad
    tensor([0., 4.])
    """
    for parameter, mask in pairs:
        if parameter.grad is not None:
            zero_pruned(parameter.grad, mask)


def mask_optimizer_state(optimizer: Optimizer, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Zero every state tensor of a parameter's shape (moments, momentum) where the parameter's mask is False, in place.

    Args:
        optimizer: any torch optimizer; parameters that it does not hold are passed over.
        pairs: (parameter, mask) of equal shapes.

    Raises:
        ValueError: a mask has another shape than its parameter.

    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.9)
    >>> weight.sum().backward(); optimizer.step()
    >>> mask_optimizer_state(optimizer, [(weight, torch.tensor([True, False]))])
    >>> optimizer.state[weight]["momentum_buffer"]
    tensor([1., 0.])
    """
    states = optimizer.state
    for parameter, mask in pairs:
        if mask.shape != parameter.shape:
            raise ValueError(f"pairs: mask of shape {tuple(mask.shape)} for a parameter of {tuple(parameter.shape)}")
        for value in states.get(parameter, {}).values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                zero_pruned(value, mask)


class MaskHook:
    """The step pre-hook of `attach_masks`: masks gradients at each step, and the state when a mask or the state is new.

    Args:
        module: its masks are looked up at each step, so that they may appear, change or be replaced at any time.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self._seen: dict[str, tuple[Tensor, int, Any]] = {}

    def __call__(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Run before the step; a closure computes gradients inside it, so a closure comes back wrapped."""
        self._mask_new_state(optimizer)
        # torch passes the arguments of the unbound `step`: the optimizer itself, then the closure if there is one.
        own, positional = args[:1], args[1:]
        closure = kwargs.get("closure", next(iter(positional), None))
        if closure is None:
            self._mask_gradients()
            return None
        others = {key: value for key, value in kwargs.items() if key != "closure"}
        return (*own, partial(self._run, closure), *positional[1:]), others

    def _run(self, closure: Any) -> Any:
        loss = closure()
        self._mask_gradients()
        return loss

    def _mask_gradients(self) -> None:
        mask_gradients((parameter, mask) for _, parameter, mask in masked_parameters(self.module))

    def _mask_new_state(self, optimizer: Optimizer) -> None:
        states = optimizer.state
        for name, parameter, mask in masked_parameters(self.module):
            state = states.get(parameter)
            # References, not data pointers: freed memory is given out again, and a new mask there would go unseen.
            old_mask, old_version, old_state = self._seen.get(name, (None, -1, None))
            if old_mask is not mask or old_version != mask._version or old_state is not state:
                mask_optimizer_state(optimizer, [(parameter, mask)])
                self._seen[name] = (mask, mask._version, state)


def attach_masks(optimizer: Optimizer, module: Module) -> RemovableHandle:
    """Keep pruned weights of a module at 0 under an optimizer, without any further call.

    Before each step the gradients of masked parameters are multiplied by their masks; when a mask has changed since
    the last step, or a state was loaded, so are the optimizer's moments. Then a weight that is 0 stays exactly 0 under
    any optimizer that works entry by entry (SGD, Adam, AdamW, RMSprop, RiemannianAdam, ...).

    Args:
        optimizer: holds the module's parameters, or some of them. Copies of it (deepcopy, pickle) have no hooks, as
            with every torch hook: attach again.
        module: masks may be registered before or after this call.

    Returns:
        A handle; `handle.remove()` undoes the attachment.

    Raises:
        TypeError: an argument of another type, or an optimizer whose update mixes entries (LBFGS, Muon): for these
            call `MagnitudePruner.apply` after each step.

    >>> layer = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    >>> handle = attach_masks(optimizer, layer)
    >>> mask = register_mask(layer, "weight")
    >>> mask[0, 1] = False
    >>> with torch.no_grad(): _ = layer.weight.mul_(mask)
    >>> layer(torch.ones(1, 2)).sum().backward(); optimizer.step()
    >>> (layer.weight == 0).tolist()
    [[False, True]]
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer: expected a torch.optim.Optimizer, got {type(optimizer).__name__}")
    if isinstance(optimizer, _MIXING):
        raise TypeError(
            f"optimizer: {type(optimizer).__name__} mixes the entries of a parameter, so masked gradients do not keep "
            "pruned weights at 0; call MagnitudePruner.apply() after each step instead"
        )
    if not isinstance(module, Module):
        raise TypeError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
    return optimizer.register_step_pre_hook(MaskHook(module))


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
