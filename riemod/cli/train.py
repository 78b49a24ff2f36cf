"""The command `riemod train`: its options, and training of one run or of several side by side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import torch
import tyro

from riemod._checks import check_choice, check_integer
from riemod.cli.tables import record_table
from riemod.cli.terminal import progress_bar, terminal
from riemod.tasks import RunConfig, task_class
from riemod.training import (
    Run,
    RunDescription,
    RunError,
    RunFolder,
    check_replicas,
    start,
    train,
    train_replicas,
)

ConfigT = TypeVar("ConfigT", bound=RunConfig)
_DEFAULT_PRESET = "cpu"


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Generic[ConfigT]):
    """Holds where a run goes, how it is started, and its configuration."""

    out: Path
    """New folder for the run."""
    config: tyro.conf.OmitArgPrefixes[Annotated[ConfigT, tyro.conf.arg(name="")]]
    replicas: int = 1
    """Runs to train side by side, with seeds from `seed` on, in the folders seedK of `out`; adding only."""
    quiet: bool = False
    """Print errors only."""


def train_command(task_name: str, arguments: list[str]) -> None:
    """Start and train the run, or the replicas, that the arguments describe.

    Args:
        task_name: as `riemod train` takes it.
        arguments: what follows the task's name.

    Raises:
        ValueError: for an unknown task, or options that no run can have.
        RunError: if the folder is in use.
    """
    task = task_class(task_name)
    preset = task.presets[_preset(arguments, list(task.presets))]
    options_type = TrainOptions[type(preset)]
    # The preset's values are the defaults that --help shows and that the other options override.
    default = TrainOptions(out=tyro.MISSING, config=preset)
    summary, *_ = (task.__doc__ or "").partition("\n\n")
    options: TrainOptions[Any] = tyro.cli(
        options_type, args=arguments, default=default, prog=f"riemod train {task_name}", description=summary
    )
    use_threads(options.config)
    if check_integer("replicas", options.replicas, least=1) == 1:
        train_run(start(RunFolder(options.out), RunDescription(task_name, options.config, None)), options.quiet)
    else:
        train_side_by_side(_replicas(task_name, options), options.quiet)


def use_threads(config: RunConfig, threads: int | None = None) -> None:
    """Let torch use as many CPU threads as a run's configuration says, or as `threads` says if it is given.

    Raises:
        ValueError: if threads is not an integer >= 1.
    """
    config = config if threads is None else config.replace(threads=threads)
    if config.computation.threads is not None:
        torch.set_num_threads(config.computation.threads)


def train_run(run: Run, quiet: bool) -> None:
    """Train a run under a progress bar and print its record.

    Raises:
        RunError: if the user interrupts it; the message says how to continue.
    """
    console = terminal(quiet)
    with progress_bar(run, console) as report:
        try:
            record = train(run, report)
        except KeyboardInterrupt:
            raise RunError(f"interrupted after {run.epoch} epochs: riemod resume {run.folder.path}") from None
    console.print(record_table(str(run.folder.path), record))


def train_side_by_side(runs: list[Run], quiet: bool) -> None:
    """Train several runs as one computation under one progress bar, and print the record of each.

    Raises:
        RunError: if the user interrupts them; the message says how to continue.
    """
    console = terminal(quiet)
    folders = [str(run.folder.path) for run in runs]
    with progress_bar(runs[0], console) as report:
        try:
            records = train_replicas(runs, report)
        except KeyboardInterrupt:
            raise RunError(f"interrupted: riemod resume {' '.join(folders)}") from None
    for folder, record in zip(folders, records, strict=True):
        console.print(record_table(folder, record))


def _replicas(task_name: str, options: TrainOptions[Any]) -> list[Run]:
    out = options.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"out must be a new or empty folder, got {out}: resume its runs, or name another folder")
    configs = [options.config.replace(seed=options.config.seed + index) for index in range(options.replicas)]
    folders = [RunFolder(out / f"seed{config.seed}") for config in configs]
    descriptions = [RunDescription(task_name, config, None) for config in configs]
    check_replicas(folders, descriptions)
    return [start(folder, description) for folder, description in zip(folders, descriptions, strict=True)]


def _preset(arguments: list[str], known: list[str]) -> str:
    """Find the preset's name before the options are parsed, because it decides their defaults."""
    chosen = _DEFAULT_PRESET
    for position, argument in enumerate(arguments):
        if argument == "--preset" and position + 1 < len(arguments):
            chosen = arguments[position + 1]
        elif argument.startswith("--preset="):
            chosen = argument.removeprefix("--preset=")
    return check_choice("preset", chosen, known)
