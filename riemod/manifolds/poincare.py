"""Hyperbolic space as the Poincare ball."""

import math
import sys
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from riemod._checks import check_boolean, check_positive, shown
from riemod.manifolds import _geomstats
from riemod.manifolds._geoopt import geoopt
from riemod.manifolds._points import Flaw, as_points, check_dimension, contractible, draw
from riemod.manifolds.base import Manifold, safe_sqrt
from riemod.manifolds.euclidean import sum_of_squares

_RADIAL_CELLS = 1 << 14


# Learning should keep the curvature within this factor of where it starts, and fewer points than this at the bound.
_CURVATURE_RANGE = 16.0
_MOST_AT_THE_BOUND = 0.1


class BallGeometry(geoopt.PoincareBallExact):
    """Describes the unit ball to geoopt, with the metric (2 / (1 - |x|^2))^2 <u, v> / c of curvature -c.

    The curvature only scales the metric. So points stay in the ball while the curvature is learned, and a step of
    RiemannianAdam is a length. log c is a parameter if it is learned, and a plain number if not.
    """

    _unit: Tensor

    def __init__(self, curvature: float, learn_curvature: bool) -> None:
        # geoopt's own constructor would make a parameter of the unit ball's curvature, which must stay -1.
        super(geoopt.Stereographic, self).__init__()
        self.register_buffer("_unit", torch.tensor(-1.0), persistent=False)
        self._fixed_curvature = curvature
        self.log_curvature = nn.Parameter(torch.tensor(math.log(-curvature))) if learn_curvature else None

    @property
    def k(self) -> Tensor:
        """The curvature of the unit ball, -1, which every operation of geoopt uses."""
        return self._unit

    @property
    def c(self) -> Tensor:
        """Minus k."""
        return -self._unit

    @property
    def curvature(self) -> float:
        """-c, its present value."""
        return self._fixed_curvature if self.log_curvature is None else -math.exp(self.log_curvature.item())

    def squared_length(self) -> Tensor:
        """Compute 1 / c in float64, the squared unit of length of the unit ball; differentiable if learned."""
        if self.log_curvature is None:
            return torch.tensor(-1 / self._fixed_curvature, dtype=torch.float64)
        return torch.exp(-self.log_curvature.double())

    def inner(self, x: Tensor, u: Tensor, v: Tensor | None = None, *, keepdim: bool = False, dim: int = -1) -> Tensor:
        """Compute (2 / (1 - |x|^2))^2 <u, v> / c."""
        return super().inner(x, u, u if v is None else v, keepdim=keepdim, dim=dim) * self.squared_length()

    def norm(self, x: Tensor, u: Tensor, *, keepdim: bool = False, dim: int = -1) -> Tensor:
        """Compute 2 |u| / (1 - |x|^2) / sqrt(c)."""
        return super().norm(x, u, keepdim=keepdim, dim=dim) * self.squared_length().sqrt()

    def egrad2rgrad(self, x: Tensor, u: Tensor, *, dim: int = -1) -> Tensor:
        """Convert a Euclidean gradient to this metric."""
        return super().egrad2rgrad(x, u, dim=dim) / self.squared_length()

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False, dim: int = -1) -> Tensor:
        """Compute the geodesic distance."""
        return super().dist(x, y, keepdim=keepdim, dim=dim) * self.squared_length().sqrt()

    def dist2(self, x: Tensor, y: Tensor, *, keepdim: bool = False, dim: int = -1) -> Tensor:
        """Compute the squared geodesic distance."""
        return self.dist(x, y, keepdim=keepdim, dim=dim) ** 2


