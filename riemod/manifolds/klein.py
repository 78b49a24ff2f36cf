"""The flat Klein bottle."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from riemod._checks import check_positive, check_prime
from riemod.manifolds import _geomstats
from riemod.manifolds._points import Flaw, as_points, box_lattice, draw, outside_interval, wrap
from riemod.manifolds.base import Lattice, Manifold
from riemod.manifolds.torus import TorusGeometry, differentiated_as, signed


class KleinGeometry(TorusGeometry):
    """Describes the Klein bottle to geoopt: across x = 0, y becomes period - y and tangent vectors are mirrored."""

    name = "Klein bottle"

    def projx(self, x: Tensor) -> Tensor:
        """Reduce points of the plane to their representatives in [0, period)^2."""
        return self._land(x)[0]

    def retr(self, x: Tensor, u: Tensor) -> Tensor:
        """Move from x along u; exact, because geodesics are straight."""
        return self._land(x + u)[0]

    def retr_transp(self, x: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Move from x along u, and transport v."""
        point, turned = self._land(x + u)
        return point, _mirror(v, turned)

    def expmap_transp(self, x: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Move from x along u, and transport v, as `retr_transp` does."""
        return self.retr_transp(x, u, v)

    def transp_follow_retr(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Transport v from x along u."""
        return self.retr_transp(x, u, v)[1]

    def transp_follow_expmap(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Transport v from x along u."""
        return self.retr_transp(x, u, v)[1]

    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Transport v from x to y along the shortest path."""
        return _mirror(v.expand_as(x + v), self._shortest(x, y)[1])

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the shortest tangent vector from x to y."""
        return self._shortest(x, y)[0]

    def _land(self, plane: Tensor) -> tuple[Tensor, Tensor]:
        """Reduce points of the plane to the square, and say which cross x = 0 an odd number of times."""
        across = wrap(plane[..., :1], self.period)
        # The turns are counted from the reduced point: by rounding, floor(x / period) can disagree with it.
        turned = torch.remainder(torch.round((plane[..., :1] - across) / self.period), 2) == 1
        along = wrap(torch.where(turned, -plane[..., 1:], plane[..., 1:]), self.period)
        return torch.cat((across, along), dim=-1), turned

    def _shortest(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shortest tangent vector from x to y, and whether it crosses x = 0."""
        across, along = y[..., :1] - x[..., :1], y[..., 1:] - x[..., 1:]
        straight = torch.cat((across, along - self.period * torch.round(along / self.period)), dim=-1)
        across, along = across - torch.where(across > 0, self.period, -self.period), -y[..., 1:] - x[..., 1:]
        crossing = torch.cat((across, along - self.period * torch.round(along / self.period)), dim=-1)
        turned = crossing.norm(dim=-1, keepdim=True) < straight.norm(dim=-1, keepdim=True)
        return torch.where(turned, crossing, straight), turned


def _mirror(vectors: Tensor, turned: Tensor) -> Tensor:
    """Reverse y of the vectors where `turned` is true."""
    return torch.cat((vectors[..., :1], torch.where(turned, -vectors[..., 1:], vectors[..., 1:])), dim=-1)


class KleinBottle(Manifold):
    """Describes the flat Klein bottle: [0, p]^2 with (x, 0) ~ (x, p) and (0, y) ~ (p, p - y), p the period.

    d^2 = min(dx^2 + |y1 - y2|_p^2, (p - |dx|)^2 + |y1 + y2|_p^2), where dx = x1 - x2 and |.|_p is the distance to the
    nearest multiple of p: the shorter of the paths that do not cross x = 0 and those that cross it once.
    Points are stored as two lengths in [0, p).

    Args:
        period: side of the square, > 0, in the caller's unit of length.

    Raises:
        ValueError: if period is not positive and finite.

    Reference: App. D of https://arxiv.org/abs/2406.06290.

    >>> bottle = KleinBottle()
    >>> bottle.distance(torch.tensor([[9.0, 2.0]]), torch.tensor([[1.0, 8.0]])).item()
    2.0
    """

    def __init__(self, period: float = 10.0) -> None:
        period = check_positive("period", period)
        super().__init__(2, 2, 6, KleinGeometry(period))
        self.period = period

    @property
    def diameter(self) -> float:
        return self.period / math.sqrt(2)

    def betti(self, prime: int) -> tuple[int, ...]:
        return (1, 2, 1) if check_prime(prime) == 2 else (1, 1, 0)

    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "n k"]:
        drawn = draw(n, 2, generator=generator, device=device) * self.period
        return self.geometry.projx(as_points(drawn, dtype, device))

    def coordinates(self, points: Float[Tensor, "n coordinate_dim"]) -> Float[Tensor, "n k"]:
        """Return x and y and, as constants of autograd, signed x, signed y, its rounding error, and y - period/2."""
        signed_points, exact = signed(points, self.period), points.detach().double()[:, 1:]
        lost = torch.where(exact >= self.period / 2, exact - self.period, exact) - signed_points[:, 1:].double()
        centered = exact - self.period / 2
        return torch.cat((points, signed_points, lost.to(points.dtype), centered.to(points.dtype)), dim=1)

    def squared_distance(
        self, row_coordinates: Float[Tensor, "r k"], column_coordinates: Float[Tensor, "c k"]
    ) -> Float[Tensor, "r c"]:
        period, half = self.period, self.period / 2
        rows = [column[:, None] for column in row_coordinates.detach().unbind(1)]
        columns = [column[None, :] for column in column_coordinates.detach().unbind(1)]
        straight_x = rows[0] - columns[0]
        crossing_x = torch.where(
            torch.abs(straight_x) > half,
            rows[2] - columns[2],
            torch.where(straight_x > 0, straight_x - period, straight_x + period),
        )
        difference = rows[1] - columns[1]
        straight_y = torch.where(torch.abs(difference) <= half, difference, rows[3] - columns[3])
        # y1 + y2 modulo the period. Where the sum of signed coordinates is small, it is exact. Where it exceeds half a
        # period, both points lie in the same half and the centered coordinates do not cancel.
        total = (rows[3] + columns[3]) + (rows[4] + columns[4])
        crossing_y = torch.where(torch.abs(total) <= half, total, rows[5] + columns[5])
        straight = straight_x * straight_x + straight_y * straight_y
        crosses = crossing_x * crossing_x + crossing_y * crossing_y < straight
        source_x = row_coordinates[:, 0, None] - column_coordinates[None, :, 0]
        source_y = row_coordinates[:, 1, None] + torch.where(crosses, 1.0, -1.0) * column_coordinates[None, :, 1]
        x = differentiated_as(torch.where(crosses, crossing_x, straight_x), source_x)
        y = differentiated_as(torch.where(crosses, crossing_y, straight_y), source_y)
        return x * x + y * y

    def tile_key(self) -> tuple[object, ...] | None:
        return self._own_key(KleinBottle, self.period)

    def scaled(self, factor: float) -> "KleinBottle":
        return KleinBottle(period=check_positive("factor", factor) * self.period)

    def chart(self, points: Tensor) -> tuple[Tensor, float]:
        """Return the points in the square of one period."""
        return points, self.period

    def lattice(self, count: int) -> Lattice:
        """Divide the square of one period into count^2 equal squares."""
        return Lattice(*box_lattice(count, self.period, self.dim))

    def angles(self, points: Tensor) -> Tensor:
        """Return the angle 2 pi x / period, (n, 1); y has no angle, because it is reversed across x = 0."""
        return points[:, :1] * (2 * math.pi / self.period)

    def to_space(self, points: Float[Tensor, "n coordinate_dim"]) -> np.ndarray:
        """Scale the points to the unit square."""
        return points.detach().double().cpu().numpy() / self.period

    def from_space(self, points: np.ndarray) -> Float[Tensor, "n coordinate_dim"]:
        """Scale the points to the square of one period."""
        return self.geometry.projx(torch.from_numpy(points) * self.period)

    def make_space(self) -> Any:
        return _geomstats.klein_bottle(self.period)

    def flaws(self, points: Tensor, tolerance: float) -> list[Flaw]:
        return [outside_interval(points, self.period, tolerance)]

    def extra_repr(self) -> str:
        return f"period={self.period:g}"
