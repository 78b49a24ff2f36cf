"""From bars to a verdict: which bars count, and which manifold has these Betti numbers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from riemod.manifolds import KleinBottle, Manifold, Sphere, Torus
from riemod.topology.landmarks import Landmarks
from riemod.topology.persistence import Diagram, collapsed_edges, enclosing_radius, rips_diagrams

Name = Literal["circle", "sphere", "torus", "klein bottle", "contractible", "undecided"]
PRIMES = (2, 3)
# Filtrations end at this share of the enclosing radius: the classes of a closed manifold are born long before, and
# most simplices appear after it.
REACH = 0.6
# Bars with a smaller ratio of death to birth never count, whatever the nulls, because uneven sampling makes them.
FLOORS = {1: 2.5, 2: 1.3}
# A loop or void that is filled at a smaller share of the enclosing radius is small: uneven sampling makes loops like
# this, of ratios up to 2.6 (`python -m analysis.field.sampling_loops`).
SMALLEST = 0.25
# Landmarks that are farther apart than this many covering radii are not joined: there is a gap between them.
GAP = 3.0
# A piece with a smaller share of the landmarks is taken for outliers.
SMALLEST_PIECE = 0.05
# Spaces with these Betti numbers modulo 2 and 3. No name is given for them, because other spaces have the same and
# nothing here tells them apart.
_ALSO: Mapping[tuple[tuple[int, ...], ...], str] = {
    ((1, 2, 0), (1, 2, 0)): "two loops that meet, as in a figure eight",
    ((1, 1, 1), (1, 0, 0)): "a projective plane",
    ((1, 1, 1), (1, 1, 1)): "the product of a sphere and a circle",
    ((1, 3, 3), (1, 3, 3)): "a 3-torus, as of several angles at once",
}
_CLOSED: Mapping[Name, Manifold] = {
    "circle": Sphere(1),
    "sphere": Sphere(2),
    "torus": Torus(2),
    "klein bottle": KleinBottle(),
}


class Betti(NamedTuple):
    """Holds Betti numbers in degrees 0, 1 and 2: the most frequent ones over all counts, the lowest and the highest."""

    numbers: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]


class Bars(NamedTuple):
    """Holds diagrams by prime, cut at `threshold`: classes that live there are taken to die there."""

    diagrams: Mapping[int, list[Diagram]]
    threshold: float


def bars(landmarks: Landmarks, primes: tuple[int, ...] = PRIMES) -> Bars:
    """Compute the bars of landmarks up to `REACH` of their enclosing radius.

    Args:
        landmarks: distances between them, and their covering radius.
        primes: of the coefficients.
    """
    threshold = REACH * enclosing_radius(landmarks.distances)
    edges = collapsed_edges(landmarks.distances, threshold)
    diagrams = {prime: rips_diagrams(edges, prime) for prime in primes}
    cut = {prime: [np.minimum(diagram, threshold) for diagram in found] for prime, found in diagrams.items()}
    return Bars(cut, threshold)


def ratios(diagram: Diagram) -> np.ndarray:
    """Return death / birth of each bar, the largest first.

    The ratios of bars that sampling makes hardly depend on the distribution of the data, and not on their scale.

    Args:
        diagram: (n, 2), births > 0.

    Reference: Bobrowski and Skraba, https://doi.org/10.1038/s41598-023-37842-2
    """
    return np.sort(diagram[:, 1] / diagram[:, 0])[::-1]


def lasting(found: Bars, prime: int, degree: int, share: float = SMALLEST) -> np.ndarray:
    """Return the ratios of the bars that are not small, the largest first.

    Args:
        found: bars.
        prime: of the coefficients.
        degree: 1 or 2.
        share: of the enclosing radius; a bar that dies before is small.
    """
    diagram = found.diagrams[prime][degree]
    return ratios(diagram[diagram[:, 1] >= share / REACH * found.threshold])


def longest(found: Bars) -> dict[int, float]:
    """Return the largest ratio of bars that are not small, in degrees 1 and 2, modulo 2; it is 1 if there is no bar.

    Args:
        found: bars modulo 2, and perhaps other primes.
    """
    return {degree: float(max(1.0, *lasting(found, 2, degree)[:1], 1.0)) for degree in FLOORS}


def longest_of_null(found: Bars) -> dict[int, float]:
    """Return the largest ratio of all bars: a small loop of the data does not count, but one of a null does.

    Args:
        found: bars modulo 2, and perhaps other primes.
    """
    return {degree: float(max(1.0, *ratios(found.diagrams[2][degree])[:1], 1.0)) for degree in FLOORS}


def pieces(landmarks: Landmarks) -> int:
    """Count the pieces that landmarks fall into, with a gap between them; small ones are outliers.

    Args:
        landmarks: distances between them, and their covering radius.
    """
    joined = csr_matrix(landmarks.distances <= GAP * landmarks.radius)
    _, piece = connected_components(joined, directed=False)
    return int((np.bincount(piece) >= SMALLEST_PIECE * len(piece)).sum())


def count(landmarks: Landmarks, found: Bars, floors: Mapping[int, float]) -> dict[int, tuple[int, ...]]:
    """Count Betti numbers by prime: pieces with a gap between them, and bars that are not small and exceed their floor.

    Args:
        landmarks: distances between them, and their covering radius.
        found: their bars.
        floors: ratio by degree.
    """
    apart = pieces(landmarks)
    return {
        prime: (apart, *(int((lasting(found, prime, k) > floors[k]).sum()) for k in floors)) for prime in found.diagrams
    }


def vote(
    numbers: dict[int, tuple[int, ...]], counts: Sequence[dict[int, tuple[int, ...]]]
) -> tuple[dict[int, Betti], float]:
    """Return Betti numbers by prime with their range over all counts, and the share of counts that have them."""
    columns = {prime: list(zip(*(found[prime] for found in counts), strict=True)) for prime in numbers}
    betti = {
        prime: Betti(numbers[prime], tuple(map(min, columns[prime])), tuple(map(max, columns[prime])))
        for prime in numbers
    }
    return betti, list(counts).count(numbers) / len(counts)


class Floors(NamedTuple):
    """Holds the lengths (death / birth) of the longest bars by degree, and what a bar must exceed to count."""

    longest: Mapping[int, float]
    least: Mapping[int, float]


@dataclasses.dataclass(frozen=True)
class Findings:
    """Holds everything that a verdict depends on.

    Args:
        points: number of distinct points.
        coordinates: number of their coordinates; None for a distance matrix.
        betti: Betti numbers by prime.
        agreement: share of the counts, of all points and of subsamples, that have these Betti numbers at both primes.
        p_values: by degree, corrected.
        dimension: two local estimates.
        alpha: significance level.
        flat: share of the points whose local dimension, less noise, is below 2.5.
    """

    points: int
    coordinates: int | None
    betti: Mapping[int, Betti]
    agreement: float
    p_values: Mapping[int, float]
    dimension: tuple[float, float]
    alpha: float
    flat: float


def closed(numbers: Mapping[int, tuple[int, ...]]) -> Name | None:
    """Return the closed manifold that has these Betti numbers at both primes; None if none that is known here has.

    Args:
        numbers: in degrees 0, 1 and 2, by prime.
    """
    for name, manifold in _CLOSED.items():
        if all(numbers[prime] == (*manifold.betti(prime), 0)[:3] for prime in PRIMES):
            return name
    return None


FEWEST_FOR_VERDICT = 100
# Below this local dimension there is no room for classes above degree 2; less noise, at this share of the points.
ROOM, MOST_FLAT = 2.5, 0.9
LEAST_AGREEMENT = 0.5


def decide(findings: Findings) -> tuple[Name, str]:
    """Return the manifold, and the reason in a sentence.

    A closed manifold needs its Betti numbers at both primes, in at least half of the counts, and a p-value of at most
    alpha in every degree in which it has a class. A sphere, which has no class in degree 1, also needs a p-value above
    alpha there. "contractible" needs Betti numbers (1, 0, 0) in at least half of the counts, p-values above alpha in
    both degrees, and no room for classes above degree 2, which are not computed: at most 3 coordinates, both dimensions
    below 2.5, or local dimensions below 2.5 at nine tenths of the points, once noise is subtracted.
    `riemod.topology.doubts` says what else a name needs.

    Args:
        findings: what was measured.
    """
    found = tuple(findings.betti[prime].numbers for prime in PRIMES)
    text = " and ".join(f"{numbers} mod {prime}" for prime, numbers in zip(PRIMES, found, strict=True))
    if findings.points < FEWEST_FOR_VERDICT:
        return (
            "undecided",
            f"{findings.points} distinct points are fewer than the {FEWEST_FOR_VERDICT} that a verdict needs",
        )
    if findings.agreement < LEAST_AGREEMENT:
        return "undecided", f"Betti numbers {text}, but only {findings.agreement:.0%} of the counts agree"
    short = [degree for degree, p in findings.p_values.items() if p <= findings.alpha and not found[0][degree]]
    missed = f"in degree {short[0]} a bar is longer than the nulls', and too short to count" if short else ""
    name = closed({prime: findings.betti[prime].numbers for prime in PRIMES})
    if name is not None:
        weak = [degree for degree, p in findings.p_values.items() if found[0][degree] and p > findings.alpha]
        if weak:
            why = f"p = {findings.p_values[weak[0]]:.3g} in degree {weak[0]}"
            return "undecided", f"Betti numbers {text} would be a {name}, but {why}"
        if name == "sphere" and short:
            return "undecided", f"Betti numbers {text} would be a sphere, but {missed}"
        return name, f"Betti numbers {text}"
    if found == ((1, 0, 0),) * 2:
        if short:
            return "undecided", f"Betti numbers {text} would be contractible, but {missed}"
        low = findings.coordinates is not None and findings.coordinates <= 3
        if low or max(findings.dimension) < ROOM or findings.flat >= MOST_FLAT:
            why = "in at most 3 coordinates" if low else "of local dimension at most 2"
            return "contractible", f"one component, no bar beyond the nulls in degree 1 or 2, {why}"
        return "undecided", "no bar beyond the nulls, but the local dimension leaves room for classes above degree 2"
    if found[0][0] > 1:
        return "undecided", f"{found[0][0]} pieces with a gap between them; fit each on its own (Betti numbers {text})"
    if found in _ALSO:
        return "undecided", f"Betti numbers {text} are those of {_ALSO[found]}, and of other spaces"
    return "undecided", f"Betti numbers {text} belong to none of the manifolds known here"
