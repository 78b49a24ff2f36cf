"""From findings to a name: by Betti numbers, or by recovered angles, unless something speaks against it."""

import torch

from riemod.topology._neighbors import Neighborhood, local_dimensions
from riemod.topology.doubts import LOOPS, SURFACE, SURFACES, Evidence, candidate, doubt, shown_by, shows
from riemod.topology.fibers import fibers
from riemod.topology.landmarks import Metric
from riemod.topology.report import phrase
from riemod.topology.resolution import planted_like, resolution
from riemod.topology.verdict import Bars, Findings, Floors, Name, decide


def conclude(
    findings: Findings, found: Bars, floors: Floors, near: Neighborhood, metric: Metric, generator: torch.Generator
) -> tuple[Name, str, Evidence]:
    """Name the manifold, and return the name, the reason in a sentence, and what was looked at.

    Args:
        findings: Betti numbers, p-values and dimensions.
        found: bars of all points.
        floors: lengths of the longest bars, and the floors that bars must exceed.
        near: nearest points of each point.
        metric: in which the points were read.
        generator: draws landmarks and planted points.
    """
    name, why = decide(findings)
    short = candidate(findings, found) if name == "undecided" else None
    evidence = _gather(short or name, floors, near, metric, generator)
    if short:
        if shows(short, evidence):
            return short, shown_by(short, evidence.fibers), evidence
        against = doubt(short, dict.fromkeys(floors.longest, 0), evidence)
        return name, f"{why}; for {phrase(short)}, {against}" if against else why, evidence
    against = doubt(name, dict(enumerate(findings.betti[2].numbers)), evidence)
    if against:
        return "undecided", f"{why} would be {phrase(name)}, but {against}", evidence
    return name, why, evidence


def _gather(name: Name, floors: Floors, near: Neighborhood, metric: Metric, generator: torch.Generator) -> Evidence:
    """Look at what a name needs beyond Betti numbers and p-values."""
    metric = "euclidean" if metric == "precomputed" else metric
    if name in LOOPS:
        seed = int(torch.randint(2**31, (1,), generator=generator))
        return Evidence(floors, fibers=fibers(near.points, LOOPS[name], metric, seed))
    if name in SURFACES:
        dimensions = local_dimensions(near)
        return Evidence(floors, surface=float(((dimensions >= SURFACE[0]) & (dimensions <= SURFACE[1])).mean()))
    if name == "contractible":
        like = planted_like(near, metric, floors.least)
        return Evidence(floors, resolution=resolution(len(near.points), like, generator))
    return Evidence(floors)
