"""Evidence by name, for configurations and the command line."""

from collections.abc import Callable

from riemod._checks import check_choice
from riemod.evidence.sources import (
    Coactivity,
    Mixed,
    Source,
    absolute_weights,
    as_source,
    incoming_cosine,
    signed_weights,
)

EVIDENCE: dict[str, Callable[[], Source | None]] = {
    "weights": lambda: None,
    "absolute": lambda: as_source(absolute_weights),
    "signed": lambda: as_source(signed_weights),
    "cosine": lambda: as_source(incoming_cosine),
    "coactivity": Coactivity,
    "both": lambda: Mixed([absolute_weights, Coactivity()]),
    "cosine+coactivity": lambda: Mixed([incoming_cosine, Coactivity()]),
}
"""What learned points of a run follow, by name; None for its weights, by the gradient of Eq. 6 itself."""


def evidence_by_name(name: str) -> Source | None:
    """Make the source of that name for `PointEvidence`, or None for Eq. 6 itself.

    Raises:
        ValueError: for an unknown name.

    >>> evidence_by_name("coactivity")
    Coactivity(forget=0.05)
    """
    return EVIDENCE[check_choice("evidence", name, EVIDENCE)]()
