"""Plain O(n^2) formulas of distances and of Eq. 6, as a textbook has them, and isometries to test laws with."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from riemod import inhibitors
from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Product, Sphere, Torus
from riemod.regularization import _tiles as tiles
from riemod.regularization.inhibitors import Inhibitor

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
    "diffusion": inhibitors.Diffusion(exponent=1.0),
    "cubic diffusion": inhibitors.Diffusion(amplitude=0.5, exponent=3.0),
    "sinusoid": inhibitors.Sinusoid(),
    "custom": inhibitors.Custom(lambda d: 3 / (1 + d)),
}
EVERY: dict[str, Inhibitor] = {**SMOOTH, "indrnn": inhibitors.IndRNN(cost=50.0)}


def limit_tiles(patch: pytest.MonkeyPatch, elements: int) -> None:
    """Let no tile have more entries, so that tiles end inside small weights."""
    patch.setattr(tiles, "TILE_ELEMENTS", elements)


def plain_squared_distance(manifold: Manifold, x: Tensor, y: Tensor) -> Tensor:
    """(n, m): d(x_i, y_j)^2 by the formula of definition, n x m x dim at once; without slope where x_i = y_j."""
    same = (x[:, None] == y[None]).all(dim=2)
    if isinstance(manifold, Product):
        widths = [factor.coordinate_dim for factor in manifold.factors]
        pairs = zip(manifold.factors, x.split(widths, 1), y.split(widths, 1), strict=True)
        return torch.stack([plain_squared_distance(*pair) for pair in pairs]).sum(0)
    difference = x[:, None] - y[None]
    if isinstance(manifold, Euclidean):
        return (difference**2).sum(2)
    if isinstance(manifold, Torus):
        images = [(difference + shift * manifold.period) ** 2 for shift in (-1, 0, 1)]
        return torch.stack(images).min(dim=0).values.sum(2)
    if isinstance(manifold, KleinBottle):
        images = []
        for turns in (-1, 0, 1):
            along = y[None, :, 1] * (-1) ** turns
            across = difference[:, :, 0] - turns * manifold.period
            for shift in (-2, -1, 0, 1, 2):
                images.append(across**2 + (x[:, None, 1] - along - shift * manifold.period) ** 2)
        return torch.stack(images).min(dim=0).values
    if isinstance(manifold, Sphere):
        cosine = (x[:, None] * y[None]).sum(2) / (x.norm(dim=1)[:, None] * y.norm(dim=1)[None])
        squared = (manifold.radius * torch.arccos(torch.where(same, 0.0, cosine))) ** 2
    elif isinstance(manifold, PoincareBall):
        room = (1 - (x**2).sum(1))[:, None] * (1 - (y**2).sum(1))[None]
        argument = 1 + 2 * (difference**2).sum(2) / room
        learned = manifold.geometry.log_curvature
        strength = -manifold.curvature if learned is None else torch.exp(learned.to(x.dtype))
        squared = torch.arccosh(torch.where(same, 2.0, argument)) ** 2 / strength
    else:
        raise TypeError(type(manifold).__name__)
    return torch.where(same, 0.0, squared)


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


def isometry(manifold: Manifold, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """One isometry, drawn at random, as a map of float64 points."""
    if isinstance(manifold, Product):
        parts = [(factor.coordinate_dim, isometry(factor, generator)) for factor in manifold.factors]
        widths, maps = [width for width, _ in parts], [move for _, move in parts]
        return lambda x: torch.cat([move(p) for move, p in zip(maps, x.split(widths, 1), strict=True)], dim=1)
    if isinstance(manifold, Torus):
        order = torch.randperm(manifold.dim, generator=generator)
        signs = torch.randint(2, (manifold.dim,), generator=generator) * 2 - 1
        shift = _normal(generator, manifold.dim) * manifold.period
        return lambda x: manifold.geometry.projx(signs * x[:, order] + shift)
    if isinstance(manifold, KleinBottle):
        # Every translation along x, the one of y by half a period, and both reflections.
        flips = torch.randint(2, (2,), generator=generator) * 2 - 1
        half = int(torch.randint(2, (), generator=generator)) * manifold.period / 2
        shift = torch.tensor([float(_normal(generator)) * manifold.period, half], dtype=torch.float64)
        return lambda x: manifold.geometry.projx(flips * x + shift)
    rotation = torch.linalg.qr(_normal(generator, manifold.coordinate_dim, manifold.coordinate_dim)).Q
    if isinstance(manifold, Sphere):
        return lambda x: x @ rotation.T
    if isinstance(manifold, Euclidean):
        offset = 5 * _normal(generator, manifold.dim)
        return lambda x: x @ rotation.T + offset
    if isinstance(manifold, PoincareBall):
        center = _normal(generator, manifold.dim)
        center = center / center.norm() * 0.8 * float(torch.rand((), generator=generator))
        return lambda x: moebius_translation(center, x @ rotation.T)
    raise TypeError(type(manifold).__name__)


def moebius_translation(center: Tensor, x: Tensor) -> Tensor:
    """The isometry of the unit ball that takes 0 to a center."""
    product, squares = (x @ center)[:, None], (x * x).sum(1, keepdim=True)
    length = float(center @ center)
    return ((1 + 2 * product + squares) * center + (1 - length) * x) / (1 + 2 * product + length * squares)


def deck_image(manifold: Torus | KleinBottle, x: Tensor, generator: torch.Generator) -> Tensor:
    """Each point's image in the plane under its own random deck transformation."""
    turns = torch.randint(-3, 4, x.shape, generator=generator)
    if isinstance(manifold, Torus):
        return x + turns * manifold.period
    mirrored = torch.where(turns[:, 0] % 2 == 1, -x[:, 1], x[:, 1])
    return torch.stack((x[:, 0], mirrored), dim=1) + turns * manifold.period


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def eq8_floor(inhibitor: inhibitors.DifferenceOfGaussians) -> float:
    """What the floor must be for f to be c - c (exp(-d^2/s2) - exp(-d^2/s1)), Eq. 8."""
    squared = math.log(inhibitor.wide / inhibitor.narrow) / (1 / inhibitor.narrow - 1 / inhibitor.wide)
    return inhibitor.amplitude * (1 - math.exp(-squared / inhibitor.wide) + math.exp(-squared / inhibitor.narrow))
