"""What a worker does: it trains one run, or several small ones side by side, wherever it is."""

import importlib.metadata
import logging
import os
import shutil
import socket
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from riemod._files import make_folder
from riemod._untrusted import one_line
from riemod.suites.plan import PlannedRun
from riemod.suites.rows import run_folder
from riemod.suites.tickets import start_ticket
from riemod.training import Run, RunDescription, RunError, RunFolder, build, load, train, train_replicas
from riemod.training.lock import hold

_LOGGER = logging.getLogger(__name__)
# Draws of a run go through torch's global generator, so that a process trains one job at a time.
_ONE_JOB = threading.Lock()
_PACKAGES = ("riemod", "torch")


class Outcome(NamedTuple):
    """Says how a run of a job ended."""

    key: str
    state: Literal["done", "busy", "failed"]
    """Finished; trained by another process; or neither."""
    message: str = ""


@dataclass(frozen=True)
class Job:
    """Holds what a worker needs to train runs of a suite.

    Args:
        folder: of the suite's results, absolute; the worker must see it under this name.
        runs: one, or several that can train side by side.
        versions: of the packages that the runner has.
    """

    folder: Path
    runs: tuple[PlannedRun, ...]
    versions: dict[str, str]


def versions() -> dict[str, str]:
    """Return the versions of what a run's numbers depend on, in this process."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def work(job: Job) -> tuple[Outcome, ...]:
    """Train the runs of a job from where they are to their ends; one thread of this process computes.

    Every run that ended has its record, whatever became of the others and of this process afterwards.

    Returns:
        An outcome for each run. No exception of a run leaves this function.
    """
    if refusal := _refusal(job):
        return tuple(Outcome(run.key, "failed", refusal) for run in job.runs)
    with _ONE_JOB, ExitStack() as locks:
        torch.set_num_threads(1)
        outcomes: dict[str, Outcome] = {}
        ready: dict[str, Run] = {}
        for run in job.runs:
            folder = run_folder(job.folder, run)
            try:
                make_folder(folder.path)
                locks.enter_context(hold(folder.path))
            except RunError as error:
                outcomes[run.key] = Outcome(run.key, "busy", one_line(error))
                continue
            except OSError as error:
                outcomes[run.key] = Outcome(run.key, "failed", one_line(error))
                continue
            if folder.record_file.is_file():
                outcomes[run.key] = Outcome(run.key, "done")
                continue
            try:
                ready[run.key] = _begin(folder, run, job.folder)
            except Exception as error:
                outcomes[run.key] = _failure(run.key, error)
        outcomes |= _train(ready)
    return tuple(outcomes[run.key] for run in job.runs)


def _begin(folder: RunFolder, run: PlannedRun, root: Path) -> Run:
    """Return a run from its last checkpoint, or from its beginning."""
    if folder.has_checkpoint or (run.ticket is None and folder.config_file.is_file()):
        return load(folder)
    if run.ticket is not None:
        # Killed before its first checkpoint, it has nothing to lose, and only a suite can draw it again.
        folder.config_file.unlink(missing_ok=True)
        shutil.rmtree(folder.checkpoint, ignore_errors=True)
        return start_ticket(folder, run, run.ticket, run_folder(root, run.ticket.parent).path)
    begun = build(folder, RunDescription(run.task, run.config, None))
    folder.create(begun.description)
    return begun


def _train(ready: dict[str, Run]) -> dict[str, Outcome]:
    failure: Exception | None = None
    runs = list(ready.values())
    try:
        if len(runs) == 1:
            train(runs[0])
        elif runs:
            train_replicas(runs)
    except Exception as error:
        failure = error
    outcomes = {}
    for key, run in ready.items():
        if run.folder.record_file.is_file():
            outcomes[key] = Outcome(key, "done")
        else:
            assert failure is not None
            outcomes[key] = _failure(key, failure, run.folder.path)
    return outcomes


def _failure(key: str, error: Exception, folder: Path | None = None) -> Outcome:
    _LOGGER.debug("run %s failed", key, exc_info=error)
    lines = str(error).splitlines() or [type(error).__name__]
    # The message of several replicas has a line for each that diverged.
    own = [line.removeprefix(f"{folder}: ") for line in lines if str(folder) in line] or lines
    return Outcome(key, "failed", one_line(f"{type(error).__name__}: {' '.join(own)}"))


def _refusal(job: Job) -> str | None:
    """Return why this process must not train the job; None if it may."""
    here = f"worker {os.getpid()} on host {socket.gethostname()!r}"
    if own := differing(job.versions, versions()):
        return f"{here} must have the versions of the runner, got {own}"
    if not job.folder.is_dir():
        return f"{here} does not see the folder {job.folder}: give one that all hosts share"
    return None


def differing(expected: dict[str, str], found: dict[str, str]) -> str:
    """Return which versions differ, as "torch 2.6 in place of 2.7"; empty if none does.

    >>> differing({"riemod": "1", "torch": "2"}, {"riemod": "1", "torch": "3"})
    'torch 3 in place of 2'
    """
    return ", ".join(
        f"{name} {found.get(name)} in place of {version}"
        for name, version in expected.items()
        if found.get(name) != version
    )


def epochs_done(folder: Path, runs: Iterable[PlannedRun]) -> dict[str, int]:
    """Return how many epochs of each run have a row of metrics, by the run's key, without reading the rows."""
    found = {}
    for run in runs:
        try:
            lines = run_folder(folder, run).metrics_file.read_bytes().count(b"\n")
        except OSError:
            lines = 0
        found[run.key] = min(lines, run.config.training.epochs)
    return found
