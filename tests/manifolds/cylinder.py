"""A manifold as a user would write it: one class, and nothing else of the library changed."""

import torch
from jaxtyping import Float
from torch import Tensor

from riemod.manifolds import Flaw, Manifold, Product, Torus
from riemod.manifolds.euclidean import Euclidean


class Cylinder(Manifold):
    """A circle of length 10 times the segment [0, 4]: d^2 = min(|a|, 10 - |a|)^2 + b^2, a and b the differences."""

    def __init__(self) -> None:
        # geoopt's side of it: the points move as on a circle times a line.
        super().__init__(2, 2, 2, Product([Torus(1), Euclidean(1)]).geometry)

    @property
    def diameter(self) -> float:
        return (25 + 16) ** 0.5

    def betti(self, prime: int) -> tuple[int, ...]:
        return (1, 1, 0)

    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "n k"]:
        drawn = torch.rand(n, 2, generator=generator, dtype=torch.float64) * torch.tensor([10.0, 4.0])
        return drawn.to(dtype=dtype or torch.get_default_dtype(), device=device)

    def coordinates(self, points: Tensor) -> Tensor:
        return points

    def squared_distance(self, row_coordinates: Tensor, column_coordinates: Tensor) -> Tensor:
        along = (row_coordinates[:, :1] - column_coordinates[:, 0]).abs()
        across = row_coordinates[:, 1:] - column_coordinates[:, 1]
        return torch.minimum(along, 10 - along) ** 2 + across**2

    def tile_key(self) -> tuple[object, ...]:
        return (Cylinder,)

    def chart(self, points: Tensor) -> tuple[Tensor, float]:
        return points, 10.0

    def flaws(self, points: Tensor, tolerance: float) -> list[Flaw]:
        outside = (points[:, 0] < -tolerance) | (points[:, 0] > 10 + tolerance)
        return [Flaw(outside, "first coordinates must be in [0, 10)")]
