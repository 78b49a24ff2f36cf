"""The command `riemod train TASK`: a preset's numbers as defaults, every one of them an option."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import tyro

from riemod._checks import check_choice, check_integer
from riemod._machine import check_device, device_memory
from riemod.cli.foreground import advise_to_resume, train_one, train_several, use_threads
from riemod.tasks import RunConfig, task_class
from riemod.tasks.config.memory import check_memory
from riemod.training import RunDescription, RunError, RunFolder, build, check_replicas, start

ConfigT = TypeVar("ConfigT", bound=RunConfig)


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Generic[ConfigT]):
    """Holds where a run goes, and its configuration."""

    out: Path
    """New folder for the run."""
    config: tyro.conf.OmitArgPrefixes[ConfigT]
    replicas: int = 1
    """Number of runs to train side by side, with seeds `seed`, `seed` + 1, ...; each gets its own folder seedK in
    `out`. Only the adding task can have more than 1."""
    quiet: bool = False
    """Print errors only."""


def train_command(task_name: str, arguments: list[str]) -> None:
    """Parse the options of `riemod train TASK` and train the run, or its replicas.

    Args:
        task_name: of the task.
        arguments: what follows it on the command line.

    Raises:
        ValueError: if an option is out of its range.
        RunError: if `out` is in use, or a file cannot be written.
    """
    task = task_class(task_name)
    preset = task.presets[_preset(arguments, list(task.presets))]
    options_type = TrainOptions[type(preset)]
    # The preset's values are the defaults that --help shows and that the other options override.
    default = TrainOptions(out=tyro.MISSING, config=preset)
    options: TrainOptions[Any] = tyro.cli(
        options_type, args=arguments, default=default, prog=f"riemod train {task_name}", description=task.__doc__
    )
    use_threads(options.config)
    replicas = check_integer("replicas", options.replicas, least=1)
    memory = device_memory(check_device(options.config.computation.device))
    check_memory(options.config.memory_needs(), memory, replicas)
    if replicas == 1:
        folder = RunFolder(options.out)
        if not folder.config_file.is_file():  # It is refused otherwise, and this command has nothing to resume.
            advise_to_resume([folder])
        train_one(start(folder, RunDescription(task_name, options.config, None)), options.quiet)
        return
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise RunError(f"out must be a new or empty folder, got {options.out}: resume its runs, or name another folder")
    configs = [options.config.replace(seed=options.config.seed + index) for index in range(options.replicas)]
    folders = [RunFolder(options.out / f"seed{config.seed}") for config in configs]
    descriptions = [RunDescription(task_name, config, None) for config in configs]
    check_replicas(folders, descriptions)
    runs = [build(folder, description) for folder, description in zip(folders, descriptions, strict=True)]
    advise_to_resume(folders)
    # Their first checkpoints take longer: training writes them, and an interrupted one can be resumed without.
    for run in runs:
        run.folder.create(run.description)
    train_several(runs, options.quiet)


def _preset(arguments: list[str], known: list[str]) -> str:
    """Return the preset that the arguments name, or cpu; it is needed before they can be parsed."""
    chosen = "cpu"
    for position, argument in enumerate(arguments):
        if argument == "--preset" and position + 1 < len(arguments):
            chosen = arguments[position + 1]
        elif argument.startswith("--preset="):
            chosen = argument.removeprefix("--preset=")
    return check_choice("preset", chosen, known)
