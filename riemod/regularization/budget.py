"""The share of pairs that are cheap, and how to give two manifolds the same: a budget that is not geometry."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from riemod._checks import check_positive
from riemod.manifolds import Manifold
from riemod.regularization.inhibitors import Inhibitor, as_inhibitor

__all__ = ["Scaled", "cheap_share", "match_budget"]

_BLOCK = 256
_PAIRS = 1 << 20
_COARSE = 1 << 15
_LARGEST_FACTOR = 64.0
_STEPS = 97


@dataclass(frozen=True)
class Scaled(Inhibitor):
    """f(factor d) for an inhibitor f: the same law in another unit of length.

    Args:
        inhibitor: f.
        factor: > 0.

    Raises:
        ValueError: if the factor is not positive and finite.
        TypeError: if `inhibitor` is not an Inhibitor.

    >>> from riemod.regularization.inhibitors import Diffusion
    >>> Scaled(Diffusion(), 2.0)(torch.tensor([3.0])).item()
    6.0
    """

    inhibitor: Inhibitor
    factor: float

    def __post_init__(self) -> None:
        if not isinstance(self.inhibitor, Inhibitor):
            raise TypeError(f"inhibitor must be an Inhibitor, got {type(self.inhibitor).__name__}")
        check_positive("factor", self.factor)

    @property
    def collapses(self) -> bool:
        return self.inhibitor.collapses

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        return self.inhibitor.of_squared_distance(squared * self.factor**2)


def cheap_share(
    manifold: Manifold,
    inhibitor: Inhibitor,
    *,
    pairs: int = _PAIRS,
    generator: torch.Generator | None = None,
) -> float:
    """The share of pairs of uniform points with f(d) < max f / 2, the maximum over d = 0 and the distances drawn.

    Args:
        manifold: points are drawn from it uniformly in volume.
        inhibitor: f, or any callable of the distance.
        pairs: how many, at least; the standard error is about sqrt(share / pairs).
        generator: draws the points; if None, one seeded with 0, so that the answer is the same each time.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: if `pairs` is not an integer >= 1.
        TypeError: if `manifold` is not a Manifold.

    >>> from riemod.manifolds import Torus
    >>> from riemod.regularization.inhibitors import DifferenceOfGaussians
    >>> round(cheap_share(Torus(2), DifferenceOfGaussians()), 2)
    0.14
    """
    return _share(as_inhibitor(inhibitor), _squared_distances(manifold, pairs, generator), 1.0)


def match_budget(
    manifold: Manifold,
    inhibitor: Inhibitor,
    share: float,
    *,
    rescale: Literal["manifold", "inhibitor"] = "manifold",
    pairs: int = _PAIRS,
    generator: torch.Generator | None = None,
) -> tuple[Manifold, Inhibitor]:
    """(manifold, inhibitor) with one of the two rescaled, so that `cheap_share` of them is a given share.

    Manifolds differ in it at the same law: of the difference of Gaussians on the default sizes, a torus has 13.8 %, a
    circle 11.2 %, a sphere 4.3 %, a 6-torus 0.05 % cheap pairs. A share can belong to several scales: the one nearest
    to the present is taken. Euclidean boxes and hyperbolic balls are rescaled with the region that is drawn from.

    Args:
        manifold: where points will be drawn.
        inhibitor: f, or any callable of the distance.
        share: wanted, in (0, 1).
        rescale: which of the two; "inhibitor" gives a `Scaled` one and works for any manifold.
        pairs: drawn to measure the share; for one below 1e-3 take more than the default 2^20.
        generator: draws the points; if None, one seeded with 0, so that the answer is the same each time.

    Returns:
        Both, the other one as it came.

    Raises:
        ValueError: if an argument is outside its range, or no scale from 1/64 to 64 has that share (as when f grows
            without bound).
        TypeError: if `manifold` is not a Manifold, or not of a kind that can be rescaled.

    >>> from riemod.manifolds import Sphere
    >>> from riemod.regularization.inhibitors import DifferenceOfGaussians
    >>> sphere, inhibitor = match_budget(Sphere(2), DifferenceOfGaussians(), 0.138)
    >>> round(sphere.radius, 1), round(cheap_share(sphere, inhibitor), 3)
    (2.7, 0.138)
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ValueError(f"share must be in (0, 1), got {share!r}")
    if rescale not in ("manifold", "inhibitor"):
        raise ValueError(f"rescale must be 'manifold' or 'inhibitor', got {rescale!r}")
    inhibitor = as_inhibitor(inhibitor)
    squared = _squared_distances(manifold, pairs, generator)
    factor = _matching_factor(inhibitor, squared, share, manifold)
    if rescale == "inhibitor":
        return manifold, Scaled(inhibitor, factor)
    return manifold.scaled(factor), inhibitor


def _matching_factor(inhibitor: Inhibitor, squared: Tensor, share: float, manifold: Manifold) -> float:
    coarse = squared[:: max(1, len(squared) // _COARSE)]
    logarithms = torch.linspace(-math.log(_LARGEST_FACTOR), math.log(_LARGEST_FACTOR), _STEPS).tolist()
    shares = [_share(inhibitor, coarse, math.exp(logarithm)) for logarithm in logarithms]
    crossings = [i for i in range(_STEPS - 1) if (shares[i] < share) != (shares[i + 1] < share)]
    if not crossings:
        raise ValueError(
            f"share must be one that a scale from 1/{_LARGEST_FACTOR:g} to {_LARGEST_FACTOR:g} gives: on {manifold} "
            f"with {inhibitor} they give {min(shares):.3g} to {max(shares):.3g}, got {share!r}"
        )
    nearest = min(crossings, key=lambda i: abs(logarithms[i] + logarithms[i + 1]))
    low, high = logarithms[nearest], logarithms[nearest + 1]
    rising = shares[nearest] < share
    for _ in range(20):
        middle = (low + high) / 2
        if (_share(inhibitor, squared, math.exp(middle)) < share) == rising:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


@torch.no_grad()
def _share(inhibitor: Inhibitor, squared: Tensor, factor: float) -> float:
    costs = inhibitor.of_squared_distance(squared * factor**2)
    largest = torch.maximum(costs.max(), inhibitor.of_squared_distance(squared.new_zeros(1))[0])
    return (costs < largest / 2).double().mean().item()


@torch.no_grad()
def _squared_distances(manifold: Manifold, pairs: int, generator: torch.Generator | None) -> Tensor:
    """(N,) squared distances in float64, in increasing order, so that each stretch of them is a sample of quantiles."""
    if not isinstance(manifold, Manifold):
        raise TypeError(f"manifold must be a Manifold, got {type(manifold).__name__}")
    if isinstance(pairs, bool) or not isinstance(pairs, int) or pairs < 1:
        raise ValueError(f"pairs must be an integer >= 1, got {pairs!r}")
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    blocks = []
    for _ in range(-(-pairs // _BLOCK**2)):
        # Many blocks of new points: in a space that is not homogeneous, the pairs of one block depend on each other.
        rows, columns = (
            manifold.coordinates(manifold.sample(_BLOCK, generator=generator, dtype=torch.float64)) for _ in range(2)
        )
        blocks.append(manifold.squared_distance(rows, columns).reshape(-1))
    return torch.cat(blocks).sort().values
