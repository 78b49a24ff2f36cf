"""Distances by definition, in float64: every image of a point tried, or a textbook formula. Slow, sharing no code."""

import itertools
import math

import torch
from torch import Tensor

from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Product, Sphere, Torus


def distances(manifold: Manifold, x: Tensor, y: Tensor) -> Tensor:
    """(n, m) geodesic distances in float64, from the same numbers."""
    x, y = x.detach().double(), y.detach().double()
    match manifold:
        case Euclidean():
            return euclidean(x, y)
        case Torus():
            shifts = itertools.product((-1, 0, 1), repeat=manifold.dim)
            images = [y + manifold.period * y.new_tensor(shift) for shift in shifts]
            return torch.stack([euclidean(x, image) for image in images]).amin(0)
        case KleinBottle():
            return klein(x, y, manifold.period)
        case Sphere():
            return manifold.radius * angles(x, y)
        case PoincareBall():
            shrink = (1 - x.square().sum(1))[:, None] * (1 - y.square().sum(1))[None]
            cosh_minus_1 = 2 * euclidean(x, y).square() / shrink
            # arccosh(1 + t) without the cancellation in 1 + t.
            return torch.log1p(cosh_minus_1 + torch.sqrt(cosh_minus_1 * (cosh_minus_1 + 2))) / math.sqrt(
                -manifold.curvature
            )
        case Product():
            sizes = [factor.coordinate_dim for factor in manifold.factors]
            parts = zip(manifold.factors, x.split(sizes, 1), y.split(sizes, 1), strict=True)
            return torch.stack([distances(*part) for part in parts]).square().sum(0).sqrt()
        case _:
            raise NotImplementedError(manifold)


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, None] - y[None]).norm(dim=-1)


def klein(x: Tensor, y: Tensor, period: float) -> Tensor:
    images = []
    for across, along in itertools.product((-2, -1, 0, 1, 2), repeat=2):
        image = y * y.new_tensor([1.0, -1.0 if across % 2 else 1.0]) + period * y.new_tensor([across, along])
        images.append(euclidean(x, image))
    return torch.stack(images).amin(0)


def angles(x: Tensor, y: Tensor) -> Tensor:
    x, y = x / x.norm(dim=1, keepdim=True), y / y.norm(dim=1, keepdim=True)
    chord, cochord = euclidean(x, y), euclidean(x, -y)
    acute = 2 * torch.asin((chord / 2).clamp(max=1))
    obtuse = math.pi - 2 * torch.asin((cochord / 2).clamp(max=1))
    return torch.where(chord < 1, acute, obtuse)
