"""Distances of uniform points, by a fixed seed: what the natural units of length of a manifold are computed from."""

import torch
from torch import Tensor

from riemod.manifolds.base import Manifold

_POINTS = 256


@torch.no_grad()
def uniform_pairs(manifold: Manifold) -> Tensor:
    """Return the squared distances between 256 uniform points and 256 others, (256, 256), in float64.

    The points come from a fixed seed, so that the result is the same each time. A mean over the pairs has an error of
    about 1 %.

    Args:
        manifold: any.

    Raises:
        TypeError: if `manifold` is not a Manifold.

    >>> from riemod.manifolds import Torus
    >>> round(uniform_pairs(Torus(1, period=4.0)).sqrt().mean().item(), 1)
    1.0
    """
    if not isinstance(manifold, Manifold):
        raise TypeError(f"manifold must be a Manifold, got {type(manifold).__name__}")
    x, y = (
        manifold.sample(_POINTS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in (0, 1)
    )
    return manifold.squared_distance(manifold.coordinates(x), manifold.coordinates(y))


def mean_distance(manifold: Manifold) -> float:
    """Estimate the mean distance of uniform points from `uniform_pairs`.

    >>> from riemod.manifolds import Sphere
    >>> round(mean_distance(Sphere(1, radius=1.0)), 1)  # exactly pi / 2
    1.6
    """
    return uniform_pairs(manifold).sqrt().mean().item()
