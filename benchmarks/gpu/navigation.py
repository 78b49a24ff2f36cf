"""A part of navigation at the paper's scale: arms in order, each epoch kept, so that the next call goes on."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.gpu.deadline import TimeIsUp, within
from riemod.tasks import task_class
from riemod.training import Run, RunDescription, RunFolder, load, start, train

# The arms of the paper's Table 1 that share navigation's preset.
ARMS: dict[str, dict[str, Any]] = {
    "torus-learned": {"manifold": "torus", "learn": True, "sparsity": 0.9},
    "none": {"sparsity": 0.9},
    "torus": {"manifold": "torus", "sparsity": 0.9},
    "sphere-learned": {"manifold": "sphere", "learn": True, "sparsity": 0.9},
}


def train_until(end: float, runs: Path, preset: str, changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Train the arms, one after the other, until a time of `time.monotonic`; each arm's last epoch is kept.

    Args:
        end: when to stop, whatever runs.
        runs: folder of the runs; those that are there go on.
        preset: of navigation.
        changes: of the preset.

    Returns:
        A record of each arm that was begun: its epochs, the seconds that they took, and its last metrics.
    """
    begun: dict[str, Run] = {}
    with suppress(TimeIsUp), within(end - time.monotonic()):
        for name, arm in ARMS.items():
            begun[name] = opened(RunFolder(runs / name), preset, {**changes, **arm})
            train(begun[name])
    return [_record(name, run) for name, run in begun.items()]


def opened(folder: RunFolder, preset: str, changes: dict[str, Any]) -> Run:
    """Return the run of a folder; where there is none, a fresh one."""
    if folder.config_file.is_file():
        return load(folder)
    config = task_class("navigation").presets[preset].replace(**changes)
    return start(folder, RunDescription("navigation", config, None))


def _record(arm: str, run: Run) -> dict[str, Any]:
    rows = run.folder.read_metrics()
    return {
        "arm": arm,
        "epochs": run.epoch,
        "of": run.config.training.epochs,
        "seconds": run.seconds,
        "last_epoch": rows[-1] if rows else None,
        "metrics": run.folder.read_record()["metrics"] if run.folder.record_file.is_file() else None,
    }
