"""What both callbacks do before a step of the optimizer."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from riemod.pruning import MagnitudePruner
from riemod.regularization import ModuliRegularizer


def check_parts(moduli: ModuliRegularizer | None, pruner: MagnitudePruner | None) -> None:
    """Raise unless there is something to do, and it is of the right types.

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


def add_penalty(moduli: ModuliRegularizer, optimizer: Optimizer, scale: float = 1.0) -> Tensor:
    """Add the gradients of the penalty to those of an optimizer's parameters: once a step, whatever was accumulated.

    Args:
        moduli: the penalty.
        optimizer: only its parameters get gradients, so that two optimizers do not count the penalty twice.
        scale: what the gradients that are there were multiplied by.

    Returns:
        The penalty as it was, detached.
    """
    wanted = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    with torch.enable_grad():
        penalty = moduli()
        if penalty.requires_grad and wanted:
            (scale * penalty).backward(inputs=wanted)
    return penalty.detach()
