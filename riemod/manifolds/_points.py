"""Draws, lattices and checks of points that the manifolds share."""

from typing import NamedTuple

import torch
from torch import Tensor

from riemod._checks import check_generator, check_integer, check_prime, check_type
from riemod._machine import check_fits, check_place


class Flaw(NamedTuple):
    """Says which rows of points are not as they must be."""

    bad: Tensor
    """Bool, (n,) or (n, k): the entries that are not."""
    rule: str
    """What they must be, as a message says it: "points must be unit vectors"."""
    factors: tuple[tuple[int, object], ...] = ()
    """In a product: the number of the factor, and the factor, from the outside in."""

    def told(self) -> str | None:
        """Say what is wrong with which rows, or return None if nothing is; a GPU is waited for."""
        if not bool(self.bad.any()):
            return None
        within = "".join(f"factor {index}, {factor}: " for index, factor in self.factors)
        return f"{within}{self.rule}, but are not in {bad_rows(self.bad)}"


def check_dimension(dim: int) -> int:
    """Return a dimension; raise a ValueError unless it is an integer >= 1 such that a point fits the memory."""
    check_fits("dim", check_integer("dim", dim, least=1), 8 * dim)
    return int(dim)


def contractible(dim: int, prime: int) -> tuple[int, ...]:
    """Return the Betti numbers (1, 0, ..., 0) of a contractible space of this dimension."""
    check_prime(prime)
    return (1, *(0 for _ in range(dim)))


def rounding_error(points: Tensor) -> float:
    """Return the relative error that rounding may have left in coordinates."""
    return max(1e-5, 32 * torch.finfo(points.dtype).eps)


def bad_rows(bad: Tensor) -> str:
    """Say how many rows hold a true entry, and which is the first."""
    rows = bad.reshape(bad.shape[0], -1).any(dim=1).nonzero().flatten()
    return f"{rows.numel()} of {bad.shape[0]} rows, the first of them row {int(rows[0])}"


def outside_interval(points: Tensor, upper: float, tolerance: float) -> Flaw:
    """Return the flaw of points whose coordinates are not in [0, upper)."""
    bad = (points < -tolerance * upper) | (points > upper * (1 + tolerance))
    return Flaw(bad, f"coordinates must be in [0, {upper:g})")


def wrap(values: Tensor, period: float) -> Tensor:
    """Reduce each value modulo the period to [0, period).

    Args:
        values: any shape.
        period: length of the circle, > 0.

    Returns:
        A tensor of the same shape.

    >>> wrap(torch.tensor([-1.0, 3.0, 10.0, -1e-9]), 10.0)
    tensor([9., 3., 0., 0.])
    """
    remainder = torch.remainder(values, period)
    # The remainder of a tiny negative number is rounded to the period itself.
    return torch.where(remainder >= period, 0.0, remainder)


def draw(
    n: int, width: int, *, generator: torch.Generator | None, device: torch.device | str | None, normal: bool = False
) -> Tensor:
    """Draw (n, width) independent float64 numbers, uniform in [0, 1) or standard normal, on the generator's device.

    Raises:
        TypeError: if the generator is something else.
        ValueError: if n is not an integer >= 0, the points do not fit the memory, or torch has no such device here.
    """
    check_fits("n", check_integer("n", n, least=0), 8 * n * width)
    check_generator(generator)
    if device is not None:
        check_place(device)
    source = device if generator is None else generator.device
    sampler = torch.randn if normal else torch.rand
    return sampler(n, width, generator=generator, dtype=torch.float64, device=source)


def as_points(drawn: Tensor, dtype: torch.dtype | None, device: torch.device | str | None) -> Tensor:
    """Convert drawn points to a dtype (torch's default if None) and a device (the present one if None).

    Raises:
        TypeError: if dtype is not a floating-point type.
    """
    dtype = torch.get_default_dtype() if dtype is None else check_type("dtype", dtype, torch.dtype, "a torch.dtype")
    if not dtype.is_floating_point:
        raise TypeError(f"dtype must be floating-point, got {dtype}")
    return drawn.to(dtype=dtype, device=device)


def box_lattice(count: int, side: float, dim: int) -> tuple[Tensor, tuple[int, ...], tuple[float, ...]]:
    """Divide the box [0, side]^dim into count^dim equal cubes; return their centers, numbers and widths along the axes.

    Raises:
        ValueError: if count is not an integer >= 2.
    """
    check_fits("count", check_integer("count", count, least=2), 8 * dim * count**dim)
    width = side / count
    steps = torch.arange(count, dtype=torch.float64) + 0.5
    axes = torch.meshgrid([width * steps] * dim, indexing="ij")
    return torch.stack(axes, dim=-1).reshape(-1, dim), (count,) * dim, (width,) * dim
