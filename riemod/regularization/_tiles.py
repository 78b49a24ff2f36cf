"""Computes one tile of the penalty: its value and all slopes, by one function that Inductor compiles where it can.

The function is written once, for every manifold, inhibitor and power; `_kernels.py` says in which form it runs.
"""

import copy
import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from riemod.manifolds.base import Manifold
from riemod.regularization.inhibitors import CostLaw

# A tile and its intermediate results stay in a core's second-level cache; GPUs need larger ones.
TILE_ELEMENTS = 1 << 16
GPU_TILE_ELEMENTS = 1 << 21
# A tile spans whole rows, which lie in one piece, of weights up to this width; of wider ones it is a copied part.
WHOLE_ROWS = 1 << 15
TILE_WIDTH = 1 << 11
# torch copies this many numbers on one thread.
_COPIED_ELEMENTS = (1 << 15) - 1

_Pull = Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Law:
    """Describes what a pair of neurons pays for its weight, and whether slopes in their coordinates are wanted.

    Args:
        manifold: gives d^2 of a tile's rows and columns.
        inhibitor: f, or f+ and f-.
        power: exponent of |w|.
        learn: whether the tile returns slopes in the coordinates.
    """

    manifold: Manifold
    inhibitor: CostLaw
    power: float
    learn: bool

    def cost(self, block: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Compute f(d(x_i, y_j)), (r, c), from coordinates (r, k) and (k, c), which lie along the tile's rows.

        Where there are two laws, the sign of the weights in the block, (r, c), chooses.
        """
        squared = self.manifold.squared_distance(rows, columns.t())
        costs = [part.of_squared_distance(squared) for part in self.inhibitor.parts]
        return costs[0] if len(costs) == 1 else torch.where(block > 0, *costs)

    def key(self) -> tuple[object, ...] | None:
        """Return a key that laws with the same kernel share; None if the manifold has none."""
        manifold = self.manifold.tile_key()
        return None if manifold is None else (manifold, self.inhibitor, self.power, self.learn)

    def own(self) -> "Law":
        """Return a copy with its own manifold, for the caller's may change, and its key with it."""
        return replace(self, manifold=copy.deepcopy(self.manifold))

    def __str__(self) -> str:
        return f"{self.inhibitor} on {self.manifold}"


@dataclass(frozen=True)
class KnownCosts:
    """Describes costs that are known: the rows of a tile are then its costs themselves.

    Args:
        power: exponent of |w|.
        signed: whether there are two costs and the sign of the weight chooses; the columns of a tile are then the
            costs of negative weights.
    """

    power: float
    signed: bool = False
    learn: ClassVar[bool] = False

    def cost(self, block: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the costs as they came, or those of the signs in the block."""
        return torch.where(block > 0, rows, columns) if self.signed else rows

    def key(self) -> tuple[object, ...]:
        """Return a key that laws with the same kernel share."""
        return (KnownCosts, self.power, self.signed)

    def own(self) -> "KnownCosts":
        """Return itself: nothing in it changes."""
        return self

    def __str__(self) -> str:
        return "costs that are known"


def tile(
    law: Law | KnownCosts,
    differentiate: Callable[[Callable[..., Tensor], Tensor, Tensor], tuple[Tensor, _Pull]],
    block: Tensor,
    slope: Tensor,
    rows: Tensor,
    columns: Tensor,
    factor: Tensor,
    totals: Tensor,
    row_slopes: Tensor | None = None,
    column_slopes: Tensor | None = None,
) -> None:
    """Write factor * df|w|^p/dw of a tile into `slope`, and add its sums and its points' slopes to what they have.

    Args:
        law: what a pair costs.
        differentiate: `torch.func.vjp`, or the same by autograd outside a trace (`pull_by_autograd`).
        block: (r, c), the part of the weight.
        slope: (r, c), where its gradient goes.
        rows: (r, k), coordinates of the rows, or (r, c), known costs.
        columns: (k, c), coordinates of the columns, or (r, c), known costs of negative weights.
        factor: a scalar.
        totals: (r,), to which factor * the sums of f |w|^p along the rows are added.
        row_slopes: (r, k), to which the slopes in the rows' coordinates are added, if the law learns.
        column_slopes: (k, c), the same for the columns.
    """
    block = block.detach().to(rows.dtype)
    if row_slopes is not None and column_slopes is not None:
        magnitude = block.abs()
        cost, pull = differentiate(functools.partial(law.cost, block), rows, columns)
        row_slope, column_slope = pull((magnitude if law.power == 1 else magnitude**law.power) * factor)
        row_slopes.add_(row_slope)
        column_slopes.add_(column_slope)
    else:
        cost = law.cost(block, rows, columns)
    steepness = block.sign() * factor
    if law.power != 1:
        steepness = steepness * (law.power * block.abs() ** (law.power - 1))
    steepness = cost * steepness
    slope.copy_(steepness)
    # f |w|^p from its slope, by Euler's theorem: that keeps one number fewer of each entry, and takes one loop.
    totals.add_((steepness * block).sum(1) / law.power)


def spans(size: int, largest: int) -> list[slice]:
    """Cut 0..size into as few slices of at most `largest` entries as possible, of equal length up to one.

    Few shapes mean few compilations.

    >>> spans(7, 3)
    [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
    """
    count = -(-size // largest)
    small, rest = divmod(size, count)
    starts = [index * small + min(index, rest) for index in range(count + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(starts)]


def tile_shape(columns: int, device: torch.device) -> tuple[int, int]:
    """Return the largest height and width of a tile of a weight with that many columns."""
    if device.type != "cpu":
        elements, width = GPU_TILE_ELEMENTS, min(columns, TILE_WIDTH)
    elif columns <= WHOLE_ROWS:
        elements, width = TILE_ELEMENTS, columns
    else:
        elements, width = min(TILE_ELEMENTS, _COPIED_ELEMENTS), TILE_WIDTH
    width = min(width, elements)
    return max(1, elements // width), width


def pull_by_autograd(function: Callable[..., Tensor], rows: Tensor, columns: Tensor) -> tuple[Tensor, _Pull]:
    """Compute a function's value and its pull-back by autograd, as `torch.func.vjp` does."""
    with torch.enable_grad():
        leaves = rows.detach().requires_grad_(), columns.detach().requires_grad_()
        value = function(*leaves)

    def pull(upstream: Tensor) -> tuple[Tensor, ...]:
        if not value.requires_grad:
            return torch.zeros_like(rows), torch.zeros_like(columns)
        return torch.autograd.grad(value, leaves, upstream, allow_unused=True, materialize_grads=True)

    return value.detach(), pull
