"""Computes the moduli penalty of Eq. 6, R = sum_jk f(d(x_j, x_k)) |w_jk|^power, and its gradients, tile by tile.

Orientation: `weight[j, k]` joins source k to target j, as in torch; rows belong to targets, columns to sources.
The value and all gradients come from one pass over tiles, in the forward; the backward only scales them. Beyond the
weight's own gradient nothing of size n x n is stored, and no tile of size n x n x dim is ever made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from riemod._checks import LARGEST_POWER, check_at_least, check_choice
from riemod._torch import graph_is_kept, inside_torch_func, outside_graphs
from riemod.manifolds.base import Manifold
from riemod.regularization import _kernels as kernels
from riemod.regularization._sweep import sweep
from riemod.regularization._tiles import KnownCosts, Law
from riemod.regularization.embedding import working_dtype
from riemod.regularization.inhibitors import CostLaw, Inhibitor
from riemod.regularization.inhibitors.signed import as_law

Reduction = Literal["mean", "sum"]


@outside_graphs
def moduli_penalty(
    weight: Tensor,
    points: Tensor,
    manifold: Manifold,
    inhibitor: CostLaw | Callable[[Tensor], Tensor],
    power: float = 1,
    reduction: Reduction = "mean",
    *,
    source_points: Tensor | None = None,
) -> Tensor:
    """Compute R = sum_jk f(d(x_j, y_k)) |w_jk|^power, or its mean over all entries of the weight.

    Args:
        weight: (n, m); entry [j, k] joins source k to target j.
        points: (n, coordinate_dim), x_j, the targets' points on the manifold.
        manifold: gives d, in its unit of length.
        inhibitor: f, the cost of a distance: an `Inhibitor` or any callable; or a `Signed` law, f+ and f-.
        power: exponent of |w|, >= 1.
        reduction: "mean" (the reference's: sum / (n m)) or "sum" (the paper's).
        source_points: (m, coordinate_dim), y_k; the same points as the targets' if not given (then m = n).

    Returns:
        A scalar, differentiable once in the weight, the points and the manifold's parameters.

    Raises:
        ValueError: if a shape, device, power or reduction does not fit, the weight is empty, a point is off the
            manifold, or the law's costs are `Negated`. On a GPU points that are off make the result NaN, because to
            look at them would make the GPU wait.
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
    sources = points if source_points is None else source_points
    held = check_both(manifold, points, source_points)
    check_at_least("power", power, 1, LARGEST_POWER)
    check_choice("reduction", reduction, ("mean", "sum"))
    check_weight(weight, points, sources)
    with torch.autocast(weight.device.type, enabled=False):
        rows = manifold.coordinates(points)
        columns = rows if source_points is None else manifold.coordinates(source_points)
    scale = 1 / divisor(reduction, weight.numel())
    penalty = penalty_of_coordinates(weight, rows, columns, manifold, as_law(inhibitor), power, scale)
    return (penalty if held is None else nan_unless(held, penalty)).to(weight.dtype)


def check_both(manifold: Manifold, points: Tensor, source_points: Tensor | None) -> Tensor | None:
    """Check points before they are used; on another device than the CPU, return whether they are right, as a tensor.

    To read a number would make a GPU wait for everything that it has been told to do.

    Raises:
        TypeError: if points are not a dense floating-point tensor.
        ValueError: if their shape does not fit, or on the CPU their numbers.
    """
    given = {"points": points, "source_points": source_points}
    sides = {name: side for name, side in given.items() if name == "points" or side is not None}
    for name, side in sides.items():
        manifold.check_form(side, name)
        if side.device.type == "cpu":
            manifold.check_points(side, name)
    held = [manifold.holds(side) for side in sides.values() if side.device.type != "cpu"]
    return torch.stack(held).all() if held else None


def nan_unless(held: Tensor, value: Tensor) -> Tensor:
    """Return a value, or NaN with gradients of NaN unless `held` is true, without reading it."""
    return value * torch.where(held, 1.0, torch.nan).to(value.dtype)


def divisor(reduction: Reduction, entries: int) -> int:
    """Return what a sum over the entries of a weight is divided by: their number for "mean", 1 for "sum"."""
    return entries if reduction == "mean" else 1


def check_weight(weight: Tensor, points: Tensor, source_points: Tensor, name: str = "weight") -> None:
    """Raise unless the weight is a dense floating (n, m) matrix with the device and dtype of its n and m points."""
    if not isinstance(weight, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(weight).__name__}")
    if weight.ndim != 2 or weight.numel() == 0:
        raise ValueError(f"{name} must be a matrix (n, m) with n, m >= 1, got shape {tuple(weight.shape)}")
    if weight.layout != torch.strided:
        raise TypeError(f"{name} must be dense, got {weight.layout}")
    if not weight.is_floating_point():
        raise TypeError(f"{name} must be floating-point, got {weight.dtype}")
    for side, own, count in (("points", points, weight.shape[0]), ("source_points", source_points, weight.shape[1])):
        if own.shape[0] != count:
            raise ValueError(f"{side} must hold {count} points for a {name} {tuple(weight.shape)}, got {own.shape[0]}")
        if own.device != weight.device:
            raise ValueError(f"{side} must be on the {name}'s device {weight.device}, got {own.device}")
        working = working_dtype(weight.dtype)
        if own.dtype not in (weight.dtype, working):
            either = "" if working == weight.dtype else f" or {working}"
            raise TypeError(f"{side} must have the {name}'s dtype {weight.dtype}{either}, got {own.dtype}")


