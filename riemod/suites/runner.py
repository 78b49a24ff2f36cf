"""The runner: it hands the runs of a suite to an executor until all are done or have failed twice."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from riemod._files import make_folder
from riemod._machine import check_device, device_memory
from riemod._untrusted import one_line
from riemod.suites.errors import SuiteError
from riemod.suites.plan import PlannedRun, Suite
from riemod.suites.rows import keep_row, read_row, run_folder
from riemod.suites.work import Job, Outcome, epochs_done, versions, work
from riemod.tasks import task_class
from riemod.tasks.config.memory import check_memory
from riemod.training import RunDescription, RunError, RunFolder, check_replicas
from riemod.training.lock import hold

_ATTEMPTS = 2
_TICK = 0.5  # seconds between two looks at the folders of the runs
_AGAIN = 2.0  # seconds until a run that another process trains is tried again
_COPIES = 20  # tries to copy a record that another runner copies as well
# How long a run that another process trains may show no new epoch before it counts as failed, seconds.
_PATIENCE = 600.0


class Progress(NamedTuple):
    """Says how far a suite is."""

    runs_done: int
    runs_failed: int
    runs_elsewhere: int
    """Trained by another process than those of this runner."""
    runs: int
    """Runs of the suite."""
    steps_done: int
    """Training steps with a checkpoint behind them, of all runs."""
    steps: int
    """Training steps of all runs."""


class Report(NamedTuple):
    """Says what became of a suite's runs."""

    trained: int
    """Runs that were finished now."""
    found: int
    """Runs that were finished before."""
    failures: dict[str, str]
    """Message of each run that failed twice, or whose parent did, by "ARM SPARSITY seed SEED"."""


def run_suite(
    suite: Suite,
    folder: Path,
    executor: Callable[[], Executor],
    jobs: Callable[[], int],
    report: Callable[[Progress], None] | None = None,
) -> Report:
    """Train every run of a suite that has no record in a folder yet.

    Runs are trained in folder/runs/KEY, where other suites and presets find them too, and their records are copied to
    the folder that the suite names. An interrupted run resumes from its checkpoint, one that another process trains is
    waited for, and one that failed is tried once more. A lottery ticket starts when its parent is done.

    Args:
        suite: from `load_suite`.
        folder: of the results; made if needed.
        executor: returns an executor of `concurrent.futures` shape; it is called only if there is something to train.
        jobs: returns how many jobs the executor works at now, among which small runs are divided.
        report: called with the progress about twice a second.

    Raises:
        SuiteError: if the folder is a run's, or holds another run under a name of the suite's.
        OSError: if the folder cannot be written.
    """
    if (folder / "config.json").exists() or (folder.exists() and not folder.is_dir()):
        what = "the folder of one run" if folder.is_dir() else "a file"
        raise SuiteError(f"out must be a folder for the results of suites, got {what}: {folder}")
    folder = folder.resolve()
    state = _State(suite, folder, jobs)
    found = len(state.done)
    if not state.waiting:
        return Report(0, found, {})
    make_folder(folder)
    pool = executor()
    try:
        while state.waiting or state.running or state.elsewhere:
            state.submit(pool)
            if not state.running:
                time.sleep(_TICK)
            finished, _ = wait(state.running, timeout=_TICK, return_when=FIRST_COMPLETED)
            for future in finished:
                state.take(future)
            state.look_elsewhere()
            if report is not None:
                report(state.progress())
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    failures = {f"{run.arm}, {run.sparsity:.4g}, seed {run.seed}": text for run, text in state.failed.values()}
    return Report(len(state.done) - found, found, failures)


