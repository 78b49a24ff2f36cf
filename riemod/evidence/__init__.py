"""What learned points follow besides Eq. 6: signed weights, cosines of rows, co-activity, and mixes of them."""

from riemod.evidence.law import EvidenceLaw
from riemod.evidence.names import EVIDENCE, evidence_by_name
from riemod.evidence.points import PointEvidence
from riemod.evidence.sources import (
    Coactivity,
    DecoderCosine,
    Gathered,
    Mixed,
    Source,
    absolute_weights,
    incoming_cosine,
    signed_weights,
)
from riemod.evidence.wrappers import Permuted, Profiles

__all__ = [
    "EVIDENCE",
    "Coactivity",
    "DecoderCosine",
    "EvidenceLaw",
    "Gathered",
    "Mixed",
    "Permuted",
    "PointEvidence",
    "Profiles",
    "Source",
    "absolute_weights",
    "evidence_by_name",
    "incoming_cosine",
    "signed_weights",
]
