"""Runs in the foreground: threads, a progress bar, the record at the end, and how to go on after an interrupt."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from riemod._signals import AGAIN, advise
from riemod.cli.console import open_console, show_progress
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


def train_one(run: Run, quiet: bool) -> None:
    """Train a run to its end and print its record.

    Args:
        run: new or resumed.
        quiet: print nothing.

    Raises:
        RunError: if a file cannot be written, as on a full disk; the message says how to go on.
    """
    advise_to_resume([run.folder])
    console = open_console(quiet)
    with _keeping([run.folder]), show_progress(run, console) as report:
        record = train(run, report)
    console.print(record_table(str(run.folder.path), record))


def train_several(runs: list[Run], quiet: bool) -> None:
    """Train replicas side by side to their end and print their records.

    Args:
        runs: new or resumed; they differ in no more than replicas may.
        quiet: print nothing.

    Raises:
        RunError: if a file cannot be written, as on a full disk; the message says how to go on.
    """
    folders = [run.folder for run in runs]
    advise_to_resume(folders)
    console = open_console(quiet)
    with _keeping(folders), show_progress(runs[0], console) as report:
        records = train_replicas(runs, report)
    for folder, record in zip(folders, records, strict=True):
        console.print(record_table(str(folder.path), record))


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
