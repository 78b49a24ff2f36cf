"""Distances by definition: every image of a point tried, or a textbook formula. Slow, and sharing no code."""

import itertools
import math

import torch
from torch import Tensor

from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Product, Sphere, Torus


def distances(manifold: Manifold, x: Tensor, y: Tensor) -> Tensor:
    """(n, m) geodesic distances in float64, from the same numbers."""
    return plain_squared_distance(manifold, x.detach().double(), y.detach().double()).detach().sqrt()


def plain_squared_distance(manifold: Manifold, x: Tensor, y: Tensor) -> Tensor:
    """(n, m) squared distances, differentiable, n x m x dim at once; without slope where x_i = y_j."""
    if isinstance(manifold, Product):
        widths = [factor.coordinate_dim for factor in manifold.factors]
        pairs = zip(manifold.factors, x.split(widths, 1), y.split(widths, 1), strict=True)
        return torch.stack([plain_squared_distance(*pair) for pair in pairs]).sum(0)
    match manifold:
        case Euclidean():
            return chords(x, y)
        case Torus():
            difference = x[:, None] - y[None]
            images = [(difference + turns * manifold.period) ** 2 for turns in (-1, 0, 1)]
            return torch.stack(images).amin(0).sum(2)
        case KleinBottle():
            images = []
            for across, along in itertools.product((-2, -1, 0, 1, 2), repeat=2):
                flip = y.new_tensor([1.0, -1.0 if across % 2 else 1.0])
                images.append(chords(x, y * flip + manifold.period * y.new_tensor([across, along])))
            return torch.stack(images).min(dim=0).values
        case Sphere():
            return (manifold.radius * angles(x, y)) ** 2
        case PoincareBall():
            same = (x[:, None] == y[None]).all(dim=2)
            shrink = (1 - x.square().sum(1))[:, None] * (1 - y.square().sum(1))[None]
            excess = torch.where(same, 1.0, 2 * chords(x, y) / shrink)
            # arccosh(1 + t) without the cancellation in 1 + t.
            half = torch.log1p(excess + torch.sqrt(excess * (excess + 2)))
            learned = manifold.geometry.log_curvature
            strength = -manifold.curvature if learned is None else torch.exp(learned.to(x.dtype))
            return torch.where(same, 0.0, half**2 / strength)
        case _:
            raise NotImplementedError(manifold)


def chords(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|^2."""
    return (x[:, None] - y[None]).square().sum(2)


def angles(x: Tensor, y: Tensor) -> Tensor:
    """Angles of vectors, from the shorter one of |x - y| and |x + y|, so that none is lost to rounding."""
    x, y = x / x.norm(dim=1, keepdim=True), y / y.norm(dim=1, keepdim=True)
    chord, cochord = chords(x, y), chords(x, -y)
    acute = chord < cochord
    shorter = torch.where(acute, chord, cochord)
    zero = shorter == 0
    half = torch.asin(torch.sqrt(torch.where(zero, 1.0, shorter)) / 2)
    angle = torch.where(zero, 0.0, 2 * half)
    return torch.where(acute, angle, math.pi - angle)
