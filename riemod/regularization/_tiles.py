"""Computes one tile of the penalty: its value and all slopes, by one function that Inductor compiles where it can.

The function is written once, for every manifold, inhibitor and power. `torch.compile` turns it into a kernel for the
CPU (C++) or the GPU (Triton), one for each law: manifold, inhibitor and power. Where there is no compiler, or a law
cannot be traced, the same function runs eagerly, with the same results and one note in the log.
"""

import copy
import functools
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from riemod._torch import import_inductor, with_own_code
from riemod.manifolds.base import Manifold
from riemod.regularization.inhibitors import CostLaw
from riemod.regularization.inhibitors.signed import cost_of

# Smaller weights are not worth a compiled kernel. Only sizes decide, so that a resumed run has the same bits.
COMPILED_FROM = 1 << 14
# Tiles of 64 x 2048 floats and their intermediate results stay in a core's second-level cache; GPUs need larger ones.
TILE_ELEMENTS = 1 << 17
TILE_WIDTH = 1 << 11
GPU_TILES = 16
_KEPT_KERNELS = 64

Slopes = tuple[Tensor, Tensor | None, Tensor | None]
_Pull = Callable[[Tensor], tuple[Tensor, ...]]
_LOGGER = logging.getLogger(__name__)


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
    """Describes costs that are known: the rows of a tile are then its costs themselves, (r, c) or (2, r, c).

    Args:
        power: exponent of |w|.
        signed: whether there are two costs, and the sign of the weight chooses.
    """

    power: float
    signed: bool = False
    learn: ClassVar[bool] = False

    def cost(self, block: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the costs as they came, or those of the signs in the block."""
        return cost_of(rows, block)

    def key(self) -> tuple[object, ...]:
        """Return a key that laws with the same kernel share."""
        return (KnownCosts, self.power, self.signed)

    def own(self) -> "KnownCosts":
        """Return itself: nothing in it changes."""
        return self


class Tile:
    """Computes tiles of one law, by a compiled kernel if that is asked for and possible.

    Called with `(block, slope, rows, columns, factor)`: the (r, c) part of the weight, where its gradient goes, the
    coordinates (r, k) and (k, c), and a scalar tensor. It writes factor * df|w|^p/dw into `slope` and returns factor *
    the rows' sums of f |w|^p, (r,), and, if the law learns, the slopes in both sets of coordinates, shaped as they are.

    Args:
        law: what a pair costs.
        compiled: whether to run a kernel of Inductor's.
        dtype: of the coordinates.
        device: of the tile.
    """

    def __init__(self, law: Law | KnownCosts, compiled: bool, dtype: torch.dtype, device: torch.device) -> None:
        self._law = law
        self._key = _kernel_key(law, dtype, device) if compiled else None
        self._kernel = None if self._key is None else _kernel(self._key, law)

    def __call__(self, block: Tensor, slope: Tensor, rows: Tensor, columns: Tensor, factor: Tensor) -> Slopes:
        if self._kernel is not None:
            try:
                return self._kernel(block, slope, rows, columns, factor)
            except Exception as error:  # Whatever stops the compiler, the eager tile has the answer, or the error.
                _KERNELS[self._key] = self._kernel = None
                _note(type(error).__name__, " ".join(str(error).split())[:200])
        return tile(self._law, _pull_by_autograd, block, slope, rows, columns, factor)


def tile(
    law: Law | KnownCosts,
    differentiate: Callable[[Callable[..., Tensor], Tensor, Tensor], tuple[Tensor, _Pull]],
    block: Tensor,
    slope: Tensor,
    rows: Tensor,
    columns: Tensor,
    factor: Tensor,
) -> Slopes:
    """Compute what `Tile` describes; `differentiate` is `torch.func.vjp`, or the same by autograd outside a trace."""
    block = block.detach().to(rows.dtype)
    if law.learn:
        magnitude = block.abs()
        cost, pull = differentiate(functools.partial(law.cost, block), rows, columns)
        row_slope, column_slope = pull((magnitude if law.power == 1 else magnitude**law.power) * factor)
    else:
        cost, row_slope, column_slope = law.cost(block, rows, columns), None, None
    steepness = block.sign() * factor
    if law.power != 1:
        steepness = steepness * (law.power * block.abs() ** (law.power - 1))
    steepness = cost * steepness
    slope.copy_(steepness)
    # f |w|^p from its slope, by Euler's theorem: that keeps one number fewer of each entry, and takes one loop.
    return (steepness * block).sum(1) / law.power, row_slope, column_slope


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
    elements = TILE_ELEMENTS if device.type == "cpu" else GPU_TILES * TILE_ELEMENTS
    width = min(columns, TILE_WIDTH, elements)
    return max(1, elements // width), width


def _pull_by_autograd(function: Callable[..., Tensor], rows: Tensor, columns: Tensor) -> tuple[Tensor, _Pull]:
    with torch.enable_grad():
        leaves = rows.detach().requires_grad_(), columns.detach().requires_grad_()
        value = function(*leaves)

    def pull(upstream: Tensor) -> tuple[Tensor, ...]:
        if not value.requires_grad:
            return torch.zeros_like(rows), torch.zeros_like(columns)
        return torch.autograd.grad(value, leaves, upstream, allow_unused=True, materialize_grads=True)

    return value.detach(), pull


# Kernels by what they depend on; None where compilation failed.
_KERNELS: dict[Any, Callable[..., Slopes] | None] = {}


def _kernel_key(law: Law | KnownCosts, dtype: torch.dtype, device: torch.device) -> Any:
    """Return the key of this law's kernel, or None if it has none."""
    key = law.key()
    if key is None:
        _note(str(law), "no tile_key")
        return None
    try:
        hash(key)
    except TypeError as error:
        _note(str(law), str(error))
        return None
    return (key, dtype, device.type)


def _kernel(key: Any, law: Law | KnownCosts) -> Callable[..., Slopes] | None:
    if key not in _KERNELS:
        while len(_KERNELS) >= _KEPT_KERNELS:
            del _KERNELS[next(iter(_KERNELS))]
        _KERNELS[key] = _compiled(law.own())
    return _KERNELS[key]


def _compiled(law: Law | KnownCosts) -> Callable[..., Slopes]:
    def kernel(block: Tensor, slope: Tensor, rows: Tensor, columns: Tensor, factor: Tensor) -> Slopes:
        return tile(law, torch.func.vjp, block, slope, rows, columns, factor)  # pyright: ignore[reportArgumentType]

    import_inductor()
    return torch.compile(with_own_code(kernel), dynamic=True, fullgraph=True)


_NOTED: set[str] = set()


def _note(what: str, reason: str) -> None:
    """Log why tiles are not compiled, once for each kind of error and each law."""
    if what not in _NOTED:
        _NOTED.add(what)
        _LOGGER.warning("the penalty runs without a compiled kernel, several times slower: %s: %s", what, reason)
