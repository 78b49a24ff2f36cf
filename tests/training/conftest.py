"""Runs that take milliseconds, and what two of them are compared by."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from riemod.tasks import TASKS
from riemod.training import Run, RunDescription, RunFolder, start

SMALL: dict[str, dict[str, Any]] = {
    "adding": {"hidden_size": 6, "steps": 4, "batch_size": 8, "evaluation_batches": 2},
    "navigation": {
        "hidden_size": 6,
        "landmarks": 16,
        "width": 0.6,
        "steps": 3,
        "batch_size": 8,
        "evaluation_batches": 1,
    },
}
LEARNED_TORUS: dict[str, Any] = {"manifold": "torus", "learn": True, "sparsity": 0.75}


@pytest.fixture
def describe() -> Callable[..., RunDescription]:
    """A description of a run of three epochs of four steps on a learned torus; any number of it can be changed."""

    def make(task: str = "adding", **changes: Any) -> RunDescription:
        shape = {"epochs": 3, "batches_per_epoch": 4, "tail_epochs": 1, "dense_epochs": 0}
        config = TASKS[task].presets["smoke"].replace(**(shape | SMALL[task] | LEARNED_TORUS | changes))
        return RunDescription(task, config, None)

    return make


@pytest.fixture
def begin(describe: Callable[..., RunDescription]) -> Callable[..., Run]:
    """Start such a run in a folder."""

    def make(path: Path, task: str = "adding", **changes: Any) -> Run:
        return start(RunFolder(path), describe(task, **changes))

    return make


@pytest.fixture
def bits() -> Callable[[Run], dict[str, Tensor]]:
    """Every number that training changed: weights, masks, points, and the optimizer's state."""

    def of(run: Run) -> dict[str, Tensor]:
        tensors = {
            f"{key}/{name}": value for key, module in run.modules.items() for name, value in module.state_dict().items()
        }
        for member, state_dict in enumerate(run.optimizer.state_dict()["members"]):
            for parameter, state in state_dict["state"].items():
                values = {name: torch.as_tensor(value) for name, value in state.items()}
                tensors |= {f"optimizer/{member}/{parameter}/{name}": value for name, value in values.items()}
        return {name: value.clone() for name, value in tensors.items()}

    return of


@pytest.fixture
def same() -> Callable[[dict[str, Tensor], dict[str, Tensor]], bool]:
    """Whether two sets of tensors are the same, bit by bit."""

    def compare(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
        return first.keys() == second.keys() and all(
            value.dtype == second[name].dtype and torch.equal(value, second[name]) for name, value in first.items()
        )

    return compare


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder, byte by byte."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }

    return read


@pytest.fixture
def record_without_time() -> Callable[[Path], dict[str, Any]]:
    """A run's record, but for what two equal runs may differ in."""

    def read(path: Path) -> dict[str, Any]:
        record = json.loads((path / "record.json").read_text())
        return {
            key: value for key, value in record.items() if key not in ("wall_time", "commit", "machine", "ticket_of")
        }

    return read
