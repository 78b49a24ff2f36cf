"""Configurations of runs: one group of numbers for each reader, and one record of them all."""

from riemod.tasks.config.masks import Masks
from riemod.tasks.config.optimization import Optimization
from riemod.tasks.config.regularization import ArmName, EvidenceName, InhibitorName, ManifoldName, Regularization
from riemod.tasks.config.run import InitializationName, PresetName, RunConfig
from riemod.tasks.config.training import Computation, Training

__all__ = [
    "ArmName",
    "Computation",
    "EvidenceName",
    "InhibitorName",
    "InitializationName",
    "ManifoldName",
    "Masks",
    "Optimization",
    "PresetName",
    "Regularization",
    "RunConfig",
    "Training",
]
