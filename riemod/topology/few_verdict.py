"""From what few points show to a verdict: Betti numbers by p-values, a name, or "undecided"."""

import dataclasses
from collections.abc import Mapping

from riemod.topology.few import Lengths, Ranks, Reading
from riemod.topology.nulls import holm
from riemod.topology.verdict import LEAST_AGREEMENT, PRIMES, Betti, Name

# With fewer points a circle is not told from noise.
FEWEST_FOR_FEW = 40
# A circle's second loop is shorter than half of the second loops of some null; that of a torus is longer than most.
ONLY_LOOP = 0.5
# (1, b1, b2) at both primes. At most two loops are counted.
_NAMES: dict[tuple[int, ...], Name] = {(1, 1, 0): "circle", (1, 0, 1): "sphere", (1, 2, 1): "torus"}


@dataclasses.dataclass(frozen=True)
class FewFindings:
    """Holds everything that a verdict on few points depends on.

    Args:
        points: number of distinct points.
        coordinates: number of their coordinates; None for a distance matrix.
        betti: Betti numbers by prime.
        by_length: Betti numbers by prime if bars longer than their floors counted, whatever their p-values.
        agreement: share of the subsamples that have these Betti numbers at both primes.
        p_values: by degree, corrected.
        second: p-value of the second longest loop, modulo 2 and modulo 3 the smaller one.
        product: whether the product of the two longest loops lives.
        dimension: two local estimates.
        alpha: significance level.
        needed: by name, how many points of this noise are recognized in 80 % of draws; None if more than were tried.
    """

    points: int
    coordinates: int | None
    betti: Mapping[int, Betti]
    by_length: Mapping[int, tuple[int, ...]]
    agreement: float
    p_values: Mapping[int, float]
    second: float
    product: bool
    dimension: tuple[float, float]
    alpha: float
    needed: Mapping[str, int | None]


def by_p_values(reading: Reading, ranks: Ranks, alpha: float) -> dict[int, tuple[int, ...]]:
    """Count Betti numbers by prime: what is longer than nulls and rivals at the level alpha.

    The longest loop and void are corrected over the two degrees (Holm). Two loops whose product lives are tested by the
    length of the second: noise makes no such product, so this adds no error that a correction would have to share.
    """
    numbers = {}
    for prime, found in reading.lengths.items():
        corrected = holm({1: ranks.p_value(found, "first"), 2: ranks.p_value(found, "void")})
        second = ranks.p_value(found, "second") <= alpha
        numbers[prime] = _numbers(reading, corrected[1] <= alpha, second, corrected[2] <= alpha)
    return numbers


def by_floors(reading: Reading, floors: Lengths) -> dict[int, tuple[int, ...]]:
    """Count Betti numbers by prime on a subsample: what is longer than floors."""
    return {
        prime: _numbers(reading, *(length > floor for length, floor in zip(found, floors, strict=True)))
        for prime, found in reading.lengths.items()
    }


def _numbers(reading: Reading, first: bool, second: bool, void: bool) -> tuple[int, ...]:
    if second and reading.product:
        return reading.pieces, 2, 1
    return reading.pieces, int(first) * (1 + int(second)), int(void)


def decide_few(findings: FewFindings) -> tuple[Name, str]:
    """Return the manifold that few points fill, and the reason in a sentence.

    - circle: (1, 1, 0), and no sign of a second loop: it is shorter than half of those of some null or rival.
    - sphere: (1, 0, 1).
    - torus: (1, 2, 1), and the two loops have a product: they are the loops of one closed surface.
    - contractible: (1, 0, 0), no product, so many points that a circle, a sphere and a torus of this noise would each
      have been recognized in 80 % of draws, and no room for classes above degree 2, as in `decide`.

    Each holds modulo 2 and 3, and in at least half of the subsamples.

    Args:
        findings: what was measured.
    """
    name, why = _decide(findings)
    if name != "undecided":
        return name, why
    return name, f"{why}; {needed_points(findings.points, findings.needed)}" if findings.needed else why


def needed_points(points: int, needed: Mapping[str, int | None]) -> str:
    """Say how many points would be enough to recognize each manifold."""
    named = ", ".join(f"a {name} {'more than were tried' if size is None else size}" for name, size in needed.items())
    return f"of this noise, recognition in 80 % of draws needs this many points: {named}; here are {points}"


def _decide(findings: FewFindings) -> tuple[Name, str]:
    found = tuple(findings.betti[prime].numbers for prime in PRIMES)
    text = " and ".join(f"{numbers} mod {prime}" for prime, numbers in zip(PRIMES, found, strict=True))
    if findings.points < FEWEST_FOR_FEW:
        return (
            "undecided",
            f"{findings.points} distinct points are fewer than the {FEWEST_FOR_FEW} that a verdict needs",
        )
    if found[0] != found[1]:
        return "undecided", f"Betti numbers {text} differ, and few points do not tell such manifolds apart"
    if found[0] == (1, 0, 0):
        longer = findings.by_length[PRIMES[0]]
        if longer in _NAMES and longer == findings.by_length[PRIMES[1]]:
            degree = 1 if longer[1] else 2
            why = f"p = {findings.p_values[degree]:.3g} in degree {degree}"
            return "undecided", f"Betti numbers {longer} would be a {_NAMES[longer]}, but {why}"
        return _absence(findings, text)
    if found[0] not in _NAMES:
        return "undecided", f"Betti numbers {text} belong to none of the manifolds that few points can show"
    name = _NAMES[found[0]]
    if findings.agreement < LEAST_AGREEMENT:
        return "undecided", f"Betti numbers {text}, but only {findings.agreement:.0%} of the counts agree"
    if name == "circle" and findings.second <= ONLY_LOOP:
        return "undecided", f"Betti numbers {text} would be a circle, but there may be a second loop"
    if name == "torus" and not findings.product:
        return "undecided", f"Betti numbers {text} would be a torus, but its two loops enclose no common surface"
    return name, f"Betti numbers {text}"


def _absence(findings: FewFindings, text: str) -> tuple[Name, str]:
    lacking = [name for name, size in findings.needed.items() if size is None or findings.points < size]
    if lacking or set(findings.needed) != set(_NAMES.values()):
        hidden = f"a {' or a '.join(lacking)} of this noise" if lacking else "a closed manifold"
        return "undecided", f"Betti numbers {text}, but {hidden} could look like this"
    if findings.product or min(findings.p_values.values()) <= findings.alpha:
        return "undecided", f"Betti numbers {text}, but a bar is longer than the nulls'"
    low = findings.coordinates is not None and findings.coordinates <= 3
    if low or max(findings.dimension) < 2.5:
        why = "in at most 3 coordinates" if low else "of local dimension at most 2"
        return "contractible", f"one component, no bar beyond the nulls in degree 1 or 2, {why}"
    return "undecided", "no bar beyond the nulls, but the local dimension leaves room for classes above degree 2"
