"""Bins of an arena: the cells of points that are nearest to each of some centers.

Squares of a box or torus, arcs of a circle, and the cells of landmarks on any other manifold all have this form.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from riemod._checks import check_integer, check_items, check_number, check_positive, check_type, shown
from riemod.manifolds import Euclidean, Manifold

__all__ = ["Bins", "landmark_bins", "nearest_bins", "regular_bins"]

_PAIRS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Bins:
    """Holds the centers of the bins of a manifold; a bin is what is nearer to its center than to any other.

    Args:
        manifold: the arena.
        centers: (b, coordinate_dim), float64.
        shape: of an image of all bins, with the first coordinate as its first axis; (b,) for landmarks.
        widths: of a bin along each axis of the image; None for landmarks.
    """

    manifold: Manifold
    centers: Float[Tensor, "b k"]
    shape: tuple[int, ...]
    widths: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            TypeError: for a field of another type.
            ValueError: if the centers are not points of the manifold, or not as many as the shape says.
        """
        check_type("manifold", self.manifold, Manifold, "a Manifold").check_points(self.centers, "centers")
        shape = [check_integer("shape", size, 1) for size in check_items("shape", self.shape, "a tuple of integers")]
        if math.prod(shape) != len(self.centers):
            raise ValueError(
                f"shape must have as many bins as there are centers, {len(self.centers)}, got {self.shape}"
            )
        if self.widths is not None:
            widths = check_items("widths", self.widths, "a tuple of lengths, or None")
            if len([check_positive("widths", width) for width in widths]) != len(shape):
                raise ValueError(f"widths must be one for each axis of shape, {len(shape)}, got {len(widths)}")


def regular_bins(manifold: Manifold, count: int, box: tuple[float, float] | None = None) -> Bins:
    """Divide an arena into regular bins.

    These are count^dim equal cubes of a box, torus or Klein bottle, count arcs of a circle, or count cells of nearly
    equal area on the 2-sphere, whose centers are a Fibonacci lattice.

    Args:
        manifold: Euclidean, Torus, KleinBottle, or Sphere of dimension 1 or 2.
        count: number of bins along each axis, or in total on spheres; >= 2.
        box: lowest and highest coordinate on every axis of a Euclidean space; (0, side) if None.

    Returns:
        The bins.

    Raises:
        TypeError: if the manifold is another one, for which there is `landmark_bins`.
        ValueError: if count is not an integer >= 2, or box is not increasing or is given for a space that is not
            Euclidean.

    Reference: Gonzalez 2010, https://arxiv.org/abs/0912.4540 (the Fibonacci lattice)

    >>> from riemod.manifolds import Torus
    >>> regular_bins(Torus(1, period=8.0), 4).centers.flatten().tolist()
    [1.0, 3.0, 5.0, 7.0]
    """
    check_type("manifold", manifold, Manifold, "a Manifold")
    if box is None:
        return Bins(manifold, *manifold.lattice(count))
    if not isinstance(manifold, Euclidean):
        raise ValueError(f"box must be None for {manifold}, which has an extent of its own, got {shown(box)}")
    if not isinstance(box, tuple | list) or len(box) != 2:
        raise TypeError(f"box must be two numbers or None, got {shown(box)}")
    low, high = (check_number("box", end) for end in box)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"box must be two increasing numbers, got {shown(box)}")
    centers, shape, widths = Euclidean(manifold.dim, side=high - low).lattice(count)
    return Bins(manifold, low + centers, shape, widths)


def landmark_bins(centers: Float[Tensor, "b k"], manifold: Manifold) -> Bins:
    """Divide an arena into the Voronoi cells of given points, for example of the landmarks of a place code.

    Args:
        centers: (b, coordinate_dim), b >= 2.
        manifold: of the centers.

    Returns:
        The bins.

    Raises:
        TypeError: if the centers are not a floating-point tensor.
        ValueError: if they are not points of the manifold, or there are fewer than 2.
    """
    check_type("manifold", manifold, Manifold, "a Manifold").check_points(centers, "centers")
    if len(centers) < 2:
        raise ValueError(f"centers must be at least 2, got {len(centers)}")
    return Bins(manifold, centers.detach().double().cpu(), (len(centers),))


def nearest_bins(positions: Float[Tensor, "t k"], bins: Bins) -> Int64[Tensor, " t"]:
    """Find the bin that holds each position.

    Args:
        positions: (t, coordinate_dim), points of the bins' manifold.
        bins: which divide it.

    Returns:
        (t,), indices of `bins.centers`.

    Raises:
        TypeError: positions are not a floating-point tensor.
        ValueError: they are not on the manifold.
    """
    manifold = check_type("bins", bins, Bins, "Bins").manifold
    manifold.check_points(positions, "positions")
    with torch.no_grad():
        pieces = positions.detach().double().cpu().split(max(1, _PAIRS_AT_ONCE // len(bins.centers)))
        return torch.cat([manifold.distance(piece, bins.centers).argmin(dim=1) for piece in pieces])
