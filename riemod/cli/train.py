"""The command `riemod train TASK`: a preset's numbers as defaults, every one of them an option."""

from typing import Any

from riemod._checks import check_choice, check_integer
from riemod._machine import check_device, device_memory
from riemod.cli.foreground import advise_to_resume, train_one, train_several, use_threads
from riemod.cli.parsing import parse
from riemod.cli.train_options import options_type
from riemod.tasks import Task, task_class
from riemod.tasks.config.memory import check_memory
from riemod.training import RunDescription, RunError, RunFolder, build, check_replicas, start

_EXAMPLES = {
    "navigation": (
        "riemod train navigation --preset smoke --out runs/a",
        "riemod train navigation --preset map-torus --sparsity 0.9 --out runs/map",
        "riemod train navigation --manifold torus --learn --sparsity 0.9 --threads 2 --out runs/b",
    ),
    "adding": (
        "riemod train adding --preset smoke --out runs/a",
        "riemod train adding --manifold torus --learn --sparsity 0.9 --replicas 5 --out runs/five",
    ),
    "language": (
        "riemod train language --preset smoke --data text/wikitext-2 --out runs/a",
        "riemod train language --manifold torus --learn --sparsity 0.9 --data text/wikitext-2 --out runs/b",
    ),
}


def train_command(task_name: str, arguments: list[str]) -> None:
    """Parse the options of `riemod train TASK` and train the run, or its replicas.

    Args:
        task_name: of the task.
        arguments: what follows it on the command line.

    Raises:
        ValueError: if an option is unknown or out of its range.
        RunError: if `out` is in use, or a file cannot be written.
    """
    options, config = parse_train(task_name, arguments)
    use_threads(config)
    replicas = check_integer("replicas", options.replicas, least=1)
    memory = device_memory(check_device(config.computation.device))
    check_memory(config.memory_needs(), memory, replicas)
    if replicas == 1:
        folder = RunFolder(options.out)
        if not folder.config_file.is_file():  # It is refused otherwise, and this command has nothing to resume.
            advise_to_resume([folder])
        train_one(start(folder, RunDescription(task_name, config, None)), options.quiet, options.json)
        return
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise RunError(f"out must be a new or empty folder, got {options.out}: resume its runs, or name another folder")
    configs = [config.replace(seed=config.seed + index) for index in range(options.replicas)]
    folders = [RunFolder(options.out / f"seed{config.seed}") for config in configs]
    descriptions = [RunDescription(task_name, config, None) for config in configs]
    check_replicas(folders, descriptions)
    runs = [build(folder, description) for folder, description in zip(folders, descriptions, strict=True)]
    advise_to_resume(folders)
    # Their first checkpoints take longer: training writes them, and an interrupted one can be resumed without.
    for run in runs:
        run.folder.create(run.description)
    train_several(runs, options.quiet, options.json)


def parse_train(task_name: str, arguments: list[str]) -> tuple[Any, Any]:
    """Return what the options of `riemod train TASK` ask for: the options of the command, and the run's configuration.

    Raises:
        ValueError: if an option is unknown or out of its range.
    """
    task = task_class(task_name)
    preset = task.presets[_preset(arguments, list(task.presets))]
    prog = f"riemod train {task_name}"
    options = parse(options_type(task, preset), arguments, prog, _description(task))
    return options, preset.replace(**options.numbers())


def examples_of_task(task_name: str) -> tuple[str, ...]:
    """Return commands that train a net on a task."""
    return _EXAMPLES.get(task_name, (f"riemod train {task_name} --preset smoke --out runs/a",))


def _description(task: type[Task[Any]]) -> str:
    """Return the first paragraph of a task's docstring as help opens with it, and examples."""
    what = (task.__doc__ or "").split("\n\n")[0].split(";")[0].rstrip(".").removeprefix("Defines ")
    more = f"All other defaults are those of the preset; riemod presets {task.name} lists the presets."
    opening = f"Train a net on {what}.\n\n{more}"
    return "\n    ".join((f"{opening}\n\nExamples:", *examples_of_task(task.name)))


def _preset(arguments: list[str], known: list[str]) -> str:
    """Return the preset that the arguments name, or cpu; it is needed before they can be parsed."""
    chosen = "cpu"
    for position, argument in enumerate(arguments):
        if argument == "--preset" and position + 1 < len(arguments):
            chosen = arguments[position + 1]
        elif argument.startswith("--preset="):
            chosen = argument.removeprefix("--preset=")
    return check_choice("preset", chosen, known)
