"""Points that follow which neurons are active together: correlations, their energy, and fits of points to them."""

from riemod.coactivity.correlations import RunningCorrelations
from riemod.coactivity.energy import RING, WIDE, CoactivityLaw, coactivity_energy, natural_scale
from riemod.coactivity.fit import fit_positions, fit_to_correlations
from riemod.coactivity.least_squares import least_squares

__all__ = [
    "RING",
    "WIDE",
    "CoactivityLaw",
    "RunningCorrelations",
    "coactivity_energy",
    "fit_positions",
    "fit_to_correlations",
    "least_squares",
    "natural_scale",
]
