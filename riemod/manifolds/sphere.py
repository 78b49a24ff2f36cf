"""The round sphere of any dimension; in dimension 1 the circle."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from riemod._checks import check_integer, check_positive, check_prime
from riemod._machine import check_fits
from riemod.manifolds import _geomstats
from riemod.manifolds._geoopt import geoopt
from riemod.manifolds._points import Flaw, as_points, check_dimension
from riemod.manifolds._uniform import draw_uniform
from riemod.manifolds.base import Lattice, Manifold, safe_sqrt
from riemod.manifolds.euclidean import sum_of_squares


class SphereGeometry(geoopt.Sphere):
    """Describes the sphere to geoopt: unit vectors with the metric radius^2 <u, v> of a sphere of that radius.

    Because the metric holds the radius, a step of RiemannianAdam is a length along the sphere of that radius.
    """

    def __init__(self, radius: float) -> None:
        super().__init__()
        self.radius = radius

    def inner(self, x: Tensor, u: Tensor, v: Tensor | None = None, *, keepdim: bool = False) -> Tensor:
        """Compute radius^2 <u, v>."""
        return self.radius**2 * super().inner(x, u, u if v is None else v, keepdim=keepdim)

    def norm(self, x: Tensor, u: Tensor, *, keepdim: bool = False) -> Tensor:
        """Compute radius |u|."""
        return self.radius * u.norm(dim=-1, keepdim=keepdim)

    def egrad2rgrad(self, x: Tensor, u: Tensor) -> Tensor:
        """Convert a Euclidean gradient to this metric: its tangent part over radius^2."""
        return self.proju(x, u) / self.radius**2

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """Apply the exponential map and renormalize, so that rounding errors do not add up over the steps."""
        return self.projx(super().expmap(x, u))

    def retr(self, x: Tensor, u: Tensor) -> Tensor:
        """Apply the exponential map."""
        return self.expmap(x, u)

    def transp_follow_expmap(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Transport v in parallel along the geodesic from x along u; geoopt's own projects v and shortens it."""
        angle = u.norm(dim=-1, keepdim=True)
        along = u / torch.where(angle == 0, 1.0, angle)
        share = (v * along).sum(dim=-1, keepdim=True)
        return v + share * ((torch.cos(angle) - 1) * along - torch.sin(angle) * x)

    def expmap_transp(self, x: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Move from x along u, and transport v."""
        return self.expmap(x, u), self.transp_follow_expmap(x, u, v)

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the shortest tangent vector from x to y; zero where they coincide or are antipodal."""
        direction = self.proju(x, y - x)
        length = direction.norm(dim=-1, keepdim=True)
        zero = length == 0
        angle = self.dist(x, y, keepdim=True) / self.radius
        return torch.where(zero, 0.0, angle / torch.where(zero, 1.0, length)) * direction

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Compute 2 radius atan2(|x - y|, |x + y|)."""
        chord, cochord = (x - y).norm(dim=-1, keepdim=keepdim), (x + y).norm(dim=-1, keepdim=keepdim)
        return 2 * self.radius * torch.atan2(chord, cochord)


class Sphere(Manifold):
    """Describes the sphere of a radius in R^{dim+1} with d(x, y) = 2 radius atan2(|x - y|, |x + y|).

    Points are stored as unit vectors, whatever the radius. The distance is radius times the angle between the two
    vectors for any norms of theirs, so that rounding of the norms does not change it.

    Args:
        dim: dimension, >= 1; 1 is the circle.
        radius: > 0, in the caller's unit of length.

    Raises:
        ValueError: if dim is not an integer >= 1, or radius is not positive and finite.

    Reference: W. Kahan, "How Futile are Mindless Assessments of Roundoff", sec. 12,
    https://people.eecs.berkeley.edu/~wkahan/Mindless.pdf (the angle between two vectors).

    >>> circle = Sphere(1, radius=2.0)
    >>> east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> round(circle.distance(east, north).item() / math.pi, 6)
    1.0
    """

    def __init__(self, dim: int, radius: float = 5.0) -> None:
        radius = check_positive("radius", radius)
        super().__init__(check_dimension(dim), dim + 1, dim + 2, SphereGeometry(radius))
        self.radius = radius

    @property
    def diameter(self) -> float:
        return math.pi * self.radius

    def betti(self, prime: int) -> tuple[int, ...]:
        check_prime(prime)
        return (1, *(0 for _ in range(self.dim - 1)), 1)

    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "n k"]:
        """Draw n independent points by geomstats' uniform law; see `Manifold.sample`."""
        return as_points(draw_uniform(self, n, generator=generator, device=device), dtype, device)

    def coordinates(self, points: Float[Tensor, "n coordinate_dim"]) -> Float[Tensor, "n k"]:
        """Return the vectors x and |x| - 1."""
        excess = points.double().norm(dim=1, keepdim=True) - 1
        return torch.cat((points, excess.to(points.dtype)), dim=1)

    def squared_distance(
        self, row_coordinates: Float[Tensor, "r k"], column_coordinates: Float[Tensor, "c k"]
    ) -> Float[Tensor, "r c"]:
        # |x - y|^2 = (|x| - |y|)^2 + 4 |x| |y| sin^2(angle / 2); at small angles rounding of the norms would dominate.
        radial = row_coordinates[:, -1, None] - column_coordinates[None, :, -1]
        chord = sum_of_squares(row_coordinates, column_coordinates, self.coordinate_dim) - radial * radial
        cochord = sum_of_squares(row_coordinates, -column_coordinates, self.coordinate_dim)
        half_angle = torch.atan2(safe_sqrt(torch.relu(chord)), safe_sqrt(cochord))
        return (4 * self.radius**2) * (half_angle * half_angle)

    def tile_key(self) -> tuple[object, ...] | None:
        return self._own_key(Sphere, self.dim, self.radius)

    def scaled(self, factor: float) -> "Sphere":
        return Sphere(self.dim, radius=check_positive("factor", factor) * self.radius)

    def chart(self, points: Tensor) -> tuple[Tensor, float]:
        """Map the circle to arc length from (1, 0), the 2-sphere to a square of equal area, others to the ambient cube.

        The square has the north pole at its center and the south pole at its corners. It folds onto the sphere
        without a tear, so that a curve through the square is a curve on the sphere.

        Reference: Clarberg 2008, https://doi.org/10.1080/2151237X.2008.10129263
        """
        radius, unit = self.radius, points / points.norm(dim=1, keepdim=True)
        if self.dim == 1:
            angle = torch.atan2(unit[:, 1:], unit[:, :1])
            return torch.where(angle < 0, angle + 2 * math.pi, angle) * radius, 2 * math.pi * radius
        if self.dim > 2:
            return (unit + 1) * radius, 2 * radius
        x, y, z = unit.unbind(1)
        from_pole = torch.sqrt((x * x + y * y) / (1 + z.abs()))
        v = from_pole * torch.atan2(y.abs(), x.abs()) * (2 / math.pi)
        u = from_pole - v
        u, v = torch.where(z < 0, 1 - v, u), torch.where(z < 0, 1 - u, v)
        side = 2 * math.sqrt(math.pi) * radius
        return (torch.stack((u.copysign(x), v.copysign(y)), dim=1) + 1) * (side / 2), side

    def lattice(self, count: int) -> Lattice:
        """Divide the circle into equal arcs, or the 2-sphere into the cells of a Fibonacci lattice.

        Raises:
            ValueError: if count is not an integer >= 2.
            TypeError: if the sphere has three or more dimensions.
        """
        count = check_integer("count", count, least=2)
        check_fits("count", count, 8 * count * self.coordinate_dim)
        if self.dim == 1:
            angles = (torch.arange(count, dtype=torch.float64) + 0.5) * (2 * math.pi / count)
            widths = (2 * math.pi * self.radius / count,)
            return Lattice(torch.stack((angles.cos(), angles.sin()), dim=1), (count,), widths)
        if self.dim > 2:
            raise self._lacks("lattice")
        return Lattice(fibonacci_lattice(count), (count,), None)

    def angles(self, points: Tensor) -> Tensor | None:
        """Return the circle's angle from (1, 0), counterclockwise, in (-pi, pi]; None in higher dimensions."""
        return torch.atan2(points[:, 1:], points[:, :1]) if self.dim == 1 else None

    def to_space(self, points: Float[Tensor, "n coordinate_dim"]) -> np.ndarray:
        """Normalize the vectors again, in float64."""
        vectors = points.detach().double().cpu()
        return (vectors / vectors.norm(dim=1, keepdim=True)).numpy()

    def from_space(self, points: np.ndarray) -> Float[Tensor, "n coordinate_dim"]:
        return torch.from_numpy(points)

    def make_space(self) -> Any:
        return _geomstats.sphere(self.dim, self.radius)

    def flaws(self, points: Tensor, tolerance: float) -> list[Flaw]:
        return [Flaw((points.double().norm(dim=1) - 1).abs() > tolerance, "points must be unit vectors")]

    def extra_repr(self) -> str:
        return f"dim={self.dim}, radius={self.radius:g}"


def fibonacci_lattice(count: int, offset: float = 0.5) -> Float[Tensor, "n 3"]:
    """Spread points over the unit 2-sphere with an equal area for each, each a golden angle further east than the last.

    Args:
        count: n, unchecked.
        offset: the first point's angle, in golden angles.

    Returns:
        (n, 3), float64, from the north pole to the south pole.

    Reference: Gonzalez 2010, https://arxiv.org/abs/0912.4540

    >>> fibonacci_lattice(4)[:, 2].tolist()
    [0.75, 0.25, -0.25, -0.75]
    """
    index = torch.arange(count, dtype=torch.float64)
    height, angle = 1 - (2 * index + 1) / count, (index + offset) * (math.pi * (3 - math.sqrt(5)))
    flat = torch.sqrt(1 - height.square())
    return torch.stack((flat * angle.cos(), flat * angle.sin(), height), dim=-1)
