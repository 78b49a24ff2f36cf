"""Points that follow which neurons are active together: correlations, their energy, fits, evidence while training."""

from riemod.coactivity.correlations import RunningCorrelations
from riemod.coactivity.energy import RING, WIDE, CoactivityLaw, coactivity_energy, natural_scale
from riemod.coactivity.fit import fit_positions, fit_to_correlations
from riemod.coactivity.least_squares import least_squares
from riemod.coactivity.observe import EVIDENCE, Coactivity, evidence_by_name

__all__ = [
    "EVIDENCE",
    "RING",
    "WIDE",
    "Coactivity",
    "CoactivityLaw",
    "RunningCorrelations",
    "coactivity_energy",
    "evidence_by_name",
    "fit_positions",
    "fit_to_correlations",
    "least_squares",
    "natural_scale",
]
