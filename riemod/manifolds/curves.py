"""The order of points along a space-filling curve: points that are near in the order are near on the manifold.

`Manifold.chart` maps points to a cube, and a Hilbert curve through that cube orders them.
"""

import functools

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from riemod._checks import check_type
from riemod.manifolds.base import Manifold

__all__ = ["curve_order", "hilbert_order"]

# An int64 key holds 60 bits of all axes together; with many axes the key is several of them.
_KEY_BITS, _FEWEST_BITS, _MOST_BITS = 60, 16, 52


def curve_order(points: Float[Tensor, "n k"], manifold: Manifold) -> Int64[Tensor, " n"]:
    """Order points along a Hilbert curve through the cube of `manifold.chart(points)`.

    Points in one cell of the finest level (2^52 to 2^16 cells along an axis, the fewer the more axes) keep their order,
    and so do equal points.

    Args:
        points: (n, coordinate_dim), n >= 0.
        manifold: where the points lie; it must define `chart`.

    Returns:
        (n,), a permutation p on the points' device, such that points[p] follow the curve from its start.

    Raises:
        TypeError: if the points are not a floating-point tensor, or the manifold does not define `chart`.
        ValueError: if they are not points of this manifold.

    Reference: Skilling 2004, https://doi.org/10.1063/1.1751381.

    >>> from riemod.manifolds import Euclidean
    >>> corners = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> curve_order(corners, Euclidean(2)).tolist()
    [1, 2, 3, 0]
    """
    check_type("manifold", manifold, Manifold, "a Manifold").check_points(points)
    lengths, side = manifold.chart(points.detach().double())
    bits = min(_MOST_BITS, max(_FEWEST_BITS, _KEY_BITS // lengths.shape[1]))
    cells = (lengths * (2.0**bits / side)).long().clamp_(0, 2**bits - 1)
    return hilbert_order(cells, bits)


def hilbert_order(cells: Int64[Tensor, "n k"], bits: int) -> Int64[Tensor, " n"]:
    """Order cells along the Hilbert curve through the grid {0 .. 2^bits - 1}^k.

    The curve visits every cell of the grid once, and each step changes one coordinate by one.

    Args:
        cells: (n, k), coordinates in 0 .. 2^bits - 1; unchecked.
        bits: number of levels of the grid, 1 to 52.

    Returns:
        (n,), a permutation p such that cells[p] follow the curve; equal cells keep their order.

    Reference: Skilling 2004, https://doi.org/10.1063/1.1751381 (the transform from axes to the transposed index).

    >>> hilbert_order(torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]), 1).tolist()
    [0, 1, 3, 2]
    """
    axes = list(cells.unbind(1))
    for level in range(bits - 1, 0, -1):
        below = (1 << level) - 1
        for axis, own in enumerate(axes):
            # Where the bit is set, invert the lower bits of the first axis; elsewhere exchange those of both axes.
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
    # Sort by the last word first: later stable sorts keep this order where the words before it are equal.
    for last in range(len(digits), 0, -_KEY_BITS):
        word = functools.reduce(lambda key, digit: 2 * key + digit, digits[max(last - _KEY_BITS, 0) : last])
        order = order[torch.argsort(word[order], stable=True)]
    return order
