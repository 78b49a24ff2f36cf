"""Euclidean space R^dim."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from riemod._checks import check_positive
from riemod.manifolds import _geomstats
from riemod.manifolds._geoopt import geoopt
from riemod.manifolds._points import Flaw, as_points, box_lattice, check_dimension, contractible, draw
from riemod.manifolds.base import Lattice, Manifold


class FlatGeometry(geoopt.Euclidean):
    """Describes R^dim to geoopt, one point a row, with adaptive step sizes by the norm of the row.

    geoopt's own class adapts each coordinate separately, so that the first step of RiemannianAdam has length
    lr sqrt(dim) and depends on the choice of axes. By the norm it has length lr in every direction, as on geoopt's
    curved manifolds.
    """

    def __init__(self) -> None:
        super().__init__(ndim=1)

    def component_inner(self, x: Tensor, u: Tensor, v: Tensor | None = None) -> Tensor:
        """Compute <u, v> of each row and keep the last axis."""
        return self.inner(x, u, v, keepdim=True)  # pyright: ignore[reportArgumentType]  # geoopt's default is None


class Euclidean(Manifold):
    """Describes R^dim with d(x, y) = |x - y|; points are drawn uniformly from the cube [0, side]^dim.

    Args:
        dim: dimension, >= 1.
        side: edge of the cube that `sample` draws from and `lattice` fills, > 0, in the caller's unit of length.

    Raises:
        ValueError: if dim is not an integer >= 1, or side is not positive and finite.

    Reference: App. D of https://arxiv.org/abs/2406.06290 (R^3 with points uniform in [0, 10]^3).

    >>> Euclidean(2).distance(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).item()
    5.0
    """

    def __init__(self, dim: int, side: float = 10.0) -> None:
        super().__init__(check_dimension(dim), dim, dim, FlatGeometry())
        self.side = check_positive("side", side)

    @property
    def diameter(self) -> float:
        return math.inf

    def betti(self, prime: int) -> tuple[int, ...]:
        return contractible(self.dim, prime)

    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "n k"]:
        return as_points(draw(n, self.dim, generator=generator, device=device) * self.side, dtype, device)

    def coordinates(self, points: Float[Tensor, "n coordinate_dim"]) -> Float[Tensor, "n k"]:
        return points

    def squared_distance(
        self, row_coordinates: Float[Tensor, "r k"], column_coordinates: Float[Tensor, "c k"]
    ) -> Float[Tensor, "r c"]:
        return sum_of_squares(row_coordinates, column_coordinates, self.dim)

    def tile_key(self) -> tuple[object, ...] | None:
        return self._own_key(Euclidean, self.dim)

    def scaled(self, factor: float) -> "Euclidean":
        return Euclidean(self.dim, side=check_positive("factor", factor) * self.side)

    def chart(self, points: Tensor) -> tuple[Tensor, float]:
        """Measure points from a corner of their bounding box, in a cube with the longest edge of the box."""
        if not len(points):
            return points, self.side
        lengths = points - points.amin(0)
        return lengths, lengths.max().item() or self.side

    def lattice(self, count: int) -> Lattice:
        """Divide the box [0, side]^dim into count^dim equal cubes."""
        return Lattice(*box_lattice(count, self.side, self.dim))

    def to_space(self, points: Float[Tensor, "n coordinate_dim"]) -> np.ndarray:
        return points.detach().double().cpu().numpy()

    def from_space(self, points: np.ndarray) -> Float[Tensor, "n coordinate_dim"]:
        return torch.from_numpy(points)

    def make_space(self) -> Any:
        return _geomstats.euclidean(self.dim)

    def flaws(self, points: Tensor, tolerance: float) -> list[Flaw]:
        return []

    def extra_repr(self) -> str:
        return f"dim={self.dim}, side={self.side:g}"


def sum_of_squares(rows: Tensor, columns: Tensor, count: int) -> Tensor:
    """Compute sum_k (rows_ik - columns_jk)^2 over the first `count` coordinates, one (r, c) term at a time."""
    difference = rows[:, 0, None] - columns[None, :, 0]
    total = difference * difference
    for k in range(1, count):
        difference = rows[:, k, None] - columns[None, :, k]
        total = total + difference * difference
    return total
