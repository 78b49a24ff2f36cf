"""The moduli penalty, Eq. 6: R = sum_jk f(d(x_j, x_k)) |w_jk|^power, in value and gradients, tile by tile.

Orientation: `weight[j, k]` joins source k to target j, as in torch; rows belong to targets, columns to sources.
The value and all gradients come from one pass over tiles, in the forward; the backward only scales them. Beyond the
weight's own gradient nothing of size n x n is stored, and no tile of size n x n x dim is ever made.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from riemod.manifolds.base import Manifold
from riemod.regularization.inhibitors import Inhibitor, as_inhibitor

Reduction = Literal["mean", "sum"]
TILE_ELEMENTS = 1 << 17


def moduli_penalty(
    weight: Tensor,
    points: Tensor,
    manifold: Manifold,
    inhibitor: Inhibitor | Callable[[Tensor], Tensor],
    power: float = 1,
    reduction: Reduction = "mean",
    *,
    source_points: Tensor | None = None,
) -> Tensor:
    """R = sum_jk f(d(x_j, y_k)) |w_jk|^power, or its mean over all entries of the weight.

    Args:
        weight: (n, m); entry [j, k] joins source k to target j.
        points: (n, coordinate_dim), x_j, the targets' points on the manifold.
        manifold: gives d, in its unit of length.
        inhibitor: f, the cost of a distance.
        power: exponent of |w|, >= 1.
        reduction: "mean" (the reference's: sum / (n m)) or "sum" (the paper's).
        source_points: (m, coordinate_dim), y_k; the same points as the targets' if not given (then m = n).

    Returns:
        A scalar, differentiable once in the weight, the points and the manifold's parameters.

    Raises:
        ValueError: if a shape, device, power or reduction does not fit, the weight is empty, or a point is off the
            manifold.
        TypeError: if the weight is not a dense floating-point tensor, a dtype differs, or `manifold` is not a Manifold.

    Reference: Eq. 6 of https://arxiv.org/abs/2406.06290.

    >>> from riemod.manifolds import Torus
    >>> torus = Torus(2)
    >>> points = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> moduli_penalty(torch.ones(2, 2), points, torus, lambda d: d, reduction="sum").item()
    10.0
    """
    if not isinstance(manifold, Manifold):
        raise TypeError(f"manifold must be a Manifold, got {type(manifold).__name__}")
    manifold.check_points(points, "points")
    sources = points if source_points is None else source_points
    if source_points is not None:
        manifold.check_points(source_points, "source_points")
    check_exponent(power)
    check_reduction(reduction)
    check_weight(weight, points, sources)
    rows = manifold.coordinates(points)
    columns = rows if source_points is None else manifold.coordinates(source_points)
    total = penalty_of_coordinates(weight, rows, columns, manifold, as_inhibitor(inhibitor), power)
    return total / weight.numel() if reduction == "mean" else total


def check_exponent(power: float) -> None:
    """Raise a ValueError unless power is a number with 1 <= power < infinity."""
    if not (isinstance(power, int | float) and 1 <= power < math.inf):
        raise ValueError(f"power must be finite and >= 1, got {power!r}")


def check_reduction(reduction: str) -> None:
    """Raise a ValueError unless the reduction is "mean" or "sum"."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction must be 'mean' or 'sum', got {reduction!r}")


def check_weight(weight: Tensor, points: Tensor, source_points: Tensor) -> None:
    """Raise unless the weight is a dense floating (n, m) matrix with the device and dtype of its n and m points."""
    if not isinstance(weight, Tensor):
        raise TypeError(f"weight must be a tensor, got {type(weight).__name__}")
    if weight.ndim != 2 or weight.numel() == 0:
        raise ValueError(f"weight must be a matrix (n, m) with n, m >= 1, got shape {tuple(weight.shape)}")
    if weight.layout != torch.strided:
        raise TypeError(f"weight must be dense, got {weight.layout}")
    if not weight.is_floating_point():
        raise TypeError(f"weight must be floating-point, got {weight.dtype}")
    for name, own, count in (("points", points, weight.shape[0]), ("source_points", source_points, weight.shape[1])):
        if own.shape[0] != count:
            raise ValueError(f"{name} must hold {count} points for a weight {tuple(weight.shape)}, got {own.shape[0]}")
        if own.device != weight.device:
            raise ValueError(f"{name} must be on the weight's device {weight.device}, got {own.device}")
        if own.dtype != weight.dtype:
            raise TypeError(f"{name} must have the weight's dtype {weight.dtype}, got {own.dtype}")


