"""The contract of a manifold: where neurons live, how far apart they are, and what may move them.

Conventions, once for the whole package: points are rows, (n, coordinate_dim); a length is in the manifold's own unit
(that of its radius, period or side); distances are geodesic. The *tile form* is what the penalty engine sees:
`coordinates(points)` prepares one row a point, in O(n), and `squared_distance` combines rows into an (r, c) tile with
plain torch operations, one coordinate at a time, so that no (r, c, dim) tensor exists and a compiler can fuse the loop.
Whatever the distance depends on that can be learned flows in through the coordinates.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from riemod.manifolds import _geomstats
from riemod.manifolds._geoopt import geoopt
from riemod.manifolds._points import bad_rows


def safe_sqrt(squared: Tensor) -> Tensor:
    """sqrt(s), with gradient 0 instead of infinity where s is exactly 0.

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
    """Centers of equal cells of a manifold."""

    centers: Float[Tensor, "b k"]
    """(b, coordinate_dim), float64."""
    shape: tuple[int, ...]
    """Of an image of all cells, the first coordinate first."""
    widths: tuple[float, ...] | None
    """Of a cell along each axis of the image; None if the cells are no boxes."""


class Manifold(nn.Module, ABC):
    """A Riemannian manifold whose points are the rows of a tensor.

    Args:
        dim: dimension of the manifold, >= 1.
        coordinate_dim: how many numbers store one point.
        tile_dim: how many numbers `coordinates` gives of each point.
        geometry: the geoopt manifold that a ManifoldParameter and RiemannianAdam see. Its learning rate is a length:
            a first step moves every point by lr in the manifold's unit.
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
        """The largest geodesic distance between two points; infinity where there is none."""

    @abstractmethod
    def betti(self, prime: int) -> tuple[int, ...]:
        """Betti numbers (b_0, ..., b_dim) of homology with coefficients modulo a prime.

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
        """n points, independent and uniform in volume.

        geomstats has uniform samplers for some of these spaces, but they draw from a global state; these use the
        generator alone, so that the same seed gives the same bits. The tests hold the two together.

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
        """What the tile form needs of each point, one row a point; differentiable, unchecked."""

    @abstractmethod
    def squared_distance(
        self, row_coordinates: Float[Tensor, "r k"], column_coordinates: Float[Tensor, "c k"]
    ) -> Float[Tensor, "r c"]:
        """d(x_i, y_j)^2 from two sets of `coordinates`: the tile form, differentiable, unchecked."""

    @abstractmethod
    def tile_key(self) -> tuple[object, ...] | None:
        """Return the type and every number that `squared_distance` depends on besides its arguments.

        The penalty shares one compiled kernel among manifolds with equal keys. None says that the numbers are not
        known; then it compiles none.
        """

    @abstractmethod
    def to_space(self, points: Float[Tensor, "n coordinate_dim"]) -> np.ndarray:
        """The points as float64 numbers in the representation that `space` takes."""

    def scaled(self, factor: float) -> "Manifold":
        """Return a new manifold with every distance, and the region that `sample` draws from, `factor` times as large.

        Args:
            factor: > 0.

        Raises:
            ValueError: if the factor is not positive and finite.
            TypeError: if manifolds of this kind have no scale; rescale the inhibitor then.
        """
        raise self._lacks("scaled")

    def chart(self, points: Float[Tensor, "n coordinate_dim"]) -> tuple[Float[Tensor, "n k"], float]:
        """Map points into a cube [0, side]^k, in lengths, so that near in the cube is near on the manifold.

        A chart cuts its manifold open somewhere (no chart of a circle is whole), so that near on the manifold need not
        be near in the cube. `riemod.manifolds.curve_order` orders points along a curve through the cube.

        Args:
            points: (n, coordinate_dim), float64, unchecked.

        Returns:
            (n, k) and the cube's side > 0, in the manifold's unit of length.

        Raises:
            TypeError: if manifolds of this kind have no chart.
        """
        raise self._lacks("chart")

    def lattice(self, count: int) -> Lattice:
        """Return points spread evenly over the manifold: the centers of equal cells.

        Args:
            count: cells along each axis, or in all on spheres of dimension 2; >= 2.

        Raises:
            ValueError: if count is not an integer >= 2.
            TypeError: if manifolds of this kind have no lattice.
        """
        raise self._lacks("lattice")

    def angles(self, points: Float[Tensor, "n coordinate_dim"]) -> Float[Tensor, "n c"] | None:
        """Return the angles that points have along the manifold's loops, in rad, or None if it has no such angles.

        Args:
            points: (n, coordinate_dim), unchecked.
        """
        return None

    def distance(self, x: Tensor, y: Tensor) -> Float[Tensor, "n m"]:
        """The geodesic distances d(x_i, y_j), with gradient 0 at coincident points; exactly symmetric if y is x.

        Args:
            x: (n, coordinate_dim), points.
            y: (m, coordinate_dim), points.

        Returns:
            (n, m), in the manifold's unit of length.

        Raises:
            ValueError: if x or y is not a set of points of this manifold, or they are on different devices.
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
            # torch's vector and scalar arctangents differ in the last bit, and which is used depends on the entry.
            squared = squared.triu(1)
            squared = squared + squared.T
        return safe_sqrt(squared)

    def check_points(self, points: Tensor, name: str = "points") -> None:
        """Raise unless these are points of the manifold, up to rounding in their dtype.

        Args:
            points: what came.
            name: the argument's name, for the message.

        Raises:
            TypeError: if it is not a floating-point tensor.
            ValueError: if it is not (n, coordinate_dim), holds NaN or infinity, or a row is off the manifold.
        """
        if not isinstance(points, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(points).__name__}")
        if not points.is_floating_point():
            raise TypeError(f"{name} must be floating-point, got {points.dtype}")
        if points.ndim != 2 or points.shape[1] != self.coordinate_dim:
            raise ValueError(
                f"{name} must have shape (n, {self.coordinate_dim}) on {self}, got shape {tuple(points.shape)}"
            )
        points = points.detach()
        finite = torch.isfinite(points)
        if not bool(finite.all()):
            raise ValueError(f"{name} must be finite, got NaN or infinity in {bad_rows(~finite)}")
        complaint = self._complaint(points, max(1e-5, 32 * torch.finfo(points.dtype).eps))
        if complaint is not None:
            raise ValueError(f"{name} must lie on {self}: {complaint}")

    def parameter(self, points: Tensor, requires_grad: bool = True) -> geoopt.ManifoldParameter:
        """The points, copied, as a parameter that RiemannianAdam moves along the manifold.

        Args:
            points: (n, coordinate_dim), on the manifold.
            requires_grad: whether they are learned.

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
        """The geomstats manifold with its metric, in the same unit of length; made on first use and kept."""
        state = self._space_state()
        if self._cached_space is None or self._cached_space[0] != state:
            self._cached_space = (state, self._make_space())
        return self._cached_space[1]

    def reference_distance(self, x: Tensor, y: Tensor) -> np.ndarray:
        """The distances d(x_i, y_i) as geomstats computes them, in float64.

        Args:
            x: (n, coordinate_dim), points.
            y: (n, coordinate_dim), as many points.

        Returns:
            (n,), an array of float64.

        Raises:
            TypeError: if x or y is not a floating-point tensor.
            ValueError: if they are not equally many points of this manifold.
        """
        self.check_points(x, "x")
        self.check_points(y, "y")
        if x.shape != y.shape:
            raise ValueError(f"y must hold as many points as x, {x.shape[0]}, got {y.shape[0]}")
        return _geomstats.distance(self.space, self.to_space(x), self.to_space(y))

    def _lacks(self, method: str) -> TypeError:
        return TypeError(f"manifold must be of a kind that has the method {method!r}, got {self}")

    def _own_key(self, kind: type["Manifold"], *numbers: object) -> tuple[object, ...] | None:
        """Return (kind, *numbers), or None for a subclass: its distance may depend on more."""
        return (kind, *numbers) if type(self) is kind else None

    @abstractmethod
    def _make_space(self) -> Any:
        """Build the geomstats manifold."""

    def _space_state(self) -> object:
        """What `space` was built from and learning can change."""
        return None

    @abstractmethod
    def _complaint(self, points: Tensor, tolerance: float) -> str | None:
        """What is wrong with finite points of the right shape, or None."""

    def __getstate__(self) -> dict[str, Any]:
        # geomstats' metrics hold bound methods and closures: neither copied nor pickled, but made again when asked for.
        return {**self.__dict__, "_cached_space": None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"
