"""Reading few points: every point counts, and bars are compared with those that as many points of rivals have.

Below `FEW` points there is too little to smooth or to thin, and no fixed floor for the length of a bar: all bars are
ranked among those of nulls and of two rivals, S^2 and S^3, drawn with the same number of points. S^2 has no loop, and
S^3 neither loop nor void, but few points of them seem to.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from riemod._statistics import rank_p_value
from riemod.topology.landmarks import FEWEST_POINTS, Landmarks, Metric, landmark_distances, max_min
from riemod.topology.nulls import uniform_sphere
from riemod.topology.persistence import collapsed_edges, enclosing_radius, rips_diagrams
from riemod.topology.products import Classes, classes, product_lives
from riemod.topology.verdict import PRIMES, pieces, ratios

# Fewer distinct points than this are read as described here.
FEW = 500
# More points are thinned to this many, as evenly as max-min landmarks are.
MOST_FEW = 120
# The void of a sphere dies at 0.82 of the enclosing radius, the loops of a torus at 0.61.
REACH_FEW = 0.85
# Dimensions of spheres without loops, and of those that have no void either.
RIVALS = {1: (2, 3), 2: (3,)}
_PRODUCT_PRIME = 3
# Coordinates that a known manifold may need; the variance along further ones is noise.
_SIGNAL = 4
ROUND = 20


class Lengths(NamedTuple):
    """Holds lengths (death / birth) of bars: the two longest of degree 1 and the longest of degree 2; 1 for no bar."""

    first: float
    second: float
    void: float


class Reading(NamedTuple):
    """Holds what few points show.

    Args:
        pieces: number of pieces with gaps between them.
        lengths: of the bars, by prime.
        product: whether the product of the two longest loops lives, modulo 3, and neither has one with the third.
        found: bars with cocycles by prime.
        threshold: where they were cut.
    """

    pieces: int
    lengths: dict[int, Lengths]
    product: bool
    found: dict[int, Classes]
    threshold: float


def near_all(points: np.ndarray, metric: Metric, generator: torch.Generator) -> np.ndarray:
    """Return distances between all points, or between 120 max-min landmarks of more; nothing is denoised."""
    return landmark_distances(points, metric, generator, min(len(points), MOST_FEW)).distances


def lengths(diagrams: Sequence[np.ndarray]) -> Lengths:
    """Return the lengths of the longest bars of diagrams of degrees 0, 1 and 2."""
    loops, voids = ratios(diagrams[1]), ratios(diagrams[2])
    first, second = (*loops[:2], 1.0, 1.0)[:2]
    return Lengths(float(first), float(second), float((*voids[:1], 1.0)[0]))


def measure(points: np.ndarray, metric: Metric, generator: torch.Generator) -> Lengths:
    """Measure the longest bars of a null, modulo 2."""
    distances = near_all(points, metric, generator)
    threshold = REACH_FEW * enclosing_radius(distances)
    found = rips_diagrams(collapsed_edges(distances, threshold), 2)
    return lengths([np.minimum(diagram, threshold) for diagram in found])


def read(points: np.ndarray, metric: Metric, generator: torch.Generator) -> Reading:
    """Measure the bars of the data modulo 2 and 3, and the product of its two longest loops.

    Args:
        points: (n, k), or (n, n) distances if they are "precomputed".
        metric: of the distances.
        generator: draws the first landmark of more than 120 points.
    """
    distances = near_all(points, metric, generator)
    threshold = REACH_FEW * enclosing_radius(distances)
    edges = collapsed_edges(distances, threshold)
    found = {prime: classes(edges, threshold, prime) for prime in PRIMES}
    return Reading(
        pieces(_coarse(distances)),
        {prime: lengths(each.diagrams) for prime, each in found.items()},
        _one_product(found[_PRODUCT_PRIME]),
        found,
        threshold,
    )


def _coarse(distances: np.ndarray) -> Landmarks:
    """Choose a quarter of the points as landmarks, to see gaps between them."""
    size = min(len(distances), max(FEWEST_POINTS, len(distances) // 4))
    chosen, radius = max_min(distances, size, 0, "precomputed")
    return Landmarks(distances[np.ix_(chosen, chosen)], radius)


def _one_product(found: Classes) -> bool:
    """Say whether the product of the two longest loops lives, and neither has one with the third, as on a 3-torus."""
    loops = found.diagrams[1]
    if len(loops) < 2:
        return False
    longest = np.argsort(-loops[:, 1] / loops[:, 0], kind="stable")
    first, second, *others = longest[:3].tolist()
    return product_lives(found, first, second) and not any(
        product_lives(found, loop, other) for loop in (first, second) for other in others
    )


def size_and_noise(coordinates: np.ndarray) -> tuple[float, float]:
    """Estimate the size of what the data fill, and the standard deviation of noise in each coordinate.

    Noise is the root of the mean variance along principal axes after the fourth, and the size the root of the variances
    along the first four, without noise. In up to four coordinates noise is 0, which makes the longest bars.

    Args:
        coordinates: (n, k).
    """
    variances = np.linalg.eigvalsh(np.atleast_2d(np.cov(coordinates.T)))[::-1]
    signal, rest = variances[:_SIGNAL], variances[_SIGNAL:]
    noise = max(float(rest.mean()), 0.0) if len(rest) else 0.0
    return math.sqrt(max(float(signal.sum()) - len(signal) * noise, 0.0)), math.sqrt(noise)


def planted(shape: np.ndarray, coordinates: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Scale a shape to the size of the data and add noise like theirs to all of their coordinates.

    Args:
        shape: (n, j) uniform points.
        coordinates: (n, k) of the data.
        generator: draws the noise.
    """
    size, noise = size_and_noise(coordinates)
    width = max(shape.shape[1], coordinates.shape[1])
    points = np.pad(shape * (size / math.sqrt((shape**2).sum(axis=1).mean())), ((0, 0), (0, width - shape.shape[1])))
    return points + noise * torch.randn(points.shape, generator=generator, dtype=torch.float64).numpy()


