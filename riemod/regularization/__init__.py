"""What distance costs, and which weights pay: inhibitors, embeddings and the moduli penalty."""

from riemod.regularization import controls, inhibitors
from riemod.regularization.embedding import Modules, NeuronEmbedding
from riemod.regularization.penalty import moduli_penalty
from riemod.regularization.regularizer import ModuliRegularizer
from riemod.regularization.targets import chain, recurrent

__all__ = [
    "Modules",
    "ModuliRegularizer",
    "NeuronEmbedding",
    "chain",
    "controls",
    "inhibitors",
    "moduli_penalty",
    "recurrent",
]
