"""The smallest loop and void that as many points would have shown: absence of a class says no more than that.

Surfaces with one short axis are planted: as many points, of the extent and the noise of the data, read as the data
were.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from riemod.topology._neighbors import Neighborhood, local_axes
from riemod.topology.landmarks import MOST_POINTS, Metric, denoised, landmark_distances
from riemod.topology.nulls import uniform_sphere
from riemod.topology.verdict import bars, lasting

# Short axis over long axis of the planted surfaces: what "contractible" needs, and what is tried from there on.
NEEDED = 0.5
_SMALLER, _LARGER = (0.35, 0.25), (0.7, 1.0)
# A share is seen if it is in so many of so many draws.
DRAWS, ENOUGH = 5, 4
# Noise in further coordinates is removed by the local plane, and only takes time.
_MOST_COORDINATES = 6
# Factors on the number of points that are tried where these are too few.
_MORE = (1.5, 2.0, 3.0, 4.0)


class Planted(NamedTuple):
    """Holds what planted surfaces have from the data.

    Args:
        extent: distance from the center that 95 % of the points do not exceed.
        noise: standard deviation normal to the plane of a point's nearest ones; that of curvature is part of it.
        width: number of coordinates.
        metric: in which they are read.
        floors: by degree, the ratio above which a bar counts.
    """

    extent: float
    noise: float
    width: int
    metric: Metric
    floors: Mapping[int, float]


class Resolution(NamedTuple):
    """Holds the smallest loop and void that would have been seen, as shares of the extent, and what would be enough.

    Args:
        loop: radius of the shorter circle of a torus over that of the longer; None if even equal ones are not seen.
        void: shorter half-axis of an ellipsoid over the longer; None if that of a sphere is not seen.
        needed: number of points at which a share of one half is seen; None if more than were tried.
        tried: the largest number of points tried.
    """

    loop: float | None
    void: float | None
    needed: int | None
    tried: int


def planted_like(near: Neighborhood, metric: Metric, floors: Mapping[int, float]) -> Planted:
    """Measure what planted surfaces need to be like the data.

    Args:
        near: nearest points of each point.
        metric: in which the data were read.
        floors: by degree.
    """
    points = near.points
    distance = np.linalg.norm(points - points.mean(axis=0), axis=1)
    variances = local_axes(near)[2][:, :-2]
    noise = math.sqrt(max(float(np.median(variances[:, -1])), 0.0)) if variances.shape[1] else 0.0
    return Planted(float(np.quantile(distance, 0.95)), noise, min(points.shape[1], _MOST_COORDINATES), metric, floors)


def torus_with(share: float, size: int, generator: torch.Generator) -> np.ndarray:
    """Draw from the product of a circle of radius 1 and one of radius `share`, scaled to an extent of 1."""
    angles = 2 * math.pi * torch.rand(size, 2, generator=generator, dtype=torch.float64)
    circles = (
        torch.stack([angles.cos(), angles.sin()], dim=2) * torch.tensor([1.0, share], dtype=torch.float64)[:, None]
    )
    return circles.flatten(1).numpy() / math.hypot(1.0, share)


def ellipsoid_with(share: float, size: int, generator: torch.Generator) -> np.ndarray:
    """Draw from the ellipsoid with half-axes 1, `share` and `share`, nearly evenly: by the area element."""
    drawn = np.empty((0, 3))
    while len(drawn) < size:
        sphere = uniform_sphere(2 * size, 2, generator)
        area = share * np.sqrt(share**2 * sphere[:, 0] ** 2 + (sphere[:, 1:] ** 2).sum(axis=1))
        kept = torch.rand(2 * size, generator=generator, dtype=torch.float64).numpy() * share < area
        drawn = np.concatenate([drawn, sphere[kept]])
    return drawn[:size] * np.array([1.0, share, share])


def seen(degree: int, share: float, size: int, like: Planted, generator: torch.Generator) -> bool:
    """Say whether the classes of a planted surface count in at least 4 of 5 draws.

    Args:
        degree: 1 for the two loops of a torus, 2 for the void of an ellipsoid.
        share: of the short axis.
        size: number of points.
        like: what they have from the data.
        generator: draws the points.
    """
    draw, classes = {1: (torus_with, 2), 2: (ellipsoid_with, 1)}[degree]
    missed = 0
    for index in range(DRAWS):
        shape = like.extent * draw(share, size, generator)
        points = np.pad(shape, ((0, 0), (0, max(0, like.width - shape.shape[1]))))
        points = points + like.noise * torch.randn(points.shape, generator=generator, dtype=torch.float64).numpy()
        found = bars(landmark_distances(denoised(points), like.metric, generator), (2,))
        missed += int((lasting(found, 2, degree) > like.floors[degree]).sum()) < classes
        if missed > DRAWS - ENOUGH or index + 1 - missed >= ENOUGH:
            break
    return missed <= DRAWS - ENOUGH


def resolution(size: int, like: Planted, generator: torch.Generator) -> Resolution:
    """Find the smallest loop and void that are seen with this many points, and how many points would be enough.

    Args:
        size: number of points.
        like: what planted surfaces have from the data.
        generator: draws them.
    """

    def smallest(degree: int) -> float | None:
        if not seen(degree, NEEDED, size, like, generator):
            return next((share for share in _LARGER if seen(degree, share, size, like, generator)), None)
        least = NEEDED
        for share in _SMALLER:
            if not seen(degree, share, size, like, generator):
                break
            least = share
        return least

    loop, void = smallest(1), smallest(2)
    if loop is not None and void is not None and max(loop, void) <= NEEDED:
        return Resolution(loop, void, size, size)
    sizes = sorted({min(MOST_POINTS, round(size * factor / 100) * 100) for factor in _MORE} - {size})
    for more in (trial for trial in sizes if trial > size):
        if all(seen(degree, NEEDED, more, like, generator) for degree in (1, 2)):
            return Resolution(loop, void, more, more)
    return Resolution(loop, void, None, max([size, *sizes]))
