"""The proximal variant of the penalty: soft thresholds after the optimizer's step in place of a subgradient of |w|."""

import torch
from torch import Tensor

from riemod._checks import check_positive, check_type
from riemod.regularization import _tiles as tiles
from riemod.regularization.inhibitors.signed import cost_of
from riemod.regularization.regularizer import ModuliRegularizer

__all__ = ["backward_to_points", "check_proximal", "proximal_step", "soft_threshold_"]


@torch.no_grad()
def soft_threshold_(weight: Tensor, threshold: Tensor, negative: Tensor | None = None) -> Tensor:
    """Shrink w <- sign(w) max(|w| - t, 0) in place, the proximal map of sum t |w|; w is exactly 0 where |w| <= t.

    Args:
        weight: any shape; NaN stays NaN.
        threshold: t >= 0, of the same shape.
        negative: t of negative weights, >= 0, of the same shape; `threshold` if None.

    Returns:
        The weight.

    Reference: Daubechies, Defrise and De Mol 2004, https://doi.org/10.1002/cpa.20042.

    >>> soft_threshold_(torch.tensor([3.0, -3.0, 0.5]), torch.tensor([1.0, 1.0, 1.0]))
    tensor([ 2., -2.,  0.])
    """
    weight = weight.detach()
    return weight.sub_(weight.clamp(-threshold if negative is None else -negative, threshold))


@torch.no_grad()
def proximal_step(moduli: ModuliRegularizer, lr: float) -> Tensor:
    """Shrink w_jk <- sign(w_jk) max(|w_jk| - lr strength c_jk, 0), after the optimizer's step on the task's loss.

    With reduction "mean" the threshold is divided by the number of entries of the weight, as the penalty is. Adam does
    not scale the threshold by the size of the gradients, so a strength does not carry over from `loss + moduli()`. A
    threshold below half a unit in the last place of a weight (3e-9 for a weight of 0.1 in float32) leaves it as it is.
    Under a `Signed` law c is that of the weight's own sign, and no weight changes its sign. Weights that a mask holds
    at 0 stay 0, so the step works together with `MagnitudePruner`. Costs are computed in tiles: nothing of size n x n
    is made.

    Args:
        moduli: any regularizer with power 1. Its points are taken as they are, after their own step; learned points get
            the gradient of Eq. 6 from `backward_to_points`.
        lr: of the step that was made, > 0.

    Returns:
        The penalty of the weights as they are after the step, strength * Eq. 6, a scalar.

    Raises:
        ValueError: if the power is not 1, a weight is a convolution's kernel, or `lr` is not positive and finite.
        TypeError: if `moduli` is not a ModuliRegularizer.

    Reference: Eq. 6 of https://arxiv.org/abs/2406.06290; decoupling: Loshchilov and Hutter 2019,
    https://arxiv.org/abs/1711.05101.

    >>> from riemod.manifolds import Torus
    >>> rnn = torch.nn.RNN(2, 16)
    >>> moduli = ModuliRegularizer(rnn, Torus(2), strength=1e3, generator=torch.Generator().manual_seed(0))
    >>> _ = proximal_step(moduli, lr=1e-3)
    >>> bool((rnn.weight_hh_l0 == 0).any())
    True
    """
    check_proximal(moduli)
    check_positive("lr", lr)
    totals = []
    for layer, penalized in enumerate(moduli.weights):
        weight, neurons = penalized.tensor.detach(), penalized.neurons
        factor = moduli.terms.factor(weight.numel())
        blocks = weight.split(neurons)
        height = max(1, tiles.TILE_ELEMENTS // neurons)
        for first in range(0, neurons, height):
            last = min(first + height, neurons)
            costs = moduli.costs.rows(layer, first, last)
            thresholds = (costs * (lr * factor)).view(-1, *costs.shape[-2:])
            for block in blocks:
                rows = soft_threshold_(block[first:last], *thresholds)
                totals.append(factor * torch.dot(cost_of(costs, rows).reshape(-1), rows.abs().reshape(-1)))
    return torch.stack(totals).sum()


def backward_to_points(moduli: ModuliRegularizer) -> None:
    """Add the gradient of strength * Eq. 6 to learned points and curvatures, and to no weight.

    Call it between `optimizer.zero_grad()` and `optimizer.step()` when `proximal_step` shrinks the weights. It does
    nothing if nothing is learned.

    Args:
        moduli: any regularizer.

    >>> from riemod.manifolds import Torus
    >>> rnn = torch.nn.RNN(2, 16)
    >>> moduli = ModuliRegularizer(rnn, Torus(2), learn=True, generator=torch.Generator().manual_seed(0))
    >>> backward_to_points(moduli)
    >>> moduli.points.grad.shape, rnn.weight_hh_l0.grad
    (torch.Size([16, 2]), None)
    """
    check_type("moduli", moduli, ModuliRegularizer, "a ModuliRegularizer")
    learned = [parameter for parameter in moduli.parameters() if parameter.requires_grad]
    if any(parameter.is_meta for parameter in learned):
        raise ValueError("moduli must have points, got some on the meta device")
    if learned:
        moduli().backward(inputs=learned)


def check_proximal(moduli: ModuliRegularizer) -> None:
    """Raise unless it is a regularizer of matrices with power 1, whose proximal map is a soft threshold."""
    check_type("moduli", moduli, ModuliRegularizer, "a ModuliRegularizer")
    if moduli.power != 1:
        raise ValueError(f"power must be 1 for a proximal step, a soft threshold, got {moduli.power:g}")
    for weight in moduli.weights:
        if weight.tensor.ndim != 2:
            raise ValueError(
                f"moduli must penalize matrices for a proximal step, got {weight.parameter} of shape "
                f"{tuple(weight.tensor.shape)}: the proximal map of a slice's norm is no soft threshold"
            )
