"""From bars to a verdict: what is counted, what it is compared with, and which manifold it adds up to."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from riemod.manifolds import KleinBottle, Sphere, Torus
from riemod.topology.persistence import Diagram, collapsed_edges, enclosing_radius, rips_diagrams

Name = Literal["circle", "sphere", "torus", "klein bottle", "contractible", "undecided"]
PRIMES = (2, 3)
# Filtrations end at this share of the enclosing radius: the classes of a closed manifold are born long before, and
# beyond it lie most of the simplices.
REACH = 0.6
# Bars with a smaller ratio of death to birth are never counted, whatever the nulls: uneven sampling makes them.
FLOORS = {1: 2.5, 2: 1.3}
# Landmarks farther apart than this many covering radii have a gap in the data between them.
GAP = 3.0
# A piece with a smaller share of the landmarks is a few outliers.
SMALLEST_PIECE = 0.05
_CLOSED = {"circle": Sphere(1), "sphere": Sphere(2), "torus": Torus(2), "klein bottle": KleinBottle()}


class Betti(NamedTuple):
    """Betti numbers in degrees 0, 1 and 2: those most nets agree on, and the lowest and highest over all of them."""

    numbers: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]


class Net(NamedTuple):
    """Landmarks: distances between them, and the covering radius, beyond which no point is from a landmark."""

    distances: np.ndarray
    radius: float


class Bars(NamedTuple):
    """Diagrams by prime, cut at `threshold`, where what lives is taken to die."""

    diagrams: Mapping[int, list[Diagram]]
    threshold: float


def bars(net: Net, primes: tuple[int, ...] = PRIMES) -> Bars:
    """The bars of a net up to `REACH` of its enclosing radius.

    Args:
        net: the landmarks.
        primes: of the coefficients.
    """
    threshold = REACH * enclosing_radius(net.distances)
    edges = collapsed_edges(net.distances, threshold)
    diagrams = {prime: rips_diagrams(edges, prime) for prime in primes}
    cut = {prime: [np.minimum(diagram, threshold) for diagram in found] for prime, found in diagrams.items()}
    return Bars(cut, threshold)


def ratios(diagram: Diagram) -> np.ndarray:
    """death / birth of each bar, longest first: what sampling makes of it depends little on the data, nor on its scale.

    Args:
        diagram: (n, 2), births > 0.

    Reference: Bobrowski and Skraba, https://doi.org/10.1038/s41598-023-37842-2
    """
    return np.sort(diagram[:, 1] / diagram[:, 0])[::-1]


def longest(found: Bars) -> dict[int, float]:
    """The largest ratio in degrees 1 and 2, modulo 2; 1 if there is no bar.

    Args:
        found: bars, prime 2 among them.
    """
    return {degree: max(1.0, *ratios(found.diagrams[2][degree])[:1], 1.0) for degree in FLOORS}


def count(net: Net, found: Bars, floors: Mapping[int, float]) -> dict[int, tuple[int, ...]]:
    """Betti numbers by prime: pieces with a gap between them, and bars whose ratio exceeds the floor of their degree.

    Args:
        net: the landmarks.
        found: their bars.
        floors: ratio by degree.
    """
    _, piece = connected_components(csr_matrix(net.distances <= GAP * net.radius), directed=False)
    pieces = int((np.bincount(piece) >= SMALLEST_PIECE * len(piece)).sum())
    return {
        prime: (pieces, *(int((ratios(diagrams[k]) > floors[k]).sum()) for k in floors))
        for prime, diagrams in found.diagrams.items()
    }


@dataclasses.dataclass(frozen=True)
class Evidence:
    """All that a verdict rests on.

    Args:
        points: how many distinct points were looked at.
        coordinates: how many coordinates they have; None for a distance matrix.
        betti: by prime.
        agreement: share of the nets with these Betti numbers, at both primes.
        p_values: by degree, corrected.
        dimension: two local estimates.
        alpha: level of significance.
    """

    points: int
    coordinates: int | None
    betti: Mapping[int, Betti]
    agreement: float
    p_values: Mapping[int, float]
    dimension: tuple[float, float]
    alpha: float


FEWEST_FOR_VERDICT = 100
# Of fewer points on a torus the loops are often shorter than their floor, though longer than those of nulls.
FEWEST_FOR_ABSENCE = 500
LEAST_AGREEMENT = 0.5


def decide(evidence: Evidence) -> tuple[Name, str]:
    """The manifold and, in a sentence, why.

    A closed manifold needs its Betti numbers at both primes, the same in half of the nets or more, and a p-value
    of at most alpha in every degree where it has a class; a sphere also needs one above alpha in degree 1, where it
    has none. "contractible" needs Betti numbers (1, 0, 0), as stable, p-values above alpha if there are fewer than 500
    points, and no room for classes above degree 2, which nothing here would see: at most 3 coordinates, or both
    dimensions below 2.5.

    Args:
        evidence: what was found.
    """
    found = tuple(evidence.betti[prime].numbers for prime in PRIMES)
    text = " and ".join(f"{numbers} mod {prime}" for prime, numbers in zip(PRIMES, found, strict=True))
    if evidence.points < FEWEST_FOR_VERDICT:
        return (
            "undecided",
            f"{evidence.points} distinct points are fewer than the {FEWEST_FOR_VERDICT} that a verdict needs",
        )
    if evidence.agreement < LEAST_AGREEMENT:
        return "undecided", f"Betti numbers {text}, but only {evidence.agreement:.0%} of the nets agree"
    short = [degree for degree, p in evidence.p_values.items() if p <= evidence.alpha and not found[0][degree]]
    missed = f"in degree {short[0]} a bar is longer than the nulls', and too short to count" if short else ""
    for name, manifold in _CLOSED.items():
        if found != tuple((*manifold.betti(prime), 0)[:3] for prime in PRIMES):
            continue
        weak = [degree for degree, p in evidence.p_values.items() if found[0][degree] and p > evidence.alpha]
        if weak:
            why = f"p = {evidence.p_values[weak[0]]:.3g} in degree {weak[0]}"
            return "undecided", f"Betti numbers {text} would be a {name}, but {why}"
        if name == "sphere" and short:
            return "undecided", f"Betti numbers {text} would be a sphere, but {missed}"
        return name, f"Betti numbers {text}"  # pyright: ignore[reportReturnType]
    if found == ((1, 0, 0),) * 2:
        if short and evidence.points < FEWEST_FOR_ABSENCE:
            return "undecided", f"Betti numbers {text} would be contractible, but {missed}"
        low = evidence.coordinates is not None and evidence.coordinates <= 3
        if low or max(evidence.dimension) < 2.5:
            why = "in at most 3 coordinates" if low else "of local dimension at most 2"
            return "contractible", f"one component, no bar beyond the nulls in degree 1 or 2, {why}"
        return "undecided", "no bar beyond the nulls, but the local dimension leaves room for classes above degree 2"
    return "undecided", f"Betti numbers {text} are those of no manifold known here"
