"""What distance costs, and which weights pay: inhibitors, embeddings and the moduli penalty."""

from riemod.regularization import controls, inhibitors
from riemod.regularization.embedding import Modules, NeuronEmbedding
from riemod.regularization.energy import evidence_energy
from riemod.regularization.penalty import moduli_penalty
from riemod.regularization.proximal import backward_to_points, proximal_step
from riemod.regularization.regularizer import ModuliRegularizer
from riemod.regularization.strength import AutoStrength
from riemod.regularization.weights import chain, kernel, recurrent

__all__ = [
    "AutoStrength",
    "Modules",
    "ModuliRegularizer",
    "NeuronEmbedding",
    "backward_to_points",
    "chain",
    "controls",
    "evidence_energy",
    "inhibitors",
    "kernel",
    "moduli_penalty",
    "proximal_step",
    "recurrent",
]