def penalty_of_coordinates(
    weight: Tensor,
    rows: Tensor,
    columns: Tensor,
    manifold: Manifold,
    inhibitor: CostLaw,
    power: float,
    scale: float = 1.0,
) -> Tensor:
    """Compute scale * the sum of Eq. 6 from tile coordinates, unchecked; `moduli_penalty` and `Geometric` share it.

    Returns:
        A scalar of the weight's dtype, or float32 if that is narrower: a sum of millions overflows float16.
    """
    # Asked for here: inside the forward of an autograd function, torch.func hides it.
    learn = torch.is_grad_enabled() and (rows.requires_grad or columns.requires_grad)
    return _apply(weight, rows, columns, Law(manifold, inhibitor, float(power), learn), scale)


def penalty_of_costs(weight: Tensor, costs: Tensor, power: float, scale: float = 1.0) -> Tensor:
    """Compute scale * sum_jk costs_jk |w_jk|^power, unchecked: `penalty_of_coordinates` with costs that are known.

    The costs are (n, m), or (2, n, m) if the weight's sign chooses.
    """
    return _apply(weight, costs, costs.new_empty(0), KnownCosts(float(power), costs.ndim == 3), scale)


def costs_of_coordinates(rows: Tensor, columns: Tensor, manifold: Manifold, inhibitor: CostLaw) -> Tensor:
    """Compute f(d(x_j, y_k)), (n, m), or f+ and f-, (2, n, m), by the penalty's tiles, in float32 or float64."""
    costs = [_costs_of_part(rows, columns, manifold, part) for part in inhibitor.parts]
    return costs[0] if len(costs) == 1 else torch.stack(costs)


def _costs_of_part(rows: Tensor, columns: Tensor, manifold: Manifold, inhibitor: Inhibitor) -> Tensor:
    with torch.no_grad():
        # The slope of f |w| at w = 1 is f.
        weight = rows.new_ones((), dtype=working_dtype(rows.dtype)).expand(len(rows), len(columns))
        plan = _Plan(Law(manifold, inhibitor, 1.0, False), 1.0, True, _worth_a_kernel(weight))
        return _TiledPenalty.forward(weight, rows, columns, plan)[1]


def _apply(weight: Tensor, rows: Tensor, columns: Tensor, law: Law | KnownCosts, scale: float) -> Tensor:
    # A narrow gradient keeps its digits only if it is scaled last.
    narrow = working_dtype(weight.dtype) != weight.dtype
    plan = _Plan(
        law=law,
        scale=1.0 if narrow else scale,
        weight_gradient=torch.is_grad_enabled() and weight.requires_grad,
        compiled=_worth_a_kernel(weight),
    )
    with torch.autocast(weight.device.type, enabled=False):
        total = _TiledPenalty.apply(weight, rows, columns, plan)[0]
        return total * scale if narrow else total


def _worth_a_kernel(weight: Tensor) -> bool:
    # A kernel reads memory, so a tensor must have some of its own: a fake one, or one in parts, has not.
    plain = type(weight.detach()) is Tensor
    return plain and weight.numel() >= kernels.COMPILED_FROM and not inside_torch_func()


@dataclass(frozen=True)
class _Plan:
    """Holds what a penalty is computed from besides tensors."""

    law: Law | KnownCosts
    scale: float
    weight_gradient: bool
    compiled: bool


class _TiledPenalty(torch.autograd.Function):
    """Computes value and gradients in the forward; the gradients are outputs so that `setup_context` can save them."""

    @staticmethod
    def forward(weight: Tensor, rows: Tensor, columns: Tensor, plan: _Plan) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dtype = working_dtype(weight.dtype)
        return sweep(
            weight.detach(),
            rows.detach().to(dtype),
            columns.detach().to(dtype),
            plan.law,
            plan.scale,
            weight_gradient=plan.weight_gradient,
            compiled=plan.compiled,
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*output[1:])
        ctx.dtypes = tuple(tensor.dtype for tensor in inputs[:3])

    @staticmethod
    def backward(ctx: Any, *output_gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        upstream = output_gradients[0]
        # torch.func always records the backward, so there a second derivative is refused only when it is used: it
        # arrives as a gradient of the saved gradients.
        second = any(gradient is not None for gradient in output_gradients[1:])
        if second or (torch.is_grad_enabled() and not inside_torch_func()):
            raise RuntimeError("the moduli penalty is differentiable once: call backward without create_graph=True")
        if upstream is None:
            return (None,) * 4
        # If autograd frees the graph after this backward, the saved gradient has no other user and is scaled in place.
        own = not (inside_torch_func() or graph_is_kept())
        scaled = (
            _scaled(saved, upstream, dtype, own) if need else None
            for saved, dtype, need in zip(ctx.saved_tensors, ctx.dtypes, ctx.needs_input_grad[:3], strict=True)
        )
        return (*scaled, None)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
        """Compute one penalty after another: the tiles of a single one already fill the machine."""
        results = [
            _TiledPenalty.apply(
                *(
                    value if dim is None else value.select(dim, index)
                    for value, dim in zip(inputs, in_dims, strict=True)
                )
            )
            for index in range(info.batch_size)
        ]
        return tuple(torch.stack(column) for column in zip(*results, strict=True)), (0, 0, 0, 0)


def _scaled(saved: Tensor, upstream: Tensor, dtype: torch.dtype, own: bool) -> Tensor:
    """Return upstream * saved in a dtype, computed in the saved tensor's own memory if `own` allows it."""
    if own and saved.dtype == upstream.dtype == dtype:
        saved = saved.detach()
        # Looking at the number would make a GPU wait.
        return saved if upstream.device.type == "cpu" and upstream.item() == 1 else saved.mul_(upstream)
    return (upstream * saved.to(upstream.dtype)).to(dtype)
