"""Isometries of every kind of manifold, drawn at random."""

from collections.abc import Callable

import torch
from torch import Tensor

from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Product, Sphere, Torus
from tests.strategies import generator


def isometry(manifold: Manifold, source: torch.Generator) -> Callable[[Tensor], Tensor]:
    """Draw an isometry, as a map of float64 points."""
    match manifold:
        case Product():
            widths = [factor.coordinate_dim for factor in manifold.factors]
            moves = [isometry(factor, source) for factor in manifold.factors]
            return lambda x: torch.cat([move(p) for move, p in zip(moves, x.split(widths, 1), strict=True)], dim=1)
        case Torus():
            order = torch.randperm(manifold.dim, generator=source)
            signs = torch.randint(2, (manifold.dim,), generator=source) * 2 - 1
            shift = _normal(source, manifold.dim) * manifold.period
            return lambda x: manifold.geometry.projx(signs * x[:, order] + shift)
        case KleinBottle():
            # Every translation along x, the one of y by half a period, and both reflections.
            flips = torch.randint(2, (2,), generator=source) * 2 - 1
            half = int(torch.randint(2, (), generator=source)) * manifold.period / 2
            shift = torch.tensor([float(_normal(source)) * manifold.period, half], dtype=torch.float64)
            return lambda x: manifold.geometry.projx(flips * x + shift)
        case Sphere():
            turn = rotation(manifold.coordinate_dim, source)
            return lambda x: x @ turn.T
        case Euclidean():
            turn, shift = rotation(manifold.dim, source), _normal(source, manifold.dim) * manifold.side
            return lambda x: x @ turn.T + shift
        case PoincareBall():
            turn, center = rotation(manifold.dim, source), _normal(source, manifold.dim)
            center = center / center.norm() * 0.8 * float(torch.rand((), generator=source))
            return lambda x: _moebius_translation(center, x @ turn.T)
        case _:
            raise NotImplementedError(manifold)


def moved(manifold: Manifold, points: Tensor, seed: int) -> Tensor:
    """The points under the isometry of that seed."""
    return isometry(manifold, generator(seed))(points)


def rotation(dim: int, source: torch.Generator) -> Tensor:
    """Draw an orthogonal matrix."""
    return torch.linalg.qr(_normal(source, dim, dim)).Q


def _moebius_translation(center: Tensor, x: Tensor) -> Tensor:
    """The isometry of the unit ball that takes 0 to a center."""
    product, squares = (x @ center)[:, None], (x * x).sum(1, keepdim=True)
    length = float(center @ center)
    return ((1 + 2 * product + squares) * center + (1 - length) * x) / (1 + 2 * product + length * squares)


def _normal(source: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=source, dtype=torch.float64)
