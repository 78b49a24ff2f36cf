"""What both callbacks check, and what they do before a step of the optimizer."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from riemod.pruning import MagnitudePruner
from riemod.regularization import ModuliRegularizer


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


def add_penalty(moduli: ModuliRegularizer, optimizer: Optimizer, scale: float = 1.0) -> Tensor:
    """Add the penalty's gradients, times scale, to the gradients of the optimizer's parameters.

    Call it once before each step of the optimizer. Then the penalty counts once, however many batches were accumulated.
    Parameters of other optimizers get no gradient, so two optimizers do not count the penalty twice.

    Args:
        moduli: the penalty.
        optimizer: whose parameters get gradients.
        scale: the factor by which the gradients already there were multiplied.

    Returns:
        The penalty, without the scale, detached.
    """
    wanted = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    with torch.enable_grad():
        penalty = moduli()
        if penalty.requires_grad and wanted:
            (scale * penalty).backward(inputs=wanted)
    return penalty.detach()
