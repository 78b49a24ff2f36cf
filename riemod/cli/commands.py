"""The command `riemod`: train, resume, lottery, compress, evaluate, analyze, show, demo."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from riemod._machine import check_device, device_memory
from riemod._untrusted import one_line
from riemod.cli.tables import analysis_table, compression_tables, progress_table, record_table
from riemod.tasks import RunConfig, task_class
from riemod.tasks.config import InitializationName
from riemod.tasks.config.memory import check_memory
from riemod.training import (
    CheckpointError,
    Reporter,
    Run,
    RunDescription,
    RunError,
    RunFolder,
    TrainingDiverged,
    UnitOrder,
    check_replicas,
    compress_run,
    load,
    start,
    train,
    train_replicas,
)
from riemod.training import evaluate as evaluate_run
from riemod.training import lottery as lottery_run

ConfigT = TypeVar("ConfigT", bound=RunConfig)
RunPaths = Annotated[
    tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]", help="folders of runs")
]
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="a run's folder")]


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Generic[ConfigT]):
    """Where a run goes, and every number of it."""

    out: Path
    """New folder for the run."""
    config: tyro.conf.OmitArgPrefixes[ConfigT]
    replicas: int = 1
    """Train so many runs side by side, of the seeds from `seed` on, each in the folder seedK of `out`; adding only."""
    quiet: bool = False
    """Print nothing but errors."""


def resume(runs: RunPaths, quiet: bool = False) -> None:
    """Go on with a run that was stopped or killed, to the bits it would have ended with; several go on side by side.

    Args:
        runs: the run's folder, or those of several runs that differ in no more than replicas may.
        quiet: print nothing but errors.
    """
    if not runs:
        raise ValueError("RUN must name at least one run's folder, got none")
    folders = [RunFolder(run) for run in runs]
    _use_threads(folders[0].read_description().config)
    if len(folders) == 1:
        _train(load(folders[0]), quiet)
    else:
        _train_replicas([load(folder) for folder in folders], quiet)


def lottery(
    run: RunPath,
    out: Path,
    threads: int | None = None,
    initialization: InitializationName = "sparsity_aware",
    learning_rate: float | None = None,
    quiet: bool = False,
) -> None:
    """Train a finished run's lottery ticket: fresh weights, the same mask, the same points, now fixed.

    Args:
        run: the finished run's folder.
        out: new folder for the ticket's run.
        threads: CPU threads; None for as many as the run had.
        initialization: draw of the fresh weights; default is the task's own.
        learning_rate: of the ticket's run; None for the run's own.
        quiet: print nothing but errors.
    """
    folder = RunFolder(run)
    ticket = lottery_run(
        load(folder), RunFolder(out), threads, initialization=initialization, learning_rate=learning_rate
    )
    _use_threads(ticket.config)
    _train(ticket, quiet)


def compress(run: RunPath, out: Path, order: UnitOrder = "geometric", threads: int | None = None) -> None:
    """Store a run's net by its kept weights, in the fastest layouts found here; print times, memory and metrics.

    Args:
        run: the run's folder.
        out: new folder for model.safetensors and compression.json.
        order: of the hidden units: that of the blocks they were pruned in, or along the manifold of their points;
            reverse Cuthill-McKee on the graph of their weights; or as they are.
        threads: CPU threads; None for as many as the run had.
    """
    loaded = load(RunFolder(run))
    _use_threads(loaded.config, threads)
    for table in compression_tables(str(run), compress_run(loaded, out, order)):
        _console().print(table)


def evaluate(run: RunPath) -> None:
    """Measure a run's last checkpoint on fresh data, the same data for every run of its task.

    Args:
        run: the run's folder.
    """
    folder = RunFolder(run)
    _use_threads(folder.read_description().config)
    loaded = load(folder)
    for name, value in evaluate_run(loaded).items():
        sys.stdout.write(f"{name}: {value:.6g} {loaded.task.units[name]}\n")


def analyze(run: RunPath, out: Path | None = None, states: int = 5000, threads: int | None = None) -> None:
    """Say which manifold a run's hidden states fill, with p-values; compare with its arena; draw.

    Args:
        run: the run's folder.
        out: folder for analysis.json and figures; default is the folder analysis of the run.
        states: how many hidden states to look at.
        threads: CPU threads; None for as many as the run had.
    """
    missing = [name for name in ("gudhi", "ripser", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        raise RunError(f"analyze needs {', '.join(missing)}: pip install 'riemod[topology]' brings it")
    loaded = load(RunFolder(run))
    _use_threads(loaded.config, threads)
    # scikit-learn and matplotlib are slow to import, and no other command needs both.
    from riemod.inspection import analyze_run

    out = RunFolder(run).path / "analysis" if out is None else out
    record = analyze_run(loaded, out, states)
    sys.stdout.write(record["report"] + "\n")
    _console().print(analysis_table(str(run), record))
    sys.stdout.write(f"analysis.json and figures: {out}\n")


def show(run: RunPath) -> None:
    """Print a run's record as a table, or how far it is.

    Args:
        run: the run's folder.
    """
    folder = RunFolder(run)
    finished = folder.record_file.is_file()
    table = (
        record_table(str(run), folder.read_record())
        if finished
        else progress_table(str(run), folder.read_description(), folder.read_metrics())
    )
    _console().print(table)


def demo(out: Path = Path("runs/demo")) -> None:
    """Train navigation with a learned torus and without, prune both, retrain the torus net's ticket, and draw.

    Args:
        out: folder for the three runs and the figures; finished runs found there are kept.
    """
    # matplotlib is needed by this command alone.
    from riemod.cli.demo import run_demo

    run_demo(out, _console())


def train_task(task: Annotated[Literal["navigation", "adding", "language"], tyro.conf.Positional], /) -> None:
    """Train a task from a preset; `riemod train TASK --help` lists every option with its unit and default.

    Args:
        task: what to train on.
    """


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train_task,
    "resume": resume,
    "lottery": lottery,
    "compress": compress,
    "evaluate": evaluate,
    "analyze": analyze,
    "show": show,
    "demo": demo,
}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process with status 2 for a bad request and 1 for a run that diverged."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["train"] and len(arguments) > 1 and not arguments[1].startswith("-"):
            _train_command(arguments[1], arguments[2:])
        else:
            tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="riemod", args=arguments, description=__doc__)
    except TrainingDiverged as error:
        _fail(error, 1)
    except (CheckpointError, RunError, ValueError, OSError) as error:
        _fail(error, 2)


def _console(quiet: bool = False) -> Console:
    """The terminal; where there is none, a width that tables fit in."""
    console = Console(quiet=quiet)
    return console if console.is_terminal else Console(quiet=quiet, width=120)


def _fail(error: Exception, status: int) -> None:
    sys.stderr.write(f"riemod: error: {one_line(error, most=2000)}\n")
    raise SystemExit(status) from error


def _train_command(task_name: str, arguments: list[str]) -> None:
    task = task_class(task_name)
    preset = task.presets[_preset(arguments, list(task.presets))]
    options_type = TrainOptions[type(preset)]
    # The preset's values are the defaults that --help shows and that the other options override.
    default = TrainOptions(out=tyro.MISSING, config=preset)
    options: TrainOptions[Any] = tyro.cli(
        options_type, args=arguments, default=default, prog=f"riemod train {task_name}", description=task.__doc__
    )
    _use_threads(options.config)
    if options.replicas < 1:
        raise ValueError(f"replicas must be at least 1, got {options.replicas}")
    memory = device_memory(check_device(options.config.computation.device))
    check_memory(options.config.memory_needs(), memory, options.replicas)
    if options.replicas == 1:
        _train(start(RunFolder(options.out), RunDescription(task_name, options.config, None)), options.quiet)
        return
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise RunError(f"out must be a new or empty folder, got {options.out}: resume its runs, or name another folder")
    configs = [options.config.replace(seed=options.config.seed + index) for index in range(options.replicas)]
    folders = [RunFolder(options.out / f"seed{config.seed}") for config in configs]
    descriptions = [RunDescription(task_name, config, None) for config in configs]
    check_replicas(folders, descriptions)
    runs = [start(folder, description) for folder, description in zip(folders, descriptions, strict=True)]
    _train_replicas(runs, options.quiet)


def _preset(arguments: list[str], known: list[str]) -> str:
    chosen = "cpu"
    for position, argument in enumerate(arguments):
        if argument == "--preset" and position + 1 < len(arguments):
            chosen = arguments[position + 1]
        elif argument.startswith("--preset="):
            chosen = argument.removeprefix("--preset=")
    if chosen not in known:
        raise ValueError(f"preset must be one of {', '.join(known)}, got {chosen!r}")
    return chosen


def _use_threads(config: RunConfig, threads: int | None = None) -> None:
    config = config if threads is None else config.replace(threads=threads)
    if config.computation.threads is not None:
        torch.set_num_threads(config.computation.threads)


def _train(run: Run, quiet: bool) -> None:
    console = _console(quiet)
    with _progress(run, console) as report:
        try:
            record = train(run, report)
        except KeyboardInterrupt:
            raise RunError(f"interrupted after {run.epoch} epochs: riemod resume {run.folder.path}") from None
    console.print(record_table(str(run.folder.path), record))


def _train_replicas(runs: list[Run], quiet: bool) -> None:
    console = _console(quiet)
    folders = [str(run.folder.path) for run in runs]
    with _progress(runs[0], console) as report:
        try:
            records = train_replicas(runs, report)
        except KeyboardInterrupt:
            raise RunError(f"interrupted: riemod resume {' '.join(folders)}") from None
    for folder, record in zip(folders, records, strict=True):
        console.print(record_table(folder, record))


@contextmanager
def _progress(run: Run, console: Console) -> Iterator[Reporter]:
    """A bar of steps with their rate and the primary metric; the run says of which task."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    metric = f"eval_{run.task.primary_metric}"
    unit = run.task.units[run.task.primary_metric]
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task(run.description.task, total=None, rate="")

        def report(step: int, total: int, row: dict[str, float]) -> None:
            speed = progress.tasks[0].speed
            level = f" {row[metric]:.4g} {unit}" if metric in row else ""
            rate = f"{speed:.0f} steps/s{level}" if speed else level
            progress.update(bar, completed=step, total=total, rate=rate)

        yield report
