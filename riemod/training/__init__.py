"""How nets are trained: one loop, runs that survive a crash, records that say how they were made."""

from riemod.training.assembly import Run, load, lottery, start
from riemod.training.checkpoint import CheckpointError
from riemod.training.compression import UnitOrder, compress_run
from riemod.training.loop import Reporter, TrainingDiverged, evaluate, train
from riemod.training.replicas import check_replicas, train_replicas
from riemod.training.runs import RunDescription, RunError, RunFolder

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
