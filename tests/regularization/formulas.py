"""The plain O(n^2) formula of Eq. 6, and the manifolds and inhibitors that it is tried with."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from riemod import inhibitors
from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Product, Sphere, Torus
from riemod.regularization import _tiles as tiles
from riemod.regularization.inhibitors import Inhibitor, Signed
from tests.manifolds.oracles import plain_squared_distance

MANIFOLDS: dict[str, Callable[[], Manifold]] = {
    "euclidean": lambda: Euclidean(3, side=4.0),
    "circle": lambda: Sphere(1),
    "sphere": lambda: Sphere(2, radius=3.0),
    "torus": lambda: Torus(2),
    "torus6": lambda: Torus(6, period=4.0),
    "klein": lambda: KleinBottle(),
    "poincare": lambda: PoincareBall(2, curvature=-0.5, sample_radius=3.0),
    "learned poincare": lambda: PoincareBall(3, curvature=-0.7, learn_curvature=True, sample_radius=3.0),
    "product": lambda: Product([Torus(1, period=7.0), Sphere(1), PoincareBall(2, -0.5, True, 2.0)]),
}
SMOOTH: dict[str, Inhibitor] = {
    "dog": inhibitors.DifferenceOfGaussians(),
    "ricker": inhibitors.Ricker(width=2.0),
    "gaussian": inhibitors.Gaussian(),
    "crowding": inhibitors.Crowding(floor=2.0),
    "diffusion": inhibitors.Diffusion(exponent=1.0),
    "cubic diffusion": inhibitors.Diffusion(amplitude=0.5, exponent=3.0),
    "sinusoid": inhibitors.Sinusoid(),
    "custom": inhibitors.Custom(lambda d: 3 / (1 + d)),
}
EVERY: dict[str, Inhibitor] = {**SMOOTH, "indrnn": inhibitors.IndRNN(cost=50.0)}


def limit_tiles(patch: pytest.MonkeyPatch, elements: int) -> None:
    """Let no tile have more entries, so that tiles end inside small weights."""
    patch.setattr(tiles, "TILE_ELEMENTS", elements)


def plain_penalty(
    weight: Tensor,
    points: Tensor,
    manifold: Manifold,
    inhibitor: Inhibitor,
    power: float = 1,
    reduction: str = "mean",
    source_points: Tensor | None = None,
) -> Tensor:
    """Eq. 6 on whole matrices, by autograd."""
    sources = points if source_points is None else source_points
    cost = inhibitor.of_squared_distance(plain_squared_distance(manifold, points, sources))
    terms = cost * weight.abs() ** power
    return terms.mean() if reduction == "mean" else terms.sum()


def plain_signed(
    weight: Tensor,
    points: Tensor,
    manifold: Manifold,
    law: Signed,
    power: float = 1,
    reduction: str = "mean",
    source_points: Tensor | None = None,
) -> Tensor:
    """Compute the signed penalty on whole matrices, by autograd, from its formula."""
    sources = points if source_points is None else source_points
    squared = plain_squared_distance(manifold, points, sources)
    positive, negative = (part.of_squared_distance(squared) for part in law.parts)
    terms = positive * weight.clamp_min(0) ** power + negative * (-weight).clamp_min(0) ** power
    return terms.mean() if reduction == "mean" else terms.sum()


def deck_image(manifold: Torus | KleinBottle, x: Tensor, generator: torch.Generator) -> Tensor:
    """Each point's image in the plane under its own random deck transformation."""
    turns = torch.randint(-3, 4, x.shape, generator=generator)
    if isinstance(manifold, Torus):
        return x + turns * manifold.period
    mirrored = torch.where(turns[:, 0] % 2 == 1, -x[:, 1], x[:, 1])
    return torch.stack((x[:, 0], mirrored), dim=1) + turns * manifold.period


def eq8_floor(inhibitor: inhibitors.DifferenceOfGaussians) -> float:
    """What the floor must be for f to be c - c (exp(-d^2/s2) - exp(-d^2/s1)), Eq. 8."""
    squared = math.log(inhibitor.wide / inhibitor.narrow) / (1 / inhibitor.narrow - 1 / inhibitor.wide)
    return inhibitor.amplitude * (1 - math.exp(-squared / inhibitor.wide) + math.exp(-squared / inhibitor.narrow))
