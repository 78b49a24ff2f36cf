"""The share of pairs with a low cost, and how to give two manifolds the same share, so that only geometry differs."""

import math
from typing import Literal

import torch
from torch import Tensor

from riemod._checks import check_choice, check_fraction, check_generator, check_integer
from riemod._machine import check_fits
from riemod.manifolds import Manifold
from riemod.regularization.inhibitors import Inhibitor, Scaled, as_inhibitor

__all__ = ["cheap_share", "match_budget"]

_BLOCK = 256
_PAIRS = 1 << 20
_COARSE = 1 << 15
_LARGEST_FACTOR = 64.0
_STEPS = 97


def cheap_share(
    manifold: Manifold,
    inhibitor: Inhibitor,
    *,
    pairs: int = _PAIRS,
    generator: torch.Generator | None = None,
) -> float:
    """Estimate the share of pairs of points with f(d) < max f / 2, the maximum over d = 0 and the distances drawn.

    Args:
        manifold: where the points are drawn, uniformly in volume.
        inhibitor: f, or any callable of the distance.
        pairs: least number of pairs; the standard error is about sqrt(share / pairs).
        generator: draws the points; one seeded with 0 if None, so that the result is the same each time.

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
    """Scale a manifold or an inhibitor such that `cheap_share` of the two is a given share.

    With the same inhibitor, manifolds differ in this share: with the default difference of Gaussians and the default
    sizes it is 13.8 % on the torus, 11.2 % on the circle, 4.3 % on the sphere and 0.05 % on the 6-torus. If several
    scales give the share, the one nearest to 1 is taken. `Manifold.scaled` also scales the region that points of a
    Euclidean space or a hyperbolic ball are drawn from.

    Args:
        manifold: where points will be drawn.
        inhibitor: f, or any callable of the distance.
        share: the wanted share, in (0, 1).
        rescale: which of the two to scale; "inhibitor" gives a `Scaled` one and works for any manifold.
        pairs: number of pairs to estimate the share from; for shares below 1e-3 take more than the default 2^20.
        generator: draws the points; one seeded with 0 if None, so that the result is the same each time.

    Returns:
        The manifold and the inhibitor, one of them scaled and the other unchanged.

    Raises:
        ValueError: if an argument is outside its range, or no scale from 1/64 to 64 gives that share (for example
            because f grows without bound).
        TypeError: if `manifold` is not a Manifold, or does not define `scaled`.

    >>> from riemod.manifolds import Sphere
    >>> from riemod.regularization.inhibitors import DifferenceOfGaussians
    >>> sphere, inhibitor = match_budget(Sphere(2), DifferenceOfGaussians(), 0.138)
    >>> round(sphere.radius, 1), round(cheap_share(sphere, inhibitor), 3)
    (2.7, 0.138)
    """
    check_choice("rescale", rescale, ("manifold", "inhibitor"))
    inhibitor = as_inhibitor(inhibitor)
    factor = matching_factor(manifold, inhibitor, share, pairs=pairs, generator=generator)
    if rescale == "inhibitor":
        return manifold, Scaled(inhibitor, factor)
    return manifold.scaled(factor), inhibitor


def matching_factor(
    manifold: Manifold,
    inhibitor: Inhibitor,
    share: float,
    *,
    pairs: int = _PAIRS,
    generator: torch.Generator | None = None,
) -> float:
    """Find the factor by which `match_budget` scales: on a grid of logarithms, then by bisection.

    Args:
        manifold: where points will be drawn.
        inhibitor: f.
        share: the wanted share, in (0, 1).
        pairs: number of pairs to estimate the share from.
        generator: draws the points; one seeded with 0 if None.

    Raises:
        ValueError: as `match_budget`.
        TypeError: if `manifold` is not a Manifold.
    """
    share = check_fraction("share", share)
    squared = _squared_distances(manifold, pairs, generator)
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
    """Return the share of the squared distances, scaled by the factor, with a cost below half of the largest."""
    costs = inhibitor.of_squared_distance(squared * factor**2)
    largest = torch.maximum(costs.max(), inhibitor.of_squared_distance(squared.new_zeros(1))[0])
    return (costs < largest / 2).double().mean().item()


@torch.no_grad()
def _squared_distances(manifold: Manifold, pairs: int, generator: torch.Generator | None) -> Tensor:
    """Draw (N,) squared distances in float64, in increasing order, so that every k-th of them are quantiles of all."""
    if not isinstance(manifold, Manifold):
        raise TypeError(f"manifold must be a Manifold, got {type(manifold).__name__}")
    pairs = check_integer("pairs", pairs, least=1)
    check_fits("pairs", pairs, 8 * pairs)
    check_generator(generator)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    blocks = []
    for _ in range(-(-pairs // _BLOCK**2)):
        # Each block has new points, because in a space that is not homogeneous pairs of the same points are dependent.
        rows, columns = (
            manifold.coordinates(manifold.sample(_BLOCK, generator=generator, dtype=torch.float64)) for _ in range(2)
        )
        blocks.append(manifold.squared_distance(rows, columns).reshape(-1))
    return torch.cat(blocks).sort().values
