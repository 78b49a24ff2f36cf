"""The interface of a manifold: its points, its distances, and the geometry that optimizers move points by.

Conventions of the whole package: points are rows, (n, coordinate_dim); a length is in the manifold's own unit (that of
its radius, period or side); distances are geodesic. The penalty computes distances in *tile form*:
`coordinates(points)` prepares one row for each point, in O(n), and `squared_distance` combines rows into an (r, c) tile
with plain torch operations, one coordinate at a time, so that no (r, c, dim) tensor exists and a compiler can fuse the
loop. Everything that the distance depends on and that can be learned enters through the coordinates.

A new manifold is one file with a subclass of `Manifold`. It must define the abstract methods. `make_space`, `to_space`,
`from_space`, `scaled`, `chart`, `lattice` and `angles` are optional: what needs one of them refuses a manifold without
it, or does without the angles.

geomstats draws the uniform points of spheres and tori, and computes the distances, geodesics and means that analysis
and figures use. The penalty's tiles are our own closed form, which the tests hold to geomstats' distances.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from riemod.manifolds import _geomstats
from riemod.manifolds._geoopt import geoopt
from riemod.manifolds._points import Flaw, bad_rows, rounding_error


def safe_sqrt(squared: Tensor) -> Tensor:
    """Compute sqrt(s), with gradient 0 instead of infinity where s is exactly 0.

    Args:
        squared: s >= 0, any shape; a negative or NaN entry gives NaN.

    Returns:
        A tensor of the same shape.

    >>> s = torch.tensor([0.0, 4.0], requires_grad=True)
    >>> torch.autograd.grad(safe_sqrt(s).sum(), s)[0]
    tensor([0.0000, 0.2500])
    """
    zero = squared == 0
    root = torch.sqrt(torch.where(zero, 1.0, squared))
    return torch.where(zero, 0.0, root)


class Lattice(NamedTuple):
    """Holds the centers of equal cells of a manifold."""

    centers: Float[Tensor, "b k"]
    """(b, coordinate_dim), float64."""
    shape: tuple[int, ...]
    """The number of cells along each axis, the first coordinate first; (b,) if the cells are not boxes."""
    widths: tuple[float, ...] | None
    """The width of a cell along each axis, in the manifold's unit of length; None if the cells are not boxes."""


