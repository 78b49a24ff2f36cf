"""Runs in the foreground: threads, a progress bar, the record at the end, and how to go on after an interrupt."""

import torch

from riemod.cli.console import open_console, show_progress
from riemod.cli.tables import record_table
from riemod.tasks import RunConfig
from riemod.training import Run, RunError, train, train_replicas


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


def train_one(run: Run, quiet: bool) -> None:
    """Train a run to its end and print its record.

    Args:
        run: new or resumed.
        quiet: print nothing.

    Raises:
        RunError: if it is interrupted; the message says how to go on.
    """
    console = open_console(quiet)
    with show_progress(run, console) as report:
        try:
            record = train(run, report)
        except KeyboardInterrupt:
            raise RunError(f"interrupted after {run.epoch} epochs: riemod resume {run.folder.path}") from None
    console.print(record_table(str(run.folder.path), record))


def train_several(runs: list[Run], quiet: bool) -> None:
    """Train replicas side by side to their end and print their records.

    Args:
        runs: new or resumed; they differ in no more than replicas may.
        quiet: print nothing.

    Raises:
        RunError: if they are interrupted; the message says how to go on.
    """
    console = open_console(quiet)
    folders = [str(run.folder.path) for run in runs]
    with show_progress(runs[0], console) as report:
        try:
            records = train_replicas(runs, report)
        except KeyboardInterrupt:
            raise RunError(f"interrupted: riemod resume {' '.join(folders)}") from None
    for folder, record in zip(folders, records, strict=True):
        console.print(record_table(folder, record))
