"""How nets are trained: one loop, runs that survive a crash, records that say how they were made."""

from riemod.training.checkpoint import CheckpointError
from riemod.training.compression import UnitOrder, compress_run
from riemod.training.folder import RunDescription, RunError, RunFolder
from riemod.training.loop import Reporter, TrainingDiverged, evaluate, train
from riemod.training.replicas.loop import check_replicas, train_replicas
from riemod.training.run import Run, load, lottery, start

__all__ = [
    "CheckpointError",
    "Reporter",
    "Run",
    "RunDescription",
    "RunError",
    "RunFolder",
    "TrainingDiverged",
    "UnitOrder",
    "check_replicas",
    "compress_run",
    "evaluate",
    "load",
    "lottery",
    "start",
    "train",
    "train_replicas",
]