class PoincareBall(Manifold):
    """Describes hyperbolic space of curvature -c as the Poincare ball.

    The distance is d(x, y) = (2 / sqrt c) asinh(|x - y| / sqrt((1 - |x|^2) (1 - |y|^2))). Points are stored in the open
    unit ball, whatever the curvature: only the metric depends on it. geoopt stores points in the ball of radius
    1 / sqrt c; times sqrt c they are ours. As in geoopt, RiemannianAdam keeps float32 points within radius 0.996
    (geodesic radius 6.2 / sqrt c) and float64 points within 0.99999 (12.2 / sqrt c).

    Args:
        dim: dimension, >= 1.
        curvature: -c < 0, in 1 / length^2; the initial value if it is learned.
        learn_curvature: whether log c is a parameter of this module (`geometry.log_curvature`).
            Learning should keep c within a factor of 16 of where it starts, and points away from the bound above: a
            regularizer warns if c leaves that range, or a tenth of the points come to the bound, where c and the points
            only trade off.
        sample_radius: radius of the geodesic ball around 0 that `sample` draws from, > 0, a length.

    Raises:
        ValueError: if dim is not an integer >= 1, curvature is not negative and finite, or sample_radius is not
            positive and finite; from `sample` also if the ball exceeds the bound of the dtype above.

    Reference: Nickel and Kiela, https://arxiv.org/abs/1705.08039, eq. 1 (here with asinh, which is exact at small d).

    >>> ball = PoincareBall(2, curvature=-4.0)
    >>> round(ball.distance(torch.zeros(1, 2), torch.tensor([[math.tanh(1.0), 0.0]])).item(), 6)
    1.0
    """

    geometry: BallGeometry

    def __init__(
        self, dim: int, curvature: float = -1.0, learn_curvature: bool = False, sample_radius: float = 5.0
    ) -> None:
        if not (isinstance(curvature, int | float) and -sys.float_info.max <= curvature < 0):
            raise ValueError(f"curvature must be negative and finite, got {shown(curvature)}")
        tile_dim = check_dimension(dim) + 1 + check_boolean("learn_curvature", learn_curvature)
        super().__init__(dim, dim, tile_dim, BallGeometry(float(curvature), learn_curvature))
        self.learn_curvature = learn_curvature
        self._first_curvature = float(curvature)
        self.sample_radius = check_positive("sample_radius", sample_radius)

    @property
    def curvature(self) -> float:
        """-c, its present value."""
        return self.geometry.curvature

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
        """Draw n independent points, uniform in volume in the geodesic ball of radius `sample_radius` around 0."""
        extent = math.sqrt(-self.curvature) * self.sample_radius
        dtype = torch.get_default_dtype() if dtype is None else dtype
        bound = _largest_norm(dtype)
        if math.tanh(extent / 2) > bound:
            reach = 2 * math.atanh(bound) / math.sqrt(-self.curvature)
            raise ValueError(
                f"sample_radius must be at most {reach:.4g} for {dtype} points at curvature {self.curvature:g}, "
                f"got {self.sample_radius:g}"
            )
        direction = draw(n, self.dim, generator=generator, device=device, normal=True)
        uniform = draw(n, 1, generator=generator, device=device)
        radius = _radial_quantile(uniform, self.dim, extent)
        return as_points(torch.tanh(radius / 2) * direction / direction.norm(dim=1, keepdim=True), dtype, device)

    def coordinates(self, points: Float[Tensor, "n coordinate_dim"]) -> Float[Tensor, "n k"]:
        """Return the points, 1 / (1 - |x|^2) and, if the curvature is learned, 2 / sqrt c."""
        # In float64: near the boundary 1 - |x|^2 cancels.
        stretch = 1 / (1 - points.double().square().sum(dim=1, keepdim=True))
        columns = [points, stretch.to(points.dtype)]
        if self.learn_curvature:
            columns.append(2 * self.geometry.squared_length().sqrt().to(points).expand(len(points), 1))
        return torch.cat(columns, dim=1)

    def squared_distance(
        self, row_coordinates: Float[Tensor, "r k"], column_coordinates: Float[Tensor, "c k"]
    ) -> Float[Tensor, "r c"]:
        stretch = row_coordinates[:, self.dim, None] * column_coordinates[None, :, self.dim]
        squared_sinh = sum_of_squares(row_coordinates, column_coordinates, self.dim) * stretch
        # asinh(s) = log1p(s + s^2 / (1 + sqrt(1 + s^2))) is as exact as torch's asinh, and the penalty twice as fast.
        cosh = torch.sqrt(1 + squared_sinh)
        half = torch.log1p(safe_sqrt(squared_sinh) + squared_sinh / (1 + cosh))
        if self.learn_curvature:
            return row_coordinates[:, -1, None] * column_coordinates[None, :, -1] * (half * half)
        return (-4 / self.curvature) * (half * half)

    def tile_key(self) -> tuple[object, ...] | None:
        return self._own_key(PoincareBall, self.dim, None if self.learn_curvature else self.curvature)

    def scaled(self, factor: float) -> "PoincareBall":
        factor = check_positive("factor", factor)
        radius = factor * self.sample_radius
        return PoincareBall(self.dim, self.curvature / factor**2, self.learn_curvature, sample_radius=radius)

    def complaint_while_learning(self, points: Tensor) -> str | None:
        factor = self.curvature / self._first_curvature
        if not 1 / _CURVATURE_RANGE <= factor <= _CURVATURE_RANGE:
            return (
                f"the learned curvature, {self.curvature:.3g}, is more than {_CURVATURE_RANGE:g} times as far from "
                f"{self._first_curvature:g} as learning should take it"
            )
        bound = _largest_norm(points.dtype)
        share = (points.detach().norm(dim=1) >= bound - 1e-6).double().mean().item()
        if share >= _MOST_AT_THE_BOUND:
            return f"{share:.0%} of the points are at norm {bound:.6g}, the largest that their dtype takes"
        return None

    def chart(self, points: Tensor) -> tuple[Tensor, float]:
        """Scale the ball such that the farthest point is at its geodesic distance from 0.

        The coordinates are conformal, so that neighbors stay neighbors at every radius. Of 1024 points uniform within
        radius 5 of the hyperbolic plane, successive ones on the curve are 0.76 apart; by the tangent space at 0, 1.2.
        """
        norms = points.norm(dim=1)
        largest = norms.max().item() if len(points) else 0.0
        if largest == 0:
            return torch.ones_like(points), 2.0
        reach = 2 * math.atanh(largest) / math.sqrt(-self.curvature)
        return (points / largest + 1) * reach, 2 * reach

    def to_space(self, points: Float[Tensor, "n coordinate_dim"]) -> np.ndarray:
        return points.detach().double().cpu().numpy()

    def from_space(self, points: np.ndarray) -> Float[Tensor, "n coordinate_dim"]:
        return torch.from_numpy(points)

    def make_space(self) -> Any:
        return _geomstats.poincare_ball(self.dim, self.curvature)

    def _space_state(self) -> object:
        return self.curvature

    def flaws(self, points: Tensor, tolerance: float) -> list[Flaw]:
        return [Flaw(points.double().square().sum(dim=1) >= 1, "norms must be below 1")]

    def extra_repr(self) -> str:
        learned = ", learn_curvature=True" if self.learn_curvature else ""
        return f"dim={self.dim}, curvature={self.curvature:g}{learned}, sample_radius={self.sample_radius:g}"


def _largest_norm(dtype: torch.dtype) -> float:
    """Return the norm to which geoopt pulls points back."""
    return 1 - (4e-3 if dtype == torch.float32 else 1e-5)


def _radial_quantile(uniform: Tensor, dim: int, extent: float) -> Tensor:
    """Compute the radius in [0, extent] within which the share u of the ball's volume, int sinh(r)^(dim - 1), lies."""
    if dim == 2:
        return 2 * torch.asinh(torch.sqrt(uniform) * math.sinh(extent / 2))
    edges = torch.linspace(0.0, extent, _RADIAL_CELLS + 1, dtype=torch.float64, device=uniform.device)
    density = (torch.sinh(edges) / math.sinh(extent)) ** (dim - 1)
    share = torch.cat((torch.zeros_like(edges[:1]), torch.cumulative_trapezoid(density, edges)))
    share = share / share[-1]
    upper = torch.searchsorted(share, uniform, right=True)
    below, above = share[upper - 1], share[upper]
    return edges[upper - 1] + (uniform - below) / (above - below) * (extent / _RADIAL_CELLS)
