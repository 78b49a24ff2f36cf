"""What distance costs, and which weights pay: inhibitors, embeddings and the moduli penalty."""

from riemod.regularization import controls, inhibitors
from riemod.regularization.coactivity import Coactivity, RunningCorrelations, coactivity_energy
from riemod.regularization.embedding import Modules, NeuronEmbedding
from riemod.regularization.least_squares import least_squares
from riemod.regularization.penalty import moduli_penalty
from riemod.regularization.positions import fit_positions, fit_to_correlations
from riemod.regularization.regularizer import ModuliRegularizer
from riemod.regularization.targets import chain, recurrent

__all__ = [
    "Coactivity",
    "Modules",
    "ModuliRegularizer",
    "NeuronEmbedding",
    "RunningCorrelations",
    "chain",
    "coactivity_energy",
    "controls",
    "fit_positions",
    "fit_to_correlations",
    "inhibitors",
    "least_squares",
    "moduli_penalty",
    "recurrent",
]
