"""Optimizers that leave pruned weights at zero: masked gradients, masked state, and zeros after each step."""

import copyreg
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from riemod._checks import check_items, check_module, check_type, shown
from riemod._torch import version_of
from riemod.masks.buffers import fill_pruned, masked_parameters, zero_pruned
from riemod.masks.loading import take_masks_in_loading

__all__ = ["MaskHandle", "MaskHook", "attach_masks", "mask_gradients", "mask_optimizer_state"]

# Names under which optimizers keep one number an entry of the parameter: moments of its gradient, and copies of the
# weight itself. First those of torch and geoopt, then those of bitsandbytes, Lookahead and schedule-free optimizers.
_ENTRYWISE = frozenset(
    (
        *("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "momentum_buffer", "square_avg", "grad_avg"),
        *("acc_delta", "sum", "prev", "step_size", "ax"),
        *("state1", "state2", "slow_params", "slow_momentum", "slow_buffer", "z"),
    )
)


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
    for parameter, mask in _checked(pairs):
        if parameter.grad is not None:
            zero_pruned(parameter.grad, mask)


def mask_optimizer_state(optimizer: Optimizer, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Zero the moments that an optimizer keeps for pruned weights, in place.

    Only state with a known meaning is touched: floating-point tensors with the shape of their parameter, under the
    names that torch's optimizers give to moments and to copies of weights. A state that also holds other arrays is left
    as it is: preconditioners (SOAP, Shampoo, Kron), where a moment may be stored in another basis, or the codes and
    scales of 8-bit optimizers, where code 0 is not the number 0. `attach_masks` keeps pruned weights at 0 under these
    as well.

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
    states = check_type("optimizer", optimizer, Optimizer, "a torch.optim.Optimizer").state
    for parameter, mask in _checked(pairs):
        if mask.shape != parameter.shape:
            raise ValueError(
                f"pairs must hold masks of their parameters' shapes, got a mask {tuple(mask.shape)} for a parameter "
                f"{tuple(parameter.shape)}"
            )
        for moment in _moments(states.get(parameter, {}), parameter):
            zero_pruned(moment, mask)


class MaskHook:
    """Masks gradients before a step and weights after it, and the optimizer's moments when a mask or a state is new.

    `attach_masks` registers it around the steps of an optimizer. A copy holds the masks of the copied module.

    Args:
        module: its masks are looked up at each step, so they may appear, change or be replaced at any time.
    """

    def __init__(self, module: Module) -> None:
        self.module = check_module("module", module)
        self._seen: dict[str, tuple[Tensor, int, Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"module": self.module, "_seen": {}}

    def before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Mask gradients and new moments; a closure computes its gradients inside the step, so return it wrapped."""
        # An optimizer that was unpickled in another process is of a class that is not registered there yet.
        _copy_with_hooks(type(optimizer))
        self._mask_new_state(optimizer)
        # torch passes the arguments of the unbound `step`: the optimizer itself, then the closure if there is one.
        own, positional = args[:1], args[1:]
        closure = kwargs.get("closure", next(iter(positional), None))
        if closure is None:
            self._mask_gradients()
            return None
        others = {key: value for key, value in kwargs.items() if key != "closure"}
        return (*own, partial(self._run, closure), *positional[1:]), others

    def after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Set the pruned weights of the optimizer's parameters to 0, whatever the step made of them."""
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for _, parameter, mask in masked_parameters(self.module):
            if id(parameter) in held:
                fill_pruned(parameter, mask)

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


class MaskHandle:
    """Undoes an attachment of masks to an optimizer, by `remove()` or at the end of a `with` block."""

    def __init__(self, *handles: RemovableHandle) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Take the masks off the optimizer; a second call changes nothing."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def attach_masks(optimizer: Optimizer, module: Module) -> MaskHandle:
    """Keep the pruned weights of a module at 0 under any optimizer, from now on and without any further call.

    Before each step the gradients of masked parameters are multiplied by their masks, and so are the optimizer's
    moments when a mask has changed since the last step or a state was loaded (see `mask_optimizer_state`). After each
    step the pruned weights are set to 0, whatever the step made of them: also under optimizers that mix the entries of
    a parameter (LBFGS, Muon, SOAP, Shampoo, Lookahead) or keep their state in codes (8-bit Adam).

    Optimizers that the optimizer holds as attributes are attached too, because a wrapper may step them by other ways
    than its own `step` (SAM's `second_step`), or keep weights aside between steps (schedule-free ones). A wrapper
    without hooks of its own, such as Accelerate's, is attached by the optimizer that it holds.

    A copy of the optimizer (`copy.deepcopy`, pickle) is attached too. Copied together with the model, it holds the
    masks of the copied model: copy model, optimizer and pruner in one `deepcopy`. Copied alone it holds a copy of its
    own, as it has parameters of its own.

    Args:
        optimizer: holds the module's parameters, or some of them. Of Accelerate's wrapper it is the optimizer inside.
        module: masks may be registered before or after this call, or come with a state that is loaded: from now on it
            takes the masks of a pruned model's state, which torch refuses otherwise.

    Returns:
        A handle; `handle.remove()` undoes the attachment.

    Raises:
        TypeError: an argument of another type. A wrapper that steps an optimizer inside itself and is no
            `torch.optim.Optimizer` is one: attach the masks to the optimizer inside. So is an optimizer without hooks.

    >>> from riemod.masks import register_mask
    >>> layer = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    >>> handle = attach_masks(optimizer, layer)
    >>> mask = register_mask(layer, "weight")
    >>> mask[0, 1] = False
    >>> layer(torch.ones(1, 2)).sum().backward(); optimizer.step()
    >>> (layer.weight == 0).tolist()
    [[False, True]]
    """
    check_type("optimizer", optimizer, Optimizer, "a torch.optim.Optimizer")
    check_module("module", module)
    take_masks_in_loading(module)
    handles: list[RemovableHandle] = []
    for part in _with_hooks(optimizer):
        hook = MaskHook(module)
        _copy_with_hooks(type(part))
        handles.append(part.register_step_pre_hook(hook.before_step))
        handles.append(part.register_step_post_hook(hook.after_step))
    if not handles:
        raise TypeError(f"optimizer must take hooks around its steps, got {type(optimizer).__name__} without them")
    return MaskHandle(*handles)


def _with_hooks(optimizer: Optimizer) -> list[Optimizer]:
    """Return the optimizer and those that it holds, without those that have no hooks, or the hooks of another."""
    found, hooks, queue = list[Optimizer](), set[int](), [optimizer]
    seen = {id(optimizer)}
    while queue:
        part = queue.pop(0)
        own = vars(part).get("_optimizer_step_post_hooks")
        if own is not None and id(own) not in hooks:
            hooks.add(id(own))
            found.append(part)
        inner = [value for value in vars(part).values() if isinstance(value, Optimizer) and id(value) not in seen]
        seen |= {id(value) for value in inner}
        queue += inner
    return found


def _checked(pairs: Iterable[Any]) -> list[tuple[Tensor, Tensor]]:
    checked = check_items("pairs", pairs, "(parameter, mask) pairs")
    for pair in checked:
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(one, Tensor) for one in pair)):
            raise TypeError(f"pairs must be (parameter, mask) pairs of tensors, got {shown(pair)}")
    return checked


def _moments(state: Any, parameter: Tensor) -> list[Tensor]:
    """Return the entrywise state of a parameter, or nothing if it holds an array that is not known to be entrywise."""
    arrays = {key: value for key, value in state.items() if not _is_scalar(value)} if isinstance(state, Mapping) else {}
    known = all(
        key in _ENTRYWISE
        and type(value) in (torch.Tensor, Parameter)
        and value.is_floating_point()
        and value.shape == parameter.shape
        for key, value in arrays.items()
    )
    return list(arrays.values()) if known else []


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, int | float | str) or (isinstance(value, Tensor) and value.ndim == 0)


def _copy_with_hooks(kind: type[Optimizer]) -> None:
    """Let copies and pickles of optimizers of this class carry their mask hooks; torch leaves all hooks behind."""
    if kind not in copyreg.dispatch_table:
        copyreg.pickle(kind, _reduce)  # pyright: ignore[reportArgumentType]


def _reduce(optimizer: Optimizer) -> tuple[Any, ...]:
    function, args, state, *others = optimizer.__reduce_ex__(2)
    assert isinstance(state, dict)
    # torch's __setstate__ takes hooks that the state holds, and makes empty dictionaries where it holds none.
    for name in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
        own = [hook for hook in getattr(optimizer, name, {}).values() if _is_mask_hook(hook)]
        if own:
            # torch counts hooks from 0 in each process: negative keys cannot be those of hooks that are added later.
            state = {**state, name: OrderedDict((-1 - index, hook) for index, hook in enumerate(own))}
    return function, args, state, *others


def _is_mask_hook(hook: Any) -> bool:
    return isinstance(getattr(hook, "__self__", None), MaskHook)
