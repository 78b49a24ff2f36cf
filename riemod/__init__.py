"""riemod: recurrent nets whose hidden neurons live on a Riemannian manifold that is learned with the weights."""

import importlib
import importlib.metadata
from types import ModuleType
from typing import TYPE_CHECKING

from riemod import _signals  # noqa: F401, the first of all: a Ctrl-C may come while the others are imported

# isort: split
from riemod import coactivity, evidence, initialization, manifolds, masks, optim, pruning, regularization, sparse
from riemod.coactivity import fit_positions
from riemod.evidence import Coactivity, PointEvidence
from riemod.masks import apply_masks
from riemod.pruning import (
    ConstantSchedule,
    CubicSchedule,
    DynamicSparsePruner,
    LinearSchedule,
    LotteryTicket,
    MagnitudePruner,
    geometric_mask,
    lottery_ticket,
)
from riemod.regularization import (
    Modules,
    ModuliRegularizer,
    NeuronEmbedding,
    chain,
    controls,
    inhibitors,
    moduli_penalty,
    proximal_step,
    recurrent,
)

if TYPE_CHECKING:
    from riemod import (
        alignment,
        dynamics,
        inspection,
        integrations,
        plotting,
        recordings,
        report,
        suites,
        tasks,
        topology,
        training,
        tuning,
    )

__version__ = importlib.metadata.version("riemod")

# scikit-learn, matplotlib and SciPy's statistics take longer to import than all the rest: these wait until asked for.
_LAZY = (
    "alignment",
    "dynamics",
    "inspection",
    "integrations",
    "plotting",
    "recordings",
    "report",
    "suites",
    "tasks",
    "topology",
    "training",
    "tuning",
)

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
    "PointEvidence",
    "alignment",
    "apply_masks",
    "chain",
    "coactivity",
    "controls",
    "dynamics",
    "evidence",
    "fit_positions",
    "geometric_mask",
    "inhibitors",
    "initialization",
    "inspection",
    "integrations",
    "lottery_ticket",
    "manifolds",
    "masks",
    "moduli_penalty",
    "optim",
    "plotting",
    "proximal_step",
    "pruning",
    "recordings",
    "recurrent",
    "regularization",
    "report",
    "sparse",
    "suites",
    "tasks",
    "topology",
    "training",
    "tuning",
]


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return importlib.import_module(f"riemod.{name}")
    raise AttributeError(f"module 'riemod' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