class Manifold(nn.Module, ABC):
    """Describes a Riemannian manifold whose points are the rows of a tensor.

    Args:
        dim: dimension of the manifold, >= 1.
        coordinate_dim: number of coordinates that store a point.
        tile_dim: number of columns that `coordinates` returns.
        geometry: the geoopt manifold of points that are learned. The learning rate of RiemannianAdam is a length: its
            first step moves every point by lr in the manifold's unit.
    """

    def __init__(self, dim: int, coordinate_dim: int, tile_dim: int, geometry: geoopt.Manifold) -> None:
        super().__init__()
        self.dim = dim
        self.coordinate_dim = coordinate_dim
        self.tile_dim = tile_dim
        self.geometry = geometry
        self._cached_space: tuple[object, Any] | None = None

    @property
    @abstractmethod
    def diameter(self) -> float:
        """The largest geodesic distance between two points; infinity if distances are unbounded."""

    @abstractmethod
    def betti(self, prime: int) -> tuple[int, ...]:
        """Return the Betti numbers (b_0, ..., b_dim) of homology with coefficients modulo a prime.

        Raises:
            ValueError: if prime is not a prime number.
        """

    @abstractmethod
    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "n k"]:
        """Draw n independent points, uniform in volume.

        Points of spheres and tori come from geomstats' uniform laws, seeded by one draw from the generator. The cube,
        the Klein bottle and the hyperbolic ball have samplers of their own; geomstats' law of the ball is not uniform
        in volume. The same seed gives the same bits, and no global state changes.

        Args:
            n: number of points, >= 0.
            generator: source of every draw, on any device; torch's global generator of `device` if None.
            dtype: of the points; torch's default if None. The draw itself is in float64.
            device: of the points; the generator's if None.

        Returns:
            (n, coordinate_dim), a plain tensor without gradient.

        Raises:
            ValueError: if n is not an integer >= 0.
            TypeError: if dtype is not a floating-point type.
        """

    @abstractmethod
    def coordinates(self, points: Float[Tensor, "n coordinate_dim"]) -> Float[Tensor, "n k"]:
        """Prepare points for `squared_distance`, one row for each point; differentiable, unchecked."""

    @abstractmethod
    def squared_distance(
        self, row_coordinates: Float[Tensor, "r k"], column_coordinates: Float[Tensor, "c k"]
    ) -> Float[Tensor, "r c"]:
        """Compute d(x_i, y_j)^2 from two sets of `coordinates`, differentiable and unchecked."""

    @abstractmethod
    def tile_key(self) -> tuple[object, ...] | None:
        """Return the type and every number that `squared_distance` depends on besides its arguments.

        The penalty shares one compiled kernel among manifolds with equal keys. Return None if these numbers are not
        known: the penalty then runs without a compiled kernel.
        """

    @abstractmethod
    def flaws(self, points: Float[Tensor, "n coordinate_dim"], tolerance: float) -> list[Flaw]:
        """Return what may be wrong with rows of the right shape, without a look at the numbers.

        Args:
            points: (n, coordinate_dim).
            tolerance: the relative error that rounding may have left in them.

        Returns:
            A flaw for each rule that points must follow; an empty list if any row of finite numbers is a point.
        """

    def make_space(self) -> Any:
        """Build the geomstats manifold with its metric, in the same unit of length; `space` keeps it.

        Raises:
            TypeError: if the manifold, or a factor of a product, does not define `make_space`.
        """
        raise self._lacks("make_space")

    def to_space(self, points: Float[Tensor, "n coordinate_dim"]) -> np.ndarray:
        """Convert points to float64 numbers in the representation that `space` takes.

        Raises:
            TypeError: if the manifold, or a factor of a product, does not define `to_space`.
        """
        raise self._lacks("to_space")

    def from_space(self, points: np.ndarray) -> Float[Tensor, "n coordinate_dim"]:
        """Convert points from the representation that `space` takes, as the inverse of `to_space`; float64, unchecked.

        Raises:
            TypeError: if the manifold, or a factor of a product, does not define `from_space`.
        """
        raise self._lacks("from_space")

    def scaled(self, factor: float) -> "Manifold":
        """Return a new manifold on which all distances are `factor` times as large.

        The region that `sample` draws from is scaled as well.

        Args:
            factor: > 0.

        Raises:
            ValueError: if the factor is not positive and finite.
            TypeError: if the manifold, or a factor of a product, does not define `scaled`; scale the inhibitor then.
        """
        raise self._lacks("scaled")

    def chart(self, points: Float[Tensor, "n coordinate_dim"]) -> tuple[Float[Tensor, "n k"], float]:
        """Map points to a cube [0, side]^k such that points near in the cube are near on the manifold.

        The converse need not hold: a chart may cut the manifold open, as every chart of a circle does.
        `riemod.manifolds.curve_order` orders points along a curve through the cube.

        Args:
            points: (n, coordinate_dim), float64; unchecked.

        Returns:
            (n, k), and the cube's side > 0, in the manifold's unit of length.

        Raises:
            TypeError: if the manifold, or a factor of a product, does not define `chart`.
        """
        raise self._lacks("chart")

    def lattice(self, count: int) -> Lattice:
        """Divide the manifold into equal cells, and return their centers.

        Args:
            count: number of cells along each axis; the total number on the 2-sphere; >= 2.

        Raises:
            ValueError: if count is not an integer >= 2.
            TypeError: if the manifold does not define `lattice`.
        """
        raise self._lacks("lattice")

    def complaint_while_learning(self, points: Float[Tensor, "n coordinate_dim"]) -> str | None:
        """Say what shows that learning has gone astray, such as points at the edge of the numbers, or return None.

        A regularizer that learns points warns with it, once.
        """
        return None

    def angles(self, points: Float[Tensor, "n coordinate_dim"]) -> Float[Tensor, "n c"] | None:
        """Compute the angular coordinates of points that are continuous on the whole manifold, in rad.

        Args:
            points: (n, coordinate_dim); unchecked.

        Returns:
            (n, c), each angle modulo 2 pi, or None if the manifold has no such coordinate.
        """
        return None

    def distance(self, x: Tensor, y: Tensor) -> Float[Tensor, "n m"]:
        """Compute the geodesic distances d(x_i, y_j).

        The gradient is 0 at coincident points. The result is exactly symmetric if y is the same object as x.

        Args:
            x: (n, coordinate_dim), points.
            y: (m, coordinate_dim), points.

        Returns:
            (n, m), in the manifold's unit of length.

        Raises:
            ValueError: if x or y does not hold points of this manifold, or they are on different devices.
            TypeError: if x or y is not a floating-point tensor, or their dtypes differ.
        """
        self.check_points(x, "x")
        self.check_points(y, "y")
        if x.dtype != y.dtype:
            raise TypeError(f"y must have the dtype of x, {x.dtype}, got {y.dtype}")
        if x.device != y.device:
            raise ValueError(f"y must be on the device of x, {x.device}, got {y.device}")
        squared = self.squared_distance(self.coordinates(x), self.coordinates(y))
        if y is x:
            # torch's vector and scalar arctangents differ in the last bit, and the entry's place decides between them.
            squared = squared.triu(1)
            squared = squared + squared.T
        return safe_sqrt(squared)

    def check_points(self, points: Tensor, name: str = "points") -> None:
        """Check that a tensor holds points of the manifold, up to rounding in its dtype.

        Args:
            points: what to check.
            name: the argument's name in the message.

        Raises:
            TypeError: if `points` is not a floating-point tensor.
            ValueError: if it is not (n, coordinate_dim), holds NaN or infinity, or has a row off the manifold.
        """
        self.check_form(points, name)
        points = points.detach()
        finite = torch.isfinite(points)
        if not bool(finite.all()):
            raise ValueError(f"{name} must be finite, got NaN or infinity in {bad_rows(~finite)}")
        for flaw in self.flaws(points, rounding_error(points)):
            complaint = flaw.told()
            if complaint is not None:
                raise ValueError(f"{name} must lie on {self}: {complaint}")

    def check_form(self, points: Tensor, name: str = "points") -> None:
        """Check the type and the shape of what should be points, and none of its numbers.

        Args:
            points: what to check.
            name: the argument's name in the message.

        Raises:
            TypeError: if `points` is not a dense floating-point tensor.
            ValueError: if it is not (n, coordinate_dim).
        """
        if not isinstance(points, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(points).__name__}")
        if not points.is_floating_point():
            raise TypeError(f"{name} must be floating-point, got {points.dtype}")
        if points.is_meta or points.layout != torch.strided:
            raise TypeError(f"{name} must be a dense tensor with numbers, got {points.layout} on {points.device}")
        if points.ndim != 2 or points.shape[1] != self.coordinate_dim:
            raise ValueError(
                f"{name} must have shape (n, {self.coordinate_dim}) on {self}, got shape {tuple(points.shape)}"
            )

    def holds(self, points: Float[Tensor, "n coordinate_dim"]) -> Bool[Tensor, ""]:
        """Return whether `check_points` would let numbers pass, as a tensor: on a GPU nothing waits for it.

        Args:
            points: of the right type and shape (`check_form`).

        >>> from riemod.manifolds import Torus
        >>> Torus(2).holds(torch.tensor([[0.0, 11.0]]))
        tensor(False)
        """
        points = points.detach()
        held = torch.isfinite(points).all()
        for flaw in self.flaws(points, rounding_error(points)):
            held = held & ~flaw.bad.any()
        return held

    def parameter(self, points: Tensor, requires_grad: bool = True) -> geoopt.ManifoldParameter:
        """Copy points into a parameter that RiemannianAdam moves along the manifold.

        Args:
            points: (n, coordinate_dim), on the manifold.
            requires_grad: whether the points are learned.

        Returns:
            A geoopt parameter on `geometry`.

        Raises:
            TypeError: if the points are not a floating-point tensor.
            ValueError: if they are not points of this manifold.
        """
        self.check_points(points)
        copied = points.detach().clone()
        return geoopt.ManifoldParameter(copied, self.geometry, requires_grad)  # pyright: ignore[reportCallIssue]

    @property
    def space(self) -> Any:
        """The geomstats manifold with its metric, in the same unit of length; built on first use and kept."""
        state = self._space_state()
        if self._cached_space is None or self._cached_space[0] != state:
            self._cached_space = (state, self.make_space())
        return self._cached_space[1]

    def reference_distance(self, x: Tensor, y: Tensor) -> np.ndarray:
        """Compute the distances d(x_i, y_i) with geomstats, in float64.

        Args:
            x: (n, coordinate_dim), points.
            y: (n, coordinate_dim), as many points as x.

        Returns:
            (n,), an array of float64.

        Raises:
            TypeError: if x or y is not a floating-point tensor.
            ValueError: if they do not hold the same number of points of this manifold.
        """
        self.check_points(x, "x")
        self.check_points(y, "y")
        if x.shape != y.shape:
            raise ValueError(f"y must hold as many points as x, {x.shape[0]}, got {y.shape[0]}")
        return _geomstats.distance(self.space, self.to_space(x), self.to_space(y))

    def _lacks(self, method: str) -> TypeError:
        return TypeError(f"manifold must define the method {method!r}, got {self}")

    def _own_key(self, kind: type["Manifold"], *numbers: object) -> tuple[object, ...] | None:
        """Return (kind, *numbers), or None for a subclass, whose distance may depend on more numbers."""
        return (kind, *numbers) if type(self) is kind else None

    def _space_state(self) -> object:
        """Return the numbers that `space` is built from and that learning can change."""
        return None

    def __getstate__(self) -> dict[str, Any]:
        # geomstats' metrics hold bound methods and closures, which cannot be pickled: `space` makes new ones.
        return {**self.__dict__, "_cached_space": None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"
