"""Points that follow which neurons are active together: correlations, their energy, fits, evidence while training."""

from riemod.coactivity.energy import RunningCorrelations, coactivity_energy
from riemod.coactivity.fit import fit_positions, fit_to_correlations
from riemod.coactivity.least_squares import least_squares
from riemod.coactivity.observe import Coactivity

__all__ = [
    "Coactivity",
    "RunningCorrelations",
    "coactivity_energy",
    "fit_positions",
    "fit_to_correlations",
    "least_squares",
]
