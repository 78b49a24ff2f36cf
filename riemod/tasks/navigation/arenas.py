"""Closed arenas for navigation: a manifold in meters, a compass on it, and points spread evenly over it.

A velocity is given by its components along the compass at the animal's place: an orthonormal frame that depends only on
the place. So the place is all that a net must keep, and its hidden states can fill the arena itself. With a frame that
is carried along the walk they could not, because the angle by which the frame has turned on the way (holonomy) would be
part of the state. On the sphere that state would be a rotation in place of a point, and on the Klein bottle a point of
its orientation double cover, a torus. No compass is continuous on these two: the sphere's turns around the poles, as
east and north do, and the Klein bottle's second axis is reversed across x = 0. It is continuous everywhere else.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from riemod._checks import check_positive
from riemod.manifolds import KleinBottle, Manifold, Sphere, Torus
from riemod.manifolds.sphere import fibonacci_lattice

ArenaName = Literal["box", "circle", "torus", "sphere", "klein"]


@dataclass(frozen=True)
class Arena:
    """Describes a closed manifold that an animal walks on. Lengths in m."""

    manifold: Manifold
    """The manifold, its unit of length the meter."""
    volume: float
    """Its length or area, m or m^2."""
    compass: Callable[[Tensor], Tensor]
    """(n, dim, coordinate_dim) frames, orthonormal in the manifold's metric, at points (n, coordinate_dim)."""
    lattice: Callable[[float], Tensor]
    """(g, coordinate_dim) points spread evenly, at most about the given spacing apart, m."""

    def spacing(self, points: int) -> float:
        """Return the mean spacing of that many points, m: (volume / points)^(1 / dim)."""
        return (self.volume / points) ** (1 / self.manifold.dim)


def arena_by_name(name: ArenaName, side: float = 2.2) -> Arena:
    """Return the closed arena of that name, in the size of a box of that side.

    The torus and the Klein bottle are the square of that side with its edges glued, the sphere has its area, radius
    side / sqrt(4 pi), and the circle is as long as one side. Points are stored as `riemod.manifolds` does: in m on the
    torus and the Klein bottle, as unit vectors on the circle and the sphere.

    Args:
        name: circle, torus, sphere or klein; the box has walls and is coded elsewhere.
        side: m, > 0.

    Raises:
        ValueError: if there is no closed arena of that name, or side is not positive and finite.

    >>> sphere = arena_by_name("sphere")
    >>> sphere.manifold, round(sphere.volume, 6)
    (Sphere(dim=2, radius=0.620609), 4.84)
    """
    check_positive("side", side)
    match name:
        case "circle":
            circle = Sphere(1, side / (2 * math.pi))
            return Arena(circle, side, lambda points: _east(points) / circle.radius, lambda step: _ring(side, step))
        case "torus":
            return Arena(Torus(2, side), side**2, _axes, lambda step: _square(side, step))
        case "klein":
            return Arena(KleinBottle(side), side**2, _axes, lambda step: _square(side, step))
        case "sphere":
            sphere = Sphere(2, side / math.sqrt(4 * math.pi))
            return Arena(sphere, side**2, lambda points: _east(points) / sphere.radius, lambda step: _globe(side, step))
    raise ValueError(f"name must be one of circle, torus, sphere, klein, got {name!r}")


def _axes(points: Tensor) -> Tensor:
    """Return the axes of the square at every point."""
    axes = torch.eye(2, dtype=points.dtype, device=points.device)
    return axes.expand(points.shape[0], 2, 2)


def _east(points: Tensor) -> Tensor:
    """Return (n, dim, dim + 1) unit vectors: counterclockwise on the circle; east and north on the sphere."""
    x, y = points[:, 0], points[:, 1]
    length = torch.hypot(x, y)
    # At a pole every direction is south or north; take the one along the first axis.
    pole = length == 0
    x, y = torch.where(pole, 1.0, x / length), torch.where(pole, 0.0, y / length)
    if points.shape[1] == 2:
        return torch.stack((-y, x), dim=-1).unsqueeze(1)
    east = torch.stack((-y, x, torch.zeros_like(x)), dim=-1)
    return torch.stack((east, torch.linalg.cross(points, east)), dim=1)


def _ring(length: float, spacing: float) -> Tensor:
    count = max(8, math.ceil(length / spacing))
    angles = torch.arange(count) * (2 * math.pi / count)
    return torch.stack((torch.cos(angles), torch.sin(angles)), dim=-1)


def _square(side: float, spacing: float) -> Tensor:
    count = max(8, math.ceil(side / spacing))
    axis = torch.arange(count) * (side / count)
    return torch.cartesian_prod(axis, axis)


def _globe(side: float, spacing: float) -> Tensor:
    return fibonacci_lattice(max(64, math.ceil((side / spacing) ** 2)), offset=0.0).float()
