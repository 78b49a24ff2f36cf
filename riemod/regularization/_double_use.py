"""Notices two regularizers whose penalties reach the same weight in one step, and knows who penalizes a layer."""

import functools
import weakref
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from riemod._torch import backward_number, version_of
from riemod.regularization.penalized import Weight


class _Use(NamedTuple):
    """The last backward pass that brought a penalty to a weight."""

    regularizer: "weakref.ref[nn.Module]"
    version: int
    backward: int


_REGULARIZERS: "weakref.WeakKeyDictionary[nn.Module, weakref.WeakSet[nn.Module]]" = weakref.WeakKeyDictionary()
_LAST_USE: "weakref.WeakKeyDictionary[nn.Module, dict[str, _Use]]" = weakref.WeakKeyDictionary()


def register(regularizer: nn.Module, weights: Sequence[Weight]) -> None:
    """Note that a regularizer penalizes these weights; only a weak reference to it is kept."""
    for weight in weights:
        _REGULARIZERS.setdefault(weight.module, weakref.WeakSet()).add(regularizer)


def regularizers_of(layer: nn.Module) -> list[nn.Module]:
    """Return the regularizers that are still there and penalize a weight of a layer."""
    return list(_REGULARIZERS.get(layer, ()))


def watch(penalty: Tensor, regularizer: nn.Module, weights: Sequence[Weight]) -> None:
    """Note, when the penalty is differentiated, that this regularizer's penalty reached these weights.

    Args:
        penalty: what the regularizer returned, with a graph.
        regularizer: the caller; only a weak reference to it is kept.
        weights: its weights.

    The backward pass raises a RuntimeError if another regularizer's penalty reached one of the weights in the same
    backward pass, or before it in the same step and is still in the weight's gradient.
    """
    register(regularizer, weights)  # a copy was never built
    penalty.register_hook(functools.partial(_note, weakref.ref(regularizer), weights))


def _note(reference: "weakref.ref[nn.Module]", weights: Sequence[Weight], _: Tensor) -> None:
    for weight in weights:
        tensor = weight.whole
        uses = _LAST_USE.setdefault(weight.module, {})
        last, now = uses.get(weight.parameter), _Use(reference, version_of(tensor), backward_number())
        # An optimizer's step writes the weight, and so changes its version; zero_grad() drops the other's gradient.
        if last is not None and last.version == now.version and last.regularizer() is not reference():
            kept = tensor.grad is not None and bool(tensor.grad.any())
            if last.backward == now.backward or kept:
                raise RuntimeError(
                    f"{weight.parameter} of {type(weight.module).__name__} is penalized by two regularizers in one "
                    "step, which counts the penalty twice: add only one of them to the loss"
                )
        uses[weight.parameter] = now
