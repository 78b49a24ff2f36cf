"""Runs in the foreground: threads, a progress bar, the record at the end, and how to go on after an interrupt."""

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from riemod._signals import AGAIN, advise
from riemod.cli.console import note, open_console, print_json, show_progress
from riemod.cli.replica_tables import replicas_record, replicas_table
from riemod.cli.tables import record_table
from riemod.tasks import RunConfig
from riemod.training import Run, RunError, RunFolder, train, train_replicas


def use_threads(config: RunConfig, threads: int | None = None) -> None:
    """Set the number of CPU threads of this process.

    Args:
        config: of the run; if it has no number of threads, torch's choice stays.
        threads: takes the place of the configuration's number.

    Raises:
        ValueError: if threads < 1.
    """
    config = config if threads is None else config.replace(threads=threads)
    if config.computation.threads is not None:
        torch.set_num_threads(config.computation.threads)


def advise_to_resume(folders: Sequence[RunFolder]) -> None:
    """Say how to go on with the runs in these folders, old or new, if the process is interrupted from here on."""

    def line() -> str:
        begun = [folder for folder in folders if folder.config_file.is_file()]
        if not begun:
            return AGAIN
        if len(begun) < len(folders):
            return f"interrupted before training: remove {begun[0].path.parent} and give the same command again"
        epochs = min(len(folder.read_metrics()) for folder in folders)
        return f"interrupted after {epochs} epochs: {_resume(folders)}"

    advise(line)


def train_one(run: Run, quiet: bool, as_json: bool = False) -> None:
    """Train a run to its end and print its record; a finished run is not trained, and its record is printed.

    Args:
        run: new or resumed.
        quiet: print no progress, and no table.
        as_json: print the record as JSON in place of the table, and the progress on standard error.

    Raises:
        RunError: if a file cannot be written, as on a full disk; the message says how to go on.
    """
    advise_to_resume([run.folder])
    if is_finished(run):
        record = run.folder.read_record()
        if not quiet:
            note(f"run {run.folder.path} is finished: there is nothing to resume")
    else:
        with _keeping([run.folder]), show_progress(run, open_console(quiet, stderr=as_json)) as report:
            record = train(run, report)
    if as_json:
        print_json(record)
    else:
        open_console(quiet).print(record_table(str(run.folder.path), record))


def train_several(runs: list[Run], quiet: bool, as_json: bool = False) -> None:
    """Train replicas side by side to their end and print one table of them; finished ones are not trained.

    Args:
        runs: new or resumed; they differ in no more than replicas may.
        quiet: print no progress, and no table.
        as_json: print the records and their summary as JSON in place of the table, and the progress on standard error.

    Raises:
        RunError: if a file cannot be written, as on a full disk; the message says how to go on.
    """
    folders = [run.folder for run in runs]
    advise_to_resume(folders)
    if all(map(is_finished, runs)):
        found = [folder.read_record() for folder in folders]
        if not quiet:
            note("these runs are finished: there is nothing to resume")
    else:
        with _keeping(folders), show_progress(runs[0], open_console(quiet, stderr=as_json)) as report:
            found = train_replicas(runs, report)
    names = [folder.path.name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder.path) for folder in folders]
    records = dict(zip(names, found, strict=True))
    if as_json:
        print_json(replicas_record(records))
    else:
        open_console(quiet).print(replicas_table(os.path.commonpath([folder.path for folder in folders]), records))


def is_finished(run: Run) -> bool:
    """Return whether a run has its last epoch and its record."""
    return run.epoch == run.config.training.epochs and run.folder.record_file.is_file()


@contextmanager
def _keeping(folders: Sequence[RunFolder]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{error}; the last checkpoint is kept, go on when this is mended: {_resume(folders)}"
        ) from error


def _resume(folders: Sequence[RunFolder]) -> str:
    return f"riemod resume {shlex.join(str(folder.path) for folder in folders)}"
