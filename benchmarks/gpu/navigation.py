"""A part of navigation at the paper's scale: arms in order, each epoch kept, so that the next call goes on."""

import time
from pathlib import Path
from typing import Any

from riemod.tasks import task_class
from riemod.training import RunDescription, RunFolder, load, start, train

# The arms of the paper's Table 1 that share navigation's preset.
ARMS: dict[str, dict[str, Any]] = {
    "torus-learned": {"manifold": "torus", "learn": True, "sparsity": 0.9},
    "none": {"sparsity": 0.9},
    "torus": {"manifold": "torus", "sparsity": 0.9},
    "sphere-learned": {"manifold": "sphere", "learn": True, "sparsity": 0.9},
}


class TimeIsUp(Exception):
    """Ends a run's training between two steps; its last epoch is kept."""


def train_until(end: float, runs: Path, preset: str, changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Train the arms, one after the other, until a time of `time.monotonic`.

    Args:
        end: when to stop.
        runs: folder of the runs; those that are there go on.
        preset: of navigation.
        changes: of the preset.

    Returns:
        A record of each arm that was begun: its epochs, the seconds that they took, and its last metrics.
    """

    def report(*_: object) -> None:
        if time.monotonic() > end:
            raise TimeIsUp

    records = []
    for name, arm in ARMS.items():
        if time.monotonic() > end:
            break
        folder = RunFolder(runs / name)
        if folder.config_file.is_file():
            run = load(folder)
        else:
            config = task_class("navigation").presets[preset].replace(**changes, **arm)
            run = start(folder, RunDescription("navigation", config, None))
        try:
            metrics = train(run, report)["metrics"]
        except TimeIsUp:
            metrics = None
        rows = folder.read_metrics()
        records.append(
            {
                "arm": name,
                "epochs": len(rows),
                "of": run.config.training.epochs,
                "seconds": run.seconds,
                "last_epoch": rows[-1] if rows else None,
                "metrics": metrics,
            }
        )
    return records