def penalty_of_coordinates(
    weight: Tensor, rows: Tensor, columns: Tensor, manifold: Manifold, inhibitor: Inhibitor, power: float
) -> Tensor:
    """The sum of Eq. 6 from tile coordinates, unchecked: what `moduli_penalty` and the regularizer share."""
    return _TiledPenalty.apply(weight, rows, columns, manifold, inhibitor, power)[0]


class _TiledPenalty(torch.autograd.Function):
    """Value and gradients in the forward; the gradients are outputs only so that `setup_context` can save them."""

    @staticmethod
    def forward(
        weight: Tensor, rows: Tensor, columns: Tensor, manifold: Manifold, inhibitor: Inhibitor, power: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        learn = rows.requires_grad or columns.requires_grad
        weight_gradient = torch.empty_like(weight)
        row_gradient, column_gradient = torch.zeros_like(rows), torch.zeros_like(columns)
        total = torch.zeros((), dtype=torch.float64, device=weight.device)
        width = min(columns.shape[0], TILE_ELEMENTS)
        height = max(1, TILE_ELEMENTS // max(1, width))
        for top in range(0, rows.shape[0], height):
            for left in range(0, columns.shape[0], width):
                row_slice, column_slice = slice(top, top + height), slice(left, left + width)
                block = weight[row_slice, column_slice].detach()
                value, slope, row_part, column_part = _tile(
                    block, rows[row_slice], columns[column_slice], manifold, inhibitor, power, learn
                )
                total += value
                weight_gradient[row_slice, column_slice] = slope
                if learn:
                    row_gradient[row_slice] += row_part
                    column_gradient[column_slice] += column_part
        return total.to(weight.dtype), weight_gradient, row_gradient, column_gradient

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*output[1:])

    @staticmethod
    def backward(ctx: Any, *output_gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        upstream = output_gradients[0]
        if upstream is None:
            return (None,) * 6
        if torch.is_grad_enabled():
            raise RuntimeError("the moduli penalty is differentiable once: call backward without create_graph=True")
        needed = ctx.needs_input_grad[:3]
        scaled = (upstream * saved if need else None for saved, need in zip(ctx.saved_tensors, needed, strict=True))
        return (*scaled, None, None, None)


def _tile(
    block: Tensor, rows: Tensor, columns: Tensor, manifold: Manifold, inhibitor: Inhibitor, power: float, learn: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Value of one tile, its slope in the weights, and (if learned) its slopes in the row and column coordinates."""
    with torch.enable_grad() if learn else torch.no_grad():
        rows, columns = rows.detach().requires_grad_(learn), columns.detach().requires_grad_(learn)
        cost = inhibitor.of_squared_distance(manifold.squared_distance(rows, columns))
    magnitude = block.abs()
    raised = magnitude if power == 1 else magnitude**power
    slope = cost.detach() * block.sign()
    if power != 1:
        slope *= power * magnitude ** (power - 1)
    value = torch.dot(cost.detach().reshape(-1), raised.reshape(-1))
    if not learn:
        return value, slope, rows, columns
    row_slope, column_slope = torch.autograd.grad(cost, (rows, columns), raised, allow_unused=True)
    return (
        value,
        slope,
        torch.zeros_like(rows) if row_slope is None else row_slope,
        torch.zeros_like(columns) if column_slope is None else column_slope,
    )
