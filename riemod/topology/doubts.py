"""What speaks against a name that fits the Betti numbers, and which name angles may show where bars are short.

Other spaces have the same Betti numbers, so a name needs more. And loops of a torus or of a circle seen through noise
may be too short to count, though they are longer than those of all nulls: there the recovered angles decide.
"""

import dataclasses
import math
from collections.abc import Mapping

from riemod.topology.fibers import Fibers
from riemod.topology.resolution import NEEDED, Resolution
from riemod.topology.verdict import LEAST_AGREEMENT, PRIMES, Bars, Findings, Floors, Name, lasting

# A fiber of a circle is thinner than this, of the circle's size: in the median, and where it is thick. Circles with
# noise and of spiking cells stay below .2 and .3; a box around a hole, a band or one angle of several begin at .31.
CIRCLE = 0.25, 0.4
# The same for the two angles of a torus: tori stay below .35 and .45, tori of dimension 3 begin at .6 and .7.
TORUS = 0.45, 0.6
# Share of the pairs of angles that a torus takes: all but some; two loops on another space take the cross of about .3.
FILLED = 0.75
# A gap of a circle is wider than this, in rad, and less probable than this at the density around it.
GAP, GAP_LEVEL = math.radians(20), 1e-3
# A surface has local dimensions between these at nine tenths of the points: surfaces 2.0 to 2.6, S^3 3.1, a curve 1.1.
SURFACE, MOST_OF = (1.6, 2.75), 0.9
CLOSED = ("circle", "sphere", "torus", "klein bottle")
LOOPS: Mapping[str, int] = {"circle": 1, "torus": 2}
SURFACES = ("sphere", "klein bottle")


