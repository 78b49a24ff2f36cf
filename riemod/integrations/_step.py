"""What both callbacks check, and what they do before a step of the optimizer."""

from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from riemod._checks import check_type, shown
from riemod.pruning import MagnitudePruner
from riemod.regularization import AutoStrength, ModuliRegularizer

Strength = Literal["auto"] | AutoStrength | None


def check_parts(moduli: ModuliRegularizer | None, pruner: MagnitudePruner | None) -> None:
    """Raise an error unless a regularizer, a pruner or both are given.

    Args:
        moduli: the penalty, or None.
        pruner: the pruner, or None.

    Raises:
        ValueError: if both are None.
        TypeError: if one is of another type.
    """
    if moduli is None and pruner is None:
        raise ValueError("moduli or pruner must be given, got None for both")
    if not (moduli is None or isinstance(moduli, ModuliRegularizer)):
        raise TypeError(f"moduli must be a ModuliRegularizer, got {type(moduli).__name__}")
    if not (pruner is None or isinstance(pruner, MagnitudePruner)):
        raise TypeError(f"pruner must be a MagnitudePruner, got {type(pruner).__name__}")


def strength_of(moduli: ModuliRegularizer | None, strength: Strength) -> AutoStrength | None:
    """Return what scales the penalty while the net trains, or None if it keeps its own strength.

    Args:
        moduli: the penalty, or None.
        strength: "auto" for a new AutoStrength, one that was built on the penalty, or None.

    Raises:
        ValueError: there is no penalty, its strength is 0, the AutoStrength was built on another one, or the name is
            unknown.
        TypeError: if it is of another type.
    """
    if strength is None:
        return None
    if isinstance(strength, str) and strength != "auto":
        raise ValueError(f"strength must be 'auto', an AutoStrength or None, got {shown(strength)}")
    if moduli is None:
        raise ValueError("strength is the penalty's and needs moduli, got moduli=None")
    if isinstance(strength, str):
        return AutoStrength(moduli)
    check_type("strength", strength, AutoStrength, "'auto', an AutoStrength or None")
    if strength.moduli is not moduli:
        raise ValueError("strength must be an AutoStrength of moduli, got one of another regularizer")
    return strength


def add_penalty(
    moduli: ModuliRegularizer, optimizer: Optimizer, scale: float = 1.0, strength: AutoStrength | None = None
) -> Tensor:
    """Add the penalty's gradients, times scale, to the gradients of the optimizer's parameters.

    Call it once before each step of the optimizer. Then the penalty counts once, however many batches were accumulated.
    Parameters of other optimizers get no gradient, so two optimizers do not count the penalty twice.

    Args:
        moduli: the penalty.
        optimizer: whose parameters get gradients.
        scale: the factor by which the gradients already there were multiplied.
        strength: scales the penalty, and is updated from the gradients; None for the penalty's own strength.

    Returns:
        The penalty, without the scale, detached.

    Raises:
        ValueError: there is a strength to update, and the optimizer holds some of the penalized weights and not others.
    """
    wanted = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    with torch.enable_grad():
        penalty = moduli() if strength is None else strength()
        if penalty.requires_grad and wanted:
            (scale * penalty).backward(inputs=wanted)
    if strength is not None and _holds_weights(wanted, moduli):
        strength.update(scale)
    return penalty.detach()


def _holds_weights(parameters: list[Tensor], moduli: ModuliRegularizer) -> bool:
    own = {id(parameter) for parameter in parameters}
    held = [id(weight.whole) in own for weight in moduli.weights if weight.whole.requires_grad]
    if any(held) and not all(held):
        raise ValueError("strength must be a number where two optimizers share the penalized weights, got 'auto'")
    return any(held)
