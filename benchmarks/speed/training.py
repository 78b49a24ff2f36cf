"""Training steps: navigation against a straightforward loop, replicas against runs in turn, and the penalty's share."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from riemod.tasks import TASKS
from riemod.tasks.base import Batch
from riemod.training import Run, RunDescription, RunFolder, start
from riemod.training.loop import start_epoch, train_step

LEARNED_TORUS: dict[str, Any] = {"manifold": "torus", "learn": True}


def new_run(folder: str, task: str, preset: str, **changes: Any) -> Run:
    """A fresh run, its first epoch begun."""
    config = dataclasses.replace(TASKS[task].presets[preset], **changes)
    run = start(RunFolder(Path(folder)), RunDescription(task, config, None))
    start_epoch(run)
    return run


def stepper(run: Run) -> Callable[[], object]:
    """One step on the next batch, data included."""
    batches = endless(run)
    return lambda: train_step(run, next(batches))


def endless(run: Run) -> Iterator[Batch]:
    """Batches as an epoch draws them, epoch after epoch."""
    for epoch in itertools.count():
        generator = torch.Generator(run.task.device).manual_seed(epoch)
        yield from run.task.batches(generator, run.config.batches_per_epoch)
