"""Neurons in a row: the order of points along a space-filling curve, so that those near in the row are near in space.

A manifold says through `chart` where its points lie in a cube; the order is that of a Hilbert curve through that cube.
"""

import functools
import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from riemod.manifolds.base import Manifold
from riemod.manifolds.euclidean import Euclidean
from riemod.manifolds.klein import KleinBottle
from riemod.manifolds.poincare import PoincareBall
from riemod.manifolds.product import Product
from riemod.manifolds.sphere import Sphere
from riemod.manifolds.torus import Torus

__all__ = ["chart", "curve_order", "hilbert_order"]

# An int64 key holds 60 bits of all axes together; with many axes the key is several of them.
_KEY_BITS, _FEWEST_BITS, _MOST_BITS = 60, 16, 52


def curve_order(manifold: Manifold, points: Float[Tensor, "n k"]) -> Int64[Tensor, " n"]:
    """p with x_p(1), x_p(2), ... along a Hilbert curve through the cube of `chart(manifold, points)`.

    Every manifold with a `chart`. Points in one cell of the finest level (2^52 to 2^16 cells an axis, by the number of
    axes) keep their order, so that equal points do.

    Args:
        manifold: where the points lie.
        points: (n, coordinate_dim), n >= 0.

    Returns:
        (n,), a permutation, on the points' device: first the point at the curve's start.

    Raises:
        TypeError: if the points are not a floating-point tensor, or the manifold has no chart.
        ValueError: if they are not points of this manifold, such as NaN.

    Reference: Skilling 2004, https://doi.org/10.1063/1.1751381.

    >>> corners = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> curve_order(Euclidean(2), corners).tolist()
    [1, 2, 3, 0]
    """
    manifold.check_points(points)
    lengths, side = chart(manifold, points.detach().double())
    bits = min(_MOST_BITS, max(_FEWEST_BITS, _KEY_BITS // lengths.shape[1]))
    cells = (lengths * (2.0**bits / side)).long().clamp_(0, 2**bits - 1)
    return hilbert_order(cells, bits)


def hilbert_order(cells: Int64[Tensor, "n k"], bits: int) -> Int64[Tensor, " n"]:
    """p with cells c_p(1), c_p(2), ... along the Hilbert curve through the grid {0 .. 2^bits - 1}^k.

    The curve visits every cell of the grid once, and each step changes one coordinate by one.

    Args:
        cells: (n, k), coordinates in 0 .. 2^bits - 1; unchecked.
        bits: levels of the grid, 1 to 52.

    Returns:
        (n,), a permutation; equal cells keep their order.

    Reference: Skilling 2004, https://doi.org/10.1063/1.1751381 (the transform from axes to the transposed index).

    >>> hilbert_order(torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]), 1).tolist()
    [0, 1, 3, 2]
    """
    axes = list(cells.unbind(1))
    for level in range(bits - 1, 0, -1):
        below = (1 << level) - 1
        for axis, own in enumerate(axes):
            # Where the bit is set the first axis is inverted below it, and elsewhere the two are exchanged there.
            is_set = (own >> level) & 1 == 1
            exchanged = torch.where(is_set, 0, (axes[0] ^ own) & below)
            axes[axis] = own ^ exchanged if axis else own
            axes[0] = axes[0] ^ torch.where(is_set, below, exchanged)
    for axis in range(1, len(axes)):
        axes[axis] = axes[axis] ^ axes[axis - 1]
    flip = torch.zeros_like(axes[-1])
    for level in range(bits - 1, 0, -1):
        flip = flip ^ torch.where((axes[-1] >> level) & 1 == 1, (1 << level) - 1, 0)
    axes = [axis ^ flip for axis in axes]
    digits = [(axis >> level) & 1 for level in range(bits - 1, -1, -1) for axis in axes]
    order = torch.arange(len(cells), device=cells.device)
    # By the last digits first: a stable sort keeps their order where the digits before them are equal.
    for last in range(len(digits), 0, -_KEY_BITS):
        word = functools.reduce(lambda key, digit: 2 * key + digit, digits[max(last - _KEY_BITS, 0) : last])
        order = order[torch.argsort(word[order], stable=True)]
    return order


@functools.singledispatch
def chart(manifold: Manifold, points: Tensor) -> tuple[Tensor, float]:
    """Where points lie in a cube [0, side]^k, in lengths, so that near there is near on the manifold.

    Known for every manifold of this package; `chart.register` adds one's own. Each cuts its manifold open somewhere
    (no chart of a circle is whole), so that near on the manifold need not be near in the cube.

    Args:
        manifold: where the points lie.
        points: (n, coordinate_dim), float64.

    Returns:
        (n, k) and the cube's side > 0, in the manifold's unit of length.

    Raises:
        TypeError: for a manifold that none is registered for.

    >>> lengths, side = chart(Torus(2, period=4.0), torch.tensor([[1.0, 3.0]]))
    >>> lengths.tolist(), side
    ([[1.0, 3.0]], 4.0)
    """
    raise TypeError(f"manifold has no chart: {manifold}; add one by riemod.manifolds.curves.chart.register")


@chart.register
def _(manifold: Euclidean, points: Tensor) -> tuple[Tensor, float]:
    """From the corner of the points' bounding box, in a cube of its longest edge."""
    if not len(points):
        return points, manifold.side
    lengths = points - points.amin(0)
    return lengths, lengths.max().item() or manifold.side


@chart.register
def _(manifold: Torus | KleinBottle, points: Tensor) -> tuple[Tensor, float]:
    """The box of one period."""
    return points, manifold.period


@chart.register
def _(manifold: Sphere, points: Tensor) -> tuple[Tensor, float]:
    """The circle's arc length from (1, 0); the octahedral equal-area square; beyond two dimensions the ambient cube.

    The square has the north pole at its center and the south pole at its corners, and folds onto the sphere without a
    tear: a curve through it is one on the sphere. Reference: Clarberg 2008, https://doi.org/10.1080/2151237X.2008.10129263.
    """
    radius, unit = manifold.radius, points / points.norm(dim=1, keepdim=True)
    if manifold.dim == 1:
        angle = torch.atan2(unit[:, 1:], unit[:, :1])
        return torch.where(angle < 0, angle + 2 * math.pi, angle) * radius, 2 * math.pi * radius
    if manifold.dim > 2:
        return (unit + 1) * radius, 2 * radius
    x, y, z = unit.unbind(1)
    from_pole = torch.sqrt((x * x + y * y) / (1 + z.abs()))
    v = from_pole * torch.atan2(y.abs(), x.abs()) * (2 / math.pi)
    u = from_pole - v
    u, v = torch.where(z < 0, 1 - v, u), torch.where(z < 0, 1 - u, v)
    side = 2 * math.sqrt(math.pi) * radius
    return (torch.stack((u.copysign(x), v.copysign(y)), dim=1) + 1) * (side / 2), side


@chart.register
def _(manifold: PoincareBall, points: Tensor) -> tuple[Tensor, float]:
    """The ball itself, stretched so that the farthest point is at its geodesic distance from 0.

    Its coordinates are conformal, so that neighbors stay neighbors at every radius. Of 1024 points uniform within 5
    in the hyperbolic plane, successive ones are 0.76 apart, against 1.2 by the tangent space at 0.
    """
    norms = points.norm(dim=1)
    largest = norms.max().item() if len(points) else 0.0
    if largest == 0:
        return torch.ones_like(points), 2.0
    reach = 2 * math.atanh(largest) / math.sqrt(-manifold.curvature)
    return (points / largest + 1) * reach, 2 * reach


@chart.register
def _(manifold: Product, points: Tensor) -> tuple[Tensor, float]:
    """The factors' cubes joined into one, of the longest side: their lengths are comparable, as the metric has it."""
    parts = points.split([factor.coordinate_dim for factor in manifold.factors], dim=1)
    lengths, sides = zip(*(chart(*pair) for pair in zip(manifold.factors, parts, strict=True)), strict=True)
    return torch.cat(lengths, dim=1), max(sides)