@dataclass
class _State:
    """Holds which runs of a suite wait, run, are done, and have failed."""

    suite: Suite
    folder: Path
    jobs: Callable[[], int]
    waiting: list[PlannedRun] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    failed: dict[str, tuple[PlannedRun, str]] = field(default_factory=dict)
    running: dict[Future[tuple[Outcome, ...]], Job] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    elsewhere: dict[str, tuple[PlannedRun, float]] = field(default_factory=dict)
    """Runs that another process trains, and when to try them again."""
    seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Epochs that such a run had done, and since when it had."""

    def __post_init__(self) -> None:
        """Find what is done: a row in the suite's folder, or a record that a runner had no time to copy."""
        for run in self.suite.runs:
            if read_row(self.suite, self.folder, run) is not None:
                self.done.add(run.key)
            elif self._has_record(run):
                self._finish(run)
            else:
                self.waiting.append(run)
        # A ticket needs its parent's net; of a parent whose record alone is here, it must be trained again.
        keys = {run.key for run in self.waiting}
        parents = {run.ticket.parent.key: run.ticket.parent for run in self.waiting if run.ticket is not None}
        lacking = [run for key, run in parents.items() if key not in keys and not self._has_record(run)]
        self.waiting = [*lacking, *self.waiting]
        self.epochs = epochs_done(self.folder, self.waiting)

    def submit(self, pool: Executor) -> None:
        """Hand ready runs to the executor until it has as many jobs as it works at."""
        for run in list(self.waiting):
            if run.ticket is not None and run.ticket.parent.key in self.failed:
                self.waiting.remove(run)
                self.failed[run.key] = run, f"its parent failed: {self.failed[run.ticket.parent.key][1]}"
        jobs = self.jobs() if self.waiting else 0
        while len(self.running) < jobs:
            ready = [run for run in self.waiting if run.ticket is None or self._has_record(run.ticket.parent)]
            if not ready:
                return
            chosen = _together(ready, self.suite.replicas, jobs)
            keys = {run.key for run in chosen}
            self.waiting = [run for run in self.waiting if run.key not in keys]
            job = Job(self.folder, tuple(chosen), versions())
            self.running[pool.submit(work, job)] = job

    def take(self, future: Future[tuple[Outcome, ...]]) -> None:
        """Take the outcomes of a finished job: keep records, and let failed runs wait for a second try."""
        runs = {run.key: run for run in self.running.pop(future).runs}
        try:
            outcomes = future.result()
        except (Exception, CancelledError) as error:
            text = f"the worker was lost: {one_line(error) or type(error).__name__}"
            outcomes = tuple(Outcome(key, "failed", text) for key in runs)
        for key, state, message in outcomes:
            run = runs[key]
            if self._has_record(run):  # Also if its worker was lost just afterwards.
                self._finish(run)
            elif state == "busy" and self._moves(run):
                self.elsewhere[key] = run, time.monotonic() + _AGAIN
            elif state == "busy" or self.attempts[key] + 1 == _ATTEMPTS:
                self.failed[key] = run, message
            else:
                self.attempts[key] += 1
                self.waiting.insert(0, run)

    def look_elsewhere(self) -> None:
        """See which runs that other processes train are done, and let the others wait for another try in turn."""
        for key, (run, again) in list(self.elsewhere.items()):
            if self._has_record(run):
                self._finish(run)
            elif time.monotonic() >= again:
                self.waiting.append(run)
            else:
                continue
            del self.elsewhere[key]

    def progress(self) -> Progress:
        """Return how far the suite is, from the rows of metrics of the runs that are trained now."""
        active = [run for job in self.running.values() for run in job.runs]
        active += [run for run, _ in self.elsewhere.values()]
        self.epochs |= epochs_done(self.folder, active)
        steps = sum(
            run.steps if run.key in self.done else self.epochs.get(run.key, 0) * run.config.training.batches_per_epoch
            for run in self.suite.runs
        )
        total = sum(run.steps for run in self.suite.runs)
        return Progress(len(self.done), len(self.failed), len(self.elsewhere), len(self.suite.runs), steps, total)

    def _has_record(self, run: PlannedRun) -> bool:
        return run_folder(self.folder, run).record_file.is_file()

    def _finish(self, run: PlannedRun) -> None:
        for _ in range(_COPIES):
            if read_row(self.suite, self.folder, run) is not None:
                break
            # Another runner on this folder may copy the record now; only one of them writes.
            with suppress(RunError), hold(run_folder(self.folder, run).path):
                if read_row(self.suite, self.folder, run) is None:
                    keep_row(self.suite, self.folder, run)
                break
            time.sleep(_TICK)
        self.done.add(run.key)

    def _moves(self, run: PlannedRun) -> bool:
        """Return whether a run that another process trains did an epoch in the last ten minutes."""
        epochs, now = epochs_done(self.folder, [run])[run.key], time.monotonic()
        before, since = self.seen.get(run.key, (-1, now))
        if epochs != before:
            self.seen[run.key] = epochs, now
            return True
        return now - since < _PATIENCE


def _together(ready: Sequence[PlannedRun], replicas: int, jobs: int) -> list[PlannedRun]:
    """Return the first run, with as many others as can train beside it and as leave work for the other jobs."""
    if replicas == 1:
        return [ready[0]]
    alike = [ready[0], *(run for run in ready[1:] if _can_train_beside(ready[0], run))]
    return alike[: min(replicas, math.ceil(len(alike) / jobs))]


def _can_train_beside(first: PlannedRun, second: PlannedRun) -> bool:
    both = (first, second)
    try:
        check_replicas(
            [RunFolder(Path(run.key)) for run in both], [RunDescription(run.task, run.config, None) for run in both]
        )
    except ValueError:
        return False
    return True


def check_here(suite: Suite, folder: Path, jobs: int) -> None:
    """Check that this machine can train a suite: its data, its device, and the memory for that many jobs at a time.

    Raises:
        ValueError: it cannot; the message names the option.
        OSError: the data cannot be read.
    """
    first = suite.runs[0]
    task_class(suite.task).of_run(first.config, run_folder(folder, first).cache)
    memory = device_memory(check_device(first.config.computation.device))
    for config in {run.config.training.batch_size: run.config for run in suite.runs}.values():
        check_memory(config.memory_needs(), memory, jobs * suite.replicas)
