"""The folder of a run: config.json, metrics.jsonl, record.json, checkpoint/, cache/ and figures/."""

import importlib.metadata
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch

from riemod._checks import check_type
from riemod._files import append_line, is_partial, make_folder, write_atomically, write_json
from riemod._untrusted import DamagedFile, one_line
from riemod.tasks import RunConfig, task_class
from riemod.training.checkpoint import POINTER
from riemod.training.errors import RunError
from riemod.training.lock import LOCK, hold
from riemod.training.reading import read_description, read_record, read_rows


class RunDescription(NamedTuple):
    """Describes a run, as its config.json does."""

    task: str
    config: RunConfig
    ticket_of: str | None = None
    """Folder of the run whose final mask and points this lottery ticket was given; None if it is not a ticket."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return {"task": self.task, "config": self.config.to_dict(), "ticket_of": self.ticket_of}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the description of such values, the inverse of `to_dict`.

        Raises:
            ValueError: for an unknown task, or a value of the config that is outside its range.
            KeyError: for a missing key.
            TypeError: for a value of another type.
        """
        task = task_class(values["task"])
        return cls(values["task"], type(task.presets["smoke"]).from_dict(values["config"]), values["ticket_of"])


@dataclass(frozen=True)
class RunFolder:
    """Holds the paths of one run, and reads and writes what lies there.

    Args:
        path: the run's folder.
    """

    path: Path

    def __post_init__(self) -> None:
        """Check the field."""
        check_type("path", self.path, Path, "a Path")

    @property
    def config_file(self) -> Path:
        """The task's name and its config, as JSON."""
        return self.path / "config.json"

    @property
    def metrics_file(self) -> Path:
        """The metrics, one JSON object on one line for each epoch."""
        return self.path / "metrics.jsonl"

    @property
    def record_file(self) -> Path:
        """The finished run's record, as JSON."""
        return self.path / "record.json"

    @property
    def checkpoint(self) -> Path:
        """The folder of the last checkpoint."""
        return self.path / "checkpoint"

    @property
    def has_checkpoint(self) -> bool:
        """Whether a checkpoint was ever committed."""
        return (self.checkpoint / POINTER).is_file()

    @property
    def cache(self) -> Path:
        """The folder of what was derived from the task's data and can be derived again."""
        return self.path / "cache"

    @property
    def figures(self) -> Path:
        """The folder of figures."""
        return self.path / "figures"

    def create(self, description: RunDescription) -> None:
        """Make the folder and write its config.

        Raises:
            RunError: if the folder already holds something, cannot be made or written, or another process is making a
                run there.
        """
        try:
            if self.path.exists() and not self.path.is_dir():
                raise RunError(f"out must be a new or empty folder, got {self.path}: that is a file, name a folder")
            make_folder(self.path)
            with hold(self.path):
                # A process that is killed while it writes config.json leaves only a partial file: the folder is free.
                if any(path.name != LOCK and not is_partial(path) for path in self.path.iterdir()):
                    go_on = "resume that run, or name another folder"
                    raise RunError(f"out must be a new or empty folder, got {self.path}: {go_on}")
                write_json(self.config_file, description.to_dict())
        except OSError as error:
            why = error.strerror or one_line(error)
            raise RunError(f"out must be a folder that can be made and written, got {self.path}: {why}") from error

    def read_description(self) -> RunDescription:
        """Return the run's task, config and origin.

        Raises:
            RunError: if there is no run here, or its config is damaged.
        """
        if not self.config_file.is_file():
            raise RunError(f"run must be a folder with a config.json, got {self.path}")
        try:
            return RunDescription.from_dict(read_description(self.config_file))
        except DamagedFile as error:
            raise RunError(f"{self.config_file} is damaged: {error}") from error
        except (ValueError, TypeError) as error:
            raise RunError(f"{self.config_file} is no configuration of this version: {one_line(error)}") from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return the rows of metrics.jsonl, without a last line that a crash cut off.

        Raises:
            RunError: if another line is damaged.
        """
        if not self.metrics_file.exists():
            return []
        try:
            return read_rows(self.metrics_file)
        except DamagedFile as error:
            raise RunError(f"{self.metrics_file} is damaged: {error}") from error

    def drop_metrics_from(self, epoch: int) -> None:
        """Drop the rows of that epoch and later ones, which are not in the checkpoint and will be trained again."""
        rows = [row for row in self.read_metrics() if row["epoch"] < epoch]
        write_atomically(self.metrics_file, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Append one row of metrics."""
        append_line(self.metrics_file, json.dumps(row))

    def read_record(self) -> dict[str, Any]:
        """Return the finished run's record; its config has the names and defaults of this version.

        Raises:
            RunError: if the run is not finished, or its record is damaged.
        """
        if not self.record_file.is_file():
            self.read_description()
            raise RunError(f"run {self.path} is not finished: riemod resume {self.path}")
        try:
            record = read_record(self.record_file)
            config = RunDescription.from_dict(record).config.to_dict()
        except DamagedFile as error:
            raise RunError(f"{self.record_file} is damaged: {error}") from error
        except (ValueError, TypeError) as error:
            raise RunError(f"{self.record_file} is no record of this version: {one_line(error)}") from error
        return record | {"config": config}


def environment() -> dict[str, Any]:
    """Return the versions, the commit and the machine, as records have them."""
    versions = {name: importlib.metadata.version(name) for name in ("riemod", "torch", "geoopt", "numpy")}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "versions": {"python": platform.python_version(), **versions},
        "commit": _commit(),
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "cuda_device": device,
        },
    }


def _commit() -> str | None:
    """Return the commit of the checkout that riemod runs from, with "+" if files differ; None outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", str(here.parent)) else "")
    except (OSError, subprocess.CalledProcessError):
        return None
