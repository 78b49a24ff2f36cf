"""riemod: recurrent nets whose hidden neurons live on a Riemannian manifold that is learned with the weights."""

import importlib
import importlib.metadata
from types import ModuleType
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from riemod import topology

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
    "topology",
]


def __getattr__(name: str) -> ModuleType:
    # scikit-learn takes longer to import than all the rest, so topology waits until it is asked for.
    if name == "topology":
        return importlib.import_module("riemod.topology")
    raise AttributeError(f"module 'riemod' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