@functools.lru_cache(maxsize=4096)
def three_sphere(size: int, metric: Metric, seed: int) -> Lengths:
    """Measure the longest bars of uniform points on S^3 without noise; the same for all data of this size."""
    generator = torch.Generator().manual_seed(seed)
    return measure(uniform_sphere(size, 3, generator), metric, generator)


def rival(dim: int, coordinates: np.ndarray, metric: Metric, seed: int) -> Lengths:
    """Measure the longest bars of as many points of S^2 with the noise of the data, or of S^3 without noise."""
    if dim == 3:
        return three_sphere(len(coordinates), metric, seed)
    generator = torch.Generator().manual_seed(seed)
    shape = uniform_sphere(len(coordinates), dim, generator)
    return measure(planted(shape, coordinates, generator), metric, generator)


class Ranks(NamedTuple):
    """Holds the lengths of nulls, an array (draws, 3) for each kind, and of rivals by dimension."""

    kinds: list[np.ndarray]
    rivals: dict[int, np.ndarray]

    def compared(self, degree: int) -> list[np.ndarray]:
        """Return the draws that bars of a degree are compared with."""
        return [*self.kinds, *(self.rivals[dim] for dim in RIVALS[degree])]

    def p_value(self, found: Lengths, name: str) -> float:
        """Rank a length among those of the least favorable kind or rival."""
        degree, column = 1 + (name == "void"), Lengths._fields.index(name)
        return max(rank_p_value(found[column], drawn[:, column]) for drawn in self.compared(degree))

    def floor(self, name: str) -> float:
        """Return the length that 95 % of each kind and rival do not exceed."""
        degree, column = 1 + (name == "void"), Lengths._fields.index(name)
        return float(max(np.quantile(drawn[:, column], 0.95, method="higher") for drawn in self.compared(degree)))


def rank(
    reading: Reading,
    draw: Callable[[int, list[int]], list[Lengths]],
    kinds: int,
    count: int,
    alpha: float,
    rivals: Callable[[int, int], Lengths],
    generator: torch.Generator,
) -> Ranks:
    """Draw nulls and rivals in rounds of 20, until `count` of each or until no length can reach significance.

    A length cannot when some kind has had as many draws at least as long that its p-value would exceed alpha whatever
    the others were. The second loop matters if it has a product.

    Args:
        reading: of the data.
        draw: measures nulls of a kind, from its index and seeds.
        kinds: how many kinds.
        count: of draws.
        alpha: level.
        rivals: measures a rival, from its dimension and a seed.
        generator: draws seeds.
    """
    seeds = [torch.randint(2**62, (count,), generator=generator).tolist() for _ in range(kinds)]
    nulls: list[list[Lengths]] = [[] for _ in seeds]
    others: dict[int, list[Lengths]] = {dim: [] for dim in RIVALS[1]}
    drawn, observed = Ranks([], {}), reading.lengths[2]
    for start in range(0, count, ROUND):
        part = slice(start, min(start + ROUND, count))
        for kind, own in enumerate(seeds):
            nulls[kind] += draw(kind, own[part])
        for dim, found in others.items():
            found += [rivals(dim, seed) for seed in range(count)[part]]
        drawn = Ranks([np.array(kind) for kind in nulls], {dim: np.array(found) for dim, found in others.items()})
        reached = [
            max(int((kind[:, column] >= observed[column]).sum()) for kind in drawn.compared(1 + (name == "void")))
            for column, name in enumerate(Lengths._fields)
            if name != "second" or reading.product
        ]
        if all((1 + number) / (1 + count) > alpha for number in reached):
            break
    return drawn
