"""The flat torus R^dim / (period Z)^dim, a product of circles."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from riemod._checks import check_positive, check_prime
from riemod.manifolds import _geomstats
from riemod.manifolds._points import Flaw, as_points, box_lattice, check_dimension, outside_interval, wrap
from riemod.manifolds._uniform import draw_uniform
from riemod.manifolds.base import Lattice, Manifold
from riemod.manifolds.euclidean import FlatGeometry


class TorusGeometry(FlatGeometry):
    """Describes the flat torus to geoopt: steps end in [0, period), and transport keeps tangent vectors unchanged."""

    name = "Torus"

    def __init__(self, period: float) -> None:
        super().__init__()
        self.period = period

    def projx(self, x: Tensor) -> Tensor:
        """Wrap each coordinate into [0, period)."""
        return wrap(x, self.period)

    def retr(self, x: Tensor, u: Tensor) -> Tensor:
        """Move from x along u; exact, because geodesics are straight."""
        return wrap(x + u, self.period)

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """Apply the exponential map, which equals the retraction."""
        return self.retr(x, u)

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the shortest tangent vector from x to y."""
        difference = y - x
        return difference - self.period * torch.round(difference / self.period)

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Compute the length of the logarithm."""
        return self.logmap(x, y).norm(dim=-1, keepdim=keepdim)

    def dist2(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Compute the squared length of the logarithm."""
        return self.logmap(x, y).square().sum(dim=-1, keepdim=keepdim)

    def _check_point_on_manifold(self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5) -> tuple[bool, str | None]:
        reason = outside_interval(x, self.period, rtol).told()
        return reason is None, reason

    def extra_repr(self) -> str:
        """Show the period."""
        return f"period={self.period:g}"


class Torus(Manifold):
    """Describes the flat torus with d(x, y)^2 = sum_k min over integers m of (x_k - y_k - m period)^2.

    Points are stored as dim lengths in [0, period).

    Args:
        dim: dimension, >= 1.
        period: length of each circle, > 0, in the caller's unit.

    Raises:
        ValueError: if dim is not an integer >= 1, or period is not positive and finite.

    Reference: App. D of https://arxiv.org/abs/2406.06290 (R^2/10Z^2 and the 6-torus R^6/10Z^6).

    >>> Torus(2).distance(torch.tensor([[9.5, 0.0]]), torch.tensor([[2.5, 4.0]])).item()
    5.0
    """

    def __init__(self, dim: int, period: float = 10.0) -> None:
        period = check_positive("period", period)
        super().__init__(check_dimension(dim), dim, 2 * dim, TorusGeometry(period))
        self.period = period

    @property
    def diameter(self) -> float:
        return math.sqrt(self.dim) * self.period / 2

    def betti(self, prime: int) -> tuple[int, ...]:
        check_prime(prime)
        return tuple(math.comb(self.dim, degree) for degree in range(self.dim + 1))

    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "n k"]:
        """Draw n independent points by geomstats' uniform laws of the circles; see `Manifold.sample`."""
        drawn = self._lengths(draw_uniform(self, n, generator=generator, device=device))
        return wrap(as_points(drawn, dtype, device), self.period)

    def coordinates(self, points: Float[Tensor, "n coordinate_dim"]) -> Float[Tensor, "n k"]:
        """Return the points in [0, period) and, as constants of autograd, in [-period/2, period/2)."""
        return torch.cat((points, signed(points, self.period)), dim=1)

    def squared_distance(
        self, row_coordinates: Float[Tensor, "r k"], column_coordinates: Float[Tensor, "c k"]
    ) -> Float[Tensor, "r c"]:
        shortest = wrapped_difference(row_coordinates, column_coordinates, 0, self.dim, self.period)
        total = shortest * shortest
        for k in range(1, self.dim):
            shortest = wrapped_difference(row_coordinates, column_coordinates, k, self.dim + k, self.period)
            total = total + shortest * shortest
        return total

    def tile_key(self) -> tuple[object, ...] | None:
        return self._own_key(Torus, self.dim, self.period)

    def scaled(self, factor: float) -> "Torus":
        return Torus(self.dim, period=check_positive("factor", factor) * self.period)

    def chart(self, points: Tensor) -> tuple[Tensor, float]:
        """Return the points in the box of one period."""
        return points, self.period

    def lattice(self, count: int) -> Lattice:
        """Divide the box of one period into count^dim equal cubes."""
        return Lattice(*box_lattice(count, self.period, self.dim))

    def angles(self, points: Tensor) -> Tensor:
        """Return the angle 2 pi x / period of each coordinate, (n, dim)."""
        return points * (2 * math.pi / self.period)

    def to_space(self, points: Float[Tensor, "n coordinate_dim"]) -> np.ndarray:
        """Map each coordinate to a unit vector of the plane, one after the other: (n, 2 dim)."""
        angles = points.detach().double().cpu().numpy() * (2 * math.pi / self.period)
        return np.stack((np.cos(angles), np.sin(angles)), axis=-1).reshape(len(angles), -1)

    def from_space(self, points: np.ndarray) -> Float[Tensor, "n coordinate_dim"]:
        """Map the unit vectors of the planes to lengths in [0, period)."""
        return self._lengths(torch.from_numpy(points))

    def _lengths(self, vectors: Tensor) -> Tensor:
        pairs = vectors.unflatten(1, (self.dim, 2))
        return wrap(torch.atan2(pairs[..., 1], pairs[..., 0]) * (self.period / (2 * math.pi)), self.period)

    def make_space(self) -> Any:
        return _geomstats.torus(self.dim, self.period)

    def flaws(self, points: Tensor, tolerance: float) -> list[Flaw]:
        return [outside_interval(points, self.period, tolerance)]

    def extra_repr(self) -> str:
        return f"dim={self.dim}, period={self.period:g}"


def signed(values: Tensor, period: float) -> Tensor:
    """Move values in [0, period) to [-period/2, period/2), rounded once, as a constant of autograd.

    Points on either side of 0 differ in it without the rounding error of their difference in [0, period).
    """
    exact = values.detach().double()
    return torch.where(exact >= period / 2, exact - period, exact).to(values.dtype)


def wrapped_difference(rows: Tensor, columns: Tensor, plain: int, around: int, period: float) -> Tensor:
    """Compute x_i - y_j modulo the period, nearest to 0, from the columns of the plain and of the signed coordinate."""
    direct = rows[:, plain, None] - columns[None, :, plain]
    through_seam = rows[:, around, None] - columns[None, :, around]
    nearest = torch.where(torch.abs(direct) <= period / 2, direct, through_seam)
    return differentiated_as(nearest, direct)


def differentiated_as(value: Tensor, source: Tensor) -> Tensor:
    """Return the value with the derivatives of every order of a source that differs by a piecewise constant.

    This keeps branches out of the backward pass, where they cost most.
    """
    return value.detach() + (source - source.detach())
