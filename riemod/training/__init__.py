"""Training of nets: one loop for every task, runs that survive a crash, and records that say how they were made."""

from riemod.training.checkpoint import CheckpointError
from riemod.training.compression import UnitOrder, compress_run
from riemod.training.errors import RunError
from riemod.training.folder import RunDescription, RunFolder, environment
from riemod.training.loop import Reporter, TrainingDiverged, evaluate, train
from riemod.training.replicas.loop import check_replicas, train_replicas
from riemod.training.run import Run, build, load, lottery, save, start
from riemod.training.seeds import Stream, generator_for

__all__ = [
    "CheckpointError",
    "Reporter",
    "Run",
    "RunDescription",
    "RunError",
    "RunFolder",
    "Stream",
    "TrainingDiverged",
    "UnitOrder",
    "build",
    "check_replicas",
    "compress_run",
    "environment",
    "evaluate",
    "generator_for",
    "load",
    "lottery",
    "save",
    "start",
    "train",
    "train_replicas",
]