# A circle whose bar is too short to count needs thinner fibers, and a loop that lasts up to a larger share of the
# enclosing radius: those of spiking head direction cells have .34 to .41, those of sampling .25 to .35.
BY_ANGLE, WIDE = (0.2, 0.3), 1 / 3
# The two longest loops and the void of a torus are as long modulo 3 as modulo 2, up to this factor, unlike those of a
# Klein bottle; and the third loop is shorter than the second by this factor.
ALIKE, THIRD = 0.9, 0.85
# A Klein bottle has no void modulo 3, but its points may seem to have one for a while. It is shorter than that modulo
# 2, by this factor; those of tori and spheres are equal.
TWISTED = 0.95


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Holds what was looked at beyond Betti numbers; what a name does not need is None.

    Args:
        floors: of the bars of all points.
        fibers: of the recovered angles, for a circle and a torus; None if no angle was found.
        surface: share of points with the local dimension of a surface, for a sphere and a Klein bottle.
        resolution: the smallest loop and void that would have been seen, for "contractible".
    """

    floors: Floors
    fibers: Fibers | None = None
    surface: float | None = None
    resolution: Resolution | None = None


def candidate(findings: Findings, found: Bars) -> Name | None:
    """Return the name that further evidence may show although the bars that count do not fit it; None if there is none.

    A circle needs a loop, and a torus a loop and a void, that are longer than those of the nulls; neither may have more
    classes that count. A Klein bottle may have a void modulo 3 too many, if it is shorter than that modulo 2: no
    surface has Euler characteristics of 0 modulo 2 and 1 modulo 3.

    Args:
        findings: that do not fit a name by their Betti numbers.
        found: bars of all points.
    """
    pieces, loops, voids = (max(numbers) for numbers in zip(*(b.numbers for b in findings.betti.values()), strict=True))
    significant = {degree: p <= findings.alpha for degree, p in findings.p_values.items()}
    if pieces != 1 or not significant[1]:
        return None
    if not significant[2]:
        wide = lasting(found, 2, 1, WIDE)[:1].max(initial=1.0) >= lasting(found, 2, 1)[:1].max(initial=1.0)
        return "circle" if wide and loops <= 1 and not voids else None
    void = [float(lasting(found, prime, 2)[:1].max(initial=1.0)) for prime in found.diagrams]
    if [findings.betti[prime].numbers for prime in PRIMES] == [(1, 2, 1), (1, 1, 1)]:
        twisted = void[1] < TWISTED * void[0] and findings.agreement >= LEAST_AGREEMENT
        return "klein bottle" if twisted else None
    (first, second, third), other = (_three(found, prime) for prime in found.diagrams)
    alike = min(other[1], second) >= ALIKE * max(other[1], second)
    closed = min(void) >= ALIKE * max(void)
    return "torus" if loops <= 2 and voids <= 1 and first > 1 and alike and closed and third < THIRD * second else None


def _three(found: Bars, prime: int) -> tuple[float, float, float]:
    first, second, third = (*lasting(found, prime, 1)[:3], 1.0, 1.0, 1.0)[:3]
    return float(first), float(second), float(third)


def shows(name: Name, evidence: Evidence) -> bool:
    """Say whether recovered angles, or the local dimension, show a name that the bars that count do not fit."""
    if name in SURFACES:
        return not doubt(name, dict.fromkeys(evidence.floors.longest, 0), evidence)
    found = evidence.fibers
    if found is None or _of_fibers(name, found):
        return False
    return name != "circle" or (found.thickness <= BY_ANGLE[0] and found.thickest <= BY_ANGLE[1])


def shown_by(name: Name, found: Fibers | None) -> str:
    """Say how recovered angles, or a twist, show a name."""
    if found is None:
        return "Betti numbers (1, 2, 1) mod 2 and (1, 1, 1) mod 3, but the void mod 3 is shorter than that mod 2"
    angles = "one angle runs" if name == "circle" else "two angles run"
    return f"bars too short to count, but {angles} around it and leave a spread of {found.thickness:.2f} of its size"


def doubt(name: Name, classes: Mapping[int, int], evidence: Evidence) -> str:
    """Say what speaks against a name; nothing if the text is empty.

    Args:
        name: that fits the Betti numbers and p-values.
        classes: Betti numbers by degree, modulo 2.
        evidence: what was looked at.
    """
    for degree, longest in evidence.floors.longest.items():
        if name in CLOSED and classes[degree] and longest <= evidence.floors.least[degree]:
            return f"in degree {degree} only subsamples show a bar that counts, the whole does not"
    if name in LOOPS:
        return _of_fibers(name, evidence.fibers)
    if name in SURFACES and evidence.surface is not None and evidence.surface < MOST_OF:
        low, high = SURFACE
        return f"the local dimension is between {low} and {high} at only {evidence.surface:.0%} of the points"
    if name == "contractible" and evidence.resolution is not None:
        return too_coarse(evidence.resolution)
    return ""


def _of_fibers(name: str, fibers: Fibers | None) -> str:
    if fibers is None:
        return "no angle could be recovered that runs around it"
    if name == "torus" and fibers.filled < FILLED:
        return (
            f"its two angles take only {fibers.filled:.0%} of their pairs of values: the loops lie on no common torus"
        )
    if fibers.gap > GAP and fibers.gap_p_value < GAP_LEVEL:
        return f"no point is within a gap of {math.degrees(fibers.gap):.0f} degrees of the recovered angle"
    limits = CIRCLE if name == "circle" else TORUS
    if fibers.thickness > limits[0] or fibers.thickest > limits[1]:
        what = "its angle leaves" if name == "circle" else "its two angles leave"
        return (
            f"{what} a spread of {fibers.thickness:.2f} of its size (median over it; {fibers.thickest:.2f} where it is "
            f"thick): there is more than a {name}, such as a band, a sheet with a hole or another angle"
        )
    return ""


def too_coarse(found: Resolution) -> str:
    """Say which loop or void would have been missed, and how many points would be enough; nothing if none would."""
    missed = [what for what, share in (("loop", found.loop), ("void", found.void)) if share is None or share > NEEDED]
    if not missed:
        return ""
    enough = f"would need about {found.needed}" if found.needed is not None else f"would need more than {found.tried}"
    return f"a {' and a '.join(missed)} half as wide as the cloud could be missed with so few points; {enough}"
