"""The Riemannian product of manifolds."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from riemod._checks import check_items, check_positive, check_prime
from riemod.manifolds import _geomstats
from riemod.manifolds._geoopt import geoopt
from riemod.manifolds._points import Flaw
from riemod.manifolds.base import Manifold


class Product(Manifold):
    """Describes the product M_1 x M_2 x ... with d(x, y)^2 = sum_i d_i(x_i, y_i)^2.

    A row holds the coordinates of the factors' points one after the other.

    Args:
        factors: the manifolds, at least one, all in the same unit of length.

    Raises:
        ValueError: if there is no factor.
        TypeError: if a factor is not a Manifold.

    >>> from riemod.manifolds import Sphere, Torus
    >>> cylinder = Product([Torus(1), Sphere(1)])
    >>> cylinder.coordinate_dim, cylinder.betti(2)
    (3, (1, 2, 1))
    """

    def __init__(self, factors: Sequence[Manifold]) -> None:
        factors = tuple(check_items("factors", factors, "manifolds"))
        if not factors:
            raise ValueError("factors must hold at least one manifold, got none")
        for factor in factors:
            if not isinstance(factor, Manifold):
                raise TypeError(f"factors must be manifolds, got {type(factor).__name__}")
        geometry = geoopt.ProductManifold(*((factor.geometry, factor.coordinate_dim) for factor in factors))
        super().__init__(
            sum(factor.dim for factor in factors),
            sum(factor.coordinate_dim for factor in factors),
            sum(factor.tile_dim for factor in factors),
            geometry,
        )
        # Not a ModuleList: the parameters of a factor are in `geometry`, and would appear twice in the state_dict.
        self.factors: tuple[Manifold, ...] = factors

    @property
    def diameter(self) -> float:
        return math.hypot(*(factor.diameter for factor in self.factors))

    def betti(self, prime: int) -> tuple[int, ...]:
        """Return the Betti numbers by Kuenneth's formula: the Poincare polynomials multiply."""
        check_prime(prime)
        product = [1]
        for factor in self.factors:
            product = np.convolve(product, factor.betti(prime)).tolist()
        return tuple(product)

    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "n k"]:
        return torch.cat(
            [factor.sample(n, generator=generator, dtype=dtype, device=device) for factor in self.factors], dim=1
        )

    def coordinates(self, points: Float[Tensor, "n coordinate_dim"]) -> Float[Tensor, "n k"]:
        parts = self._split(points)
        return torch.cat([factor.coordinates(part) for factor, part in zip(self.factors, parts, strict=True)], dim=1)

    def squared_distance(
        self, row_coordinates: Float[Tensor, "r k"], column_coordinates: Float[Tensor, "c k"]
    ) -> Float[Tensor, "r c"]:
        widths = [factor.tile_dim for factor in self.factors]
        pairs = zip(row_coordinates.split(widths, dim=1), column_coordinates.split(widths, dim=1), strict=True)
        squares = [factor.squared_distance(*pair) for factor, pair in zip(self.factors, pairs, strict=True)]
        return sum(squares[1:], squares[0])

    def tile_key(self) -> tuple[object, ...] | None:
        keys = [factor.tile_key() for factor in self.factors]
        return None if None in keys else self._own_key(Product, *keys)

    def scaled(self, factor: float) -> "Product":
        check_positive("factor", factor)
        return Product([part.scaled(factor) for part in self.factors])

    def chart(self, points: Tensor) -> tuple[Tensor, float]:
        """Join the cubes of the factors to one with the longest side: their lengths are in the same unit."""
        charts = [factor.chart(part) for factor, part in zip(self.factors, self._split(points), strict=True)]
        return torch.cat([lengths for lengths, _ in charts], dim=1), max(side for _, side in charts)

    def angles(self, points: Tensor) -> Tensor | None:
        """Return the angles of all factors that have any, one after the other; None if no factor has any."""
        found = [factor.angles(part) for factor, part in zip(self.factors, self._split(points), strict=True)]
        known = [angles for angles in found if angles is not None]
        return torch.cat(known, dim=1) if known else None

    def to_space(self, points: Float[Tensor, "n coordinate_dim"]) -> np.ndarray:
        parts = zip(self.factors, self._split(points), strict=True)
        return np.concatenate([factor.to_space(part) for factor, part in parts], axis=1)

    def from_space(self, points: np.ndarray) -> Tensor:
        widths = [factor.space.shape[0] for factor in self.factors]
        parts = zip(self.factors, np.split(points, np.cumsum(widths)[:-1], axis=1), strict=True)
        return torch.cat([factor.from_space(part) for factor, part in parts], dim=1)

    def _split(self, points: Tensor) -> tuple[Tensor, ...]:
        return points.split([factor.coordinate_dim for factor in self.factors], dim=1)

    def make_space(self) -> Any:
        return _geomstats.product([factor.space for factor in self.factors])

    def _space_state(self) -> object:
        return tuple(factor._space_state() for factor in self.factors)

    def flaws(self, points: Tensor, tolerance: float) -> list[Flaw]:
        return [
            flaw._replace(factors=((index, factor), *flaw.factors))
            for index, (factor, part) in enumerate(zip(self.factors, self._split(points), strict=True))
            for flaw in factor.flaws(part, tolerance)
        ]

    def extra_repr(self) -> str:
        return ", ".join(repr(factor) for factor in self.factors)
