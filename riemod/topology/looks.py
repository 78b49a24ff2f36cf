"""Looks at a cloud by one metric or by two, and what two looks say together.

Straight distances shorten what is bent, and distances along the graph of neighbors lengthen what is sampled unevenly. A
cloud that bends a little may show its manifold by either of them.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch

from riemod.topology.doubts import Evidence, doubt
from riemod.topology.landmarks import BENT, Metric, bend, landmark_distances
from riemod.topology.report import phrase
from riemod.topology.verdict import Bars, Betti, Name, bars, closed, count

# From this median ratio of geodesic to Euclidean distance on, points are also looked at by geodesic distances; a plane
# has 1.0 to 1.1, a circle or sphere without noise 1.1 to 1.2.
DOUBTFUL = 1.1
BY: Mapping[str, str] = {"euclidean": "by straight distances", "geodesic": "along the graph of neighbors"}


@dataclasses.dataclass(frozen=True)
class Look:
    """Holds what points show by one metric; `ModuliRecovery` describes each of these under its own attribute."""

    metric: Metric
    bars: Bars
    longest: Mapping[int, float]
    null_ratios: Mapping[int, list[np.ndarray]]
    floors: Mapping[int, float]
    p_values: Mapping[int, float]
    betti: Mapping[int, Betti]
    agreement: float
    manifold: Name
    reason: str
    evidence: Evidence


def metrics_for(points: np.ndarray) -> tuple[Metric, ...]:
    """Return the metrics by which points may have to be looked at, that of the first look first.

    Args:
        points: (n, k), already denoised.
    """
    ratio = bend(points)
    if ratio > BENT:
        return ("geodesic",)
    return ("euclidean", "geodesic") if ratio > DOUBTFUL else ("euclidean",)


def both(first: Look, second: Look, alpha: float) -> Look:
    """Say what two looks show together: a name if the second gives one that the first does not contradict.

    Args:
        first: that leaves the manifold undecided.
        second: by another metric.
        alpha: significance level.
    """
    if second.manifold == "undecided":
        return dataclasses.replace(first, reason=f"{first.reason}; {BY[second.metric]}, {second.reason}")
    if _contradicts(first, second, alpha):
        why = f"a contradiction: {BY[first.metric]}, {first.reason}; {BY[second.metric]}, {phrase(second.manifold)}"
        return dataclasses.replace(first, reason=why)
    return dataclasses.replace(second, reason=f"{second.reason}, {BY[second.metric]}")


def _contradicts(first: Look, second: Look, alpha: float) -> bool:
    """Say whether a look that gives no name speaks against the one that the other gives.

    It does if its Betti numbers are those of a manifold, and it has a class that the other has not, or something speaks
    against the same name; and if it has a bar that is longer than the nulls', where the other finds none that counts.
    """
    if second.manifold == "contractible" and min(first.p_values.values()) <= alpha:
        return True
    shown = closed({prime: betti.numbers for prime, betti in first.betti.items()})
    if shown is None:
        return False
    if shown == second.manifold:
        seen = first.evidence
        looked = seen.fibers is not None or seen.surface is not None
        return looked and bool(doubt(shown, dict.fromkeys(first.longest, 0), seen))
    return any(
        own > other
        for prime, betti in first.betti.items()
        for own, other in zip(betti.numbers, second.betti[prime].numbers, strict=True)
    )


def checked(first: Look, points: np.ndarray, metric: Metric, generator: torch.Generator) -> tuple[Look, str]:
    """Hold a name back if another metric shows the Betti numbers of a different closed manifold; draws no nulls.

    Args:
        first: that gives a name.
        points: (n, k), already denoised.
        metric: the other one.
        generator: draws the first landmark.

    Returns:
        The look, and what the other metric shows.
    """
    landmarks = landmark_distances(points, metric, generator)
    numbers = count(landmarks, bars(landmarks), first.floors)
    other = closed(numbers)
    shown = "Betti numbers " + " and ".join(f"{found} mod {prime}" for prime, found in numbers.items())
    if other in (None, first.manifold):
        return first, shown
    why = f"a contradiction: {BY[first.metric]}, {phrase(first.manifold)}; {BY[metric]}, {shown} of {phrase(other)}"
    return dataclasses.replace(first, manifold="undecided", reason=why), shown
