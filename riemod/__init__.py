"""riemod: recurrent nets whose hidden neurons live on a Riemannian manifold that is learned with the weights."""

import importlib.metadata

from riemod import initialization, manifolds, optim, sparse
from riemod.pruning import (
    ConstantSchedule,
    CubicSchedule,
    DynamicSparsePruner,
    LinearSchedule,
    LotteryTicket,
    MagnitudePruner,
    apply_masks,
    geometric_mask,
    lottery_ticket,
    proximal_step,
)
from riemod.regularization import (
    Coactivity,
    Modules,
    ModuliRegularizer,
    NeuronEmbedding,
    controls,
    fit_positions,
    inhibitors,
    moduli_penalty,
)

__version__ = importlib.metadata.version("riemod")

__all__ = [
    "Coactivity",
    "ConstantSchedule",
    "CubicSchedule",
    "DynamicSparsePruner",
    "LinearSchedule",
    "LotteryTicket",
    "MagnitudePruner",
    "Modules",
    "ModuliRegularizer",
    "NeuronEmbedding",
    "apply_masks",
    "controls",
    "fit_positions",
    "geometric_mask",
    "inhibitors",
    "initialization",
    "lottery_ticket",
    "manifolds",
    "moduli_penalty",
    "optim",
    "proximal_step",
    "sparse",
]
