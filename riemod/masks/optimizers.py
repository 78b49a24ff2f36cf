"""Optimizers that leave pruned weights at zero: masked gradients and masked state."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from riemod._torch import version_of
from riemod.masks.buffers import masked_parameters, zero_pruned

__all__ = ["MaskHook", "attach_masks", "mask_gradients", "mask_optimizer_state"]

# The updates of these mix the entries of a parameter, so masked gradients do not make masked updates.
_MIXING = tuple(kind for kind in (torch.optim.LBFGS, getattr(torch.optim, "Muon", None)) if kind is not None)


def mask_gradients(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Multiply the gradient of every parameter by its mask, in place; skip parameters without a gradient.

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
    """Zero the optimizer's state of pruned weights, in place.

    Every state tensor with the shape of its parameter (moments, momentum) becomes 0 where the mask is False.

    Args:
        optimizer: any torch optimizer; parameters that it does not hold are skipped.
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
            raise ValueError(
                f"pairs must hold masks of their parameters' shapes, got a mask {tuple(mask.shape)} for a parameter "
                f"{tuple(parameter.shape)}"
            )
        for value in states.get(parameter, {}).values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                zero_pruned(value, mask)


class MaskHook:
    """Masks the gradients before each step, and the optimizer's state whenever a mask or the state is new.

    It is the step pre-hook that `attach_masks` registers.

    Args:
        module: its masks are looked up at each step, so they may appear, change or be replaced at any time.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self._seen: dict[str, tuple[Tensor, int, Any]] = {}

    def __call__(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Run before the step; a closure computes its gradients inside the step, so return it wrapped."""
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
            state, version = states.get(parameter), version_of(mask)
            # Keep references, not addresses: a new mask may lie at the address of one that was freed.
            old_mask, old_version, old_state = self._seen.get(name, (None, -1, None))
            if old_mask is not mask or old_version != version or old_state is not state:
                mask_optimizer_state(optimizer, [(parameter, mask)])
                self._seen[name] = (mask, version, state)


def attach_masks(optimizer: Optimizer, module: Module) -> RemovableHandle:
    """Keep the pruned weights of a module at 0 under an optimizer, from now on and without any further call.

    Before each step the gradients of masked parameters are multiplied by their masks. When a mask has changed since the
    last step, or a state was loaded, the optimizer's moments are masked too. A weight that is 0 then stays exactly 0
    under any optimizer that works entry by entry (SGD, Adam, AdamW, RMSprop, RiemannianAdam, ...).

    Args:
        optimizer: holds the module's parameters, or some of them. Copies of it (deepcopy, pickle) have no hooks, like
            those of any torch optimizer: attach again.
        module: masks may be registered before or after this call.

    Returns:
        A handle; `handle.remove()` undoes the attachment.

    Raises:
        TypeError: an argument of another type, or an optimizer whose update mixes entries (LBFGS, Muon): for these
            call `MagnitudePruner.apply` after each step.

    >>> from riemod.masks import register_mask
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
        raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
    if isinstance(optimizer, _MIXING):
        raise TypeError(
            f"optimizer must update each entry of a parameter alone, got {type(optimizer).__name__}, which mixes them: "
            "masked gradients do not keep pruned weights at 0; call MagnitudePruner.apply() after each step instead"
        )
    if not isinstance(module, Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    return optimizer.register_step_pre_hook(MaskHook(module))
