"""What a verdict rests on, in plain words: what was seen, what speaks against a name, and what to record more of."""

import math
from typing import Any

from riemod.topology.doubts import Evidence
from riemod.topology.verdict import ratios


def phrase(name: str) -> str:
    """Put an article before a name that needs one."""
    return name if name in ("contractible", "undecided") else f"a {name}"


def describe(found: Any) -> str:
    """Describe a fitted `ModuliRecovery`, one thing a line."""
    lines = [f"manifold: {found.manifold_} ({found.reason_})"]
    for prime, betti in found.betti_.items():
        spans = ", ".join(
            f"{number}" if low == high else f"{number} [{low}-{high}]" for number, low, high in zip(*betti, strict=True)
        )
        lines.append(f"Betti numbers mod {prime}: {spans}")
    lines.append(f"counts on all points and on subsamples that agree: {found.agreement_:.0%}")
    for degree, p in found.p_values_.items():
        drawn = found.null_ratios_[degree]
        lines.append(
            f"degree {degree}: longest bar {found.longest_[degree]:.2f} (death / birth), counted above "
            f"{found.floors_[degree]:.2f}, p = {p:.3g} from {sum(map(len, drawn))} nulls"
        )
    least = 2 / (found.n_nulls + 1)
    if least > found.alpha:
        lines.append(
            f"{found.n_nulls} nulls of a kind give no corrected p below {least:.3g}: no manifold can be confirmed with "
            f"fewer than {math.ceil(2 / found.alpha) - 1}"
        )
    if hasattr(found, "second_loop_"):
        length, p = found.second_loop_
        lives = "has a product with the longest" if found.product_ else "has no product with the longest"
        lines.append(f"second loop: {length:.2f} (death / birth), p = {p:.3g}, {lives}")
    if hasattr(found, "evidence_"):
        lines += _evidence(found, found.evidence_)
    lines.append("local dimension: {:.1f} (two-NN), {:.1f} (local PCA)".format(*found.dimension_))
    lines.append(f"metric: {found.metric_}")
    looks = getattr(found, "looks_", {})
    if len(looks) > 1:
        lines += [f"by the {metric} metric: {said}" for metric, said in looks.items()]
    return "\n".join(lines)


def _evidence(found: Any, evidence: Evidence) -> list[str]:
    lines = []
    small = ratios(found.bars_.diagrams[2][1])[:1]
    if len(small) and small[0] > max(found.longest_[1], found.floors_[1]):
        lines.append(
            f"a loop of {small[0]:.2f} (death / birth) is small and does not count: it is filled before a quarter of "
            "the enclosing radius, as loops are that uneven sampling makes"
        )
    if evidence.fibers is not None:
        own = evidence.fibers
        lines.append(
            f"recovered angles: {own.filled:.0%} of their values occur, largest gap {math.degrees(own.gap):.0f} "
            f"degrees; what they leave is {own.thickness:.2f} of the size ({own.thickest:.2f} where it is thick)"
        )
    if evidence.surface is not None:
        lines.append(f"the local dimension is that of a surface at {evidence.surface:.0%} of the points")
    if evidence.resolution is not None:
        own = evidence.resolution
        loop, void = (f"{share:.2g}" if share else "none" for share in (own.loop, own.void))
        lines.append(
            f"smallest that would have been seen, of the extent of the points: loop {loop}, void {void} (planted)"
        )
    return lines
