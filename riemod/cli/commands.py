"""The command `riemod` and its subcommands."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro

from riemod.cli.tables import analysis_table, compression_tables, progress_table, record_table
from riemod.cli.terminal import terminal
from riemod.cli.train import train_command, train_run, train_side_by_side, use_threads
from riemod.tasks.config import InitializationName
from riemod.training import (
    CheckpointError,
    RunError,
    RunFolder,
    TrainingDiverged,
    UnitOrder,
    compress_run,
    load,
)
from riemod.training import evaluate as evaluate_run
from riemod.training import lottery as lottery_run

_RUNS = "a run's folder, or the folders of replicas, which continue side by side"
RunPaths = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RUN [RUN ...]", help=_RUNS, help_behavior_hint="(required)"),
]
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="a run's folder")]
_ABOUT = "Train recurrent nets whose neurons live on a manifold, prune them, and look at what they learned."


def resume(runs: RunPaths, quiet: bool = False) -> None:
    """Continue a run that was stopped or killed; it ends with the same bits as without the interruption.

    Args:
        runs: a run's folder, or the folders of replicas, which continue side by side.
        quiet: print errors only.
    """
    if not runs:
        raise ValueError("RUN must name at least one run's folder, got none")
    folders = [RunFolder(run) for run in runs]
    use_threads(folders[0].read_description().config)
    if len(folders) == 1:
        train_run(load(folders[0]), quiet)
    else:
        train_side_by_side([load(folder) for folder in folders], quiet)


def lottery(
    run: RunPath,
    out: Path,
    threads: int | None = None,
    initialization: InitializationName = "sparsity_aware",
    learning_rate: float | None = None,
    quiet: bool = False,
) -> None:
    """Train a finished run's lottery ticket: fresh weights under the same masks, and the same points, now fixed.

    Args:
        run: the finished run's folder.
        out: new folder for the ticket's run.
        threads: CPU threads; None for as many as the run had.
        initialization: how the fresh weights are drawn; default means the task's own way.
        learning_rate: of the ticket's run; None for the same as the run's.
        quiet: print errors only.
    """
    folder = RunFolder(run)
    ticket = lottery_run(
        load(folder), RunFolder(out), threads, initialization=initialization, learning_rate=learning_rate
    )
    use_threads(ticket.config)
    train_run(ticket, quiet)


def compress(run: RunPath, out: Path, order: UnitOrder = "geometric", threads: int | None = None) -> None:
    """Store only the kept weights of a run's net, in the layouts that are fastest on this machine; print what changed.

    Args:
        run: the run's folder.
        out: new folder for model.safetensors and compression.json.
        order: of the hidden units: as in pruned blocks or along the manifold, by reverse Cuthill-McKee, or unchanged.
        threads: CPU threads; None for as many as the run had.
    """
    loaded = load(RunFolder(run))
    use_threads(loaded.config, threads)
    for table in compression_tables(str(run), compress_run(loaded, out, order)):
        terminal().print(table)


def evaluate(run: RunPath) -> None:
    """Measure a run's last checkpoint on new data, which is the same for every run of its task.

    Args:
        run: the run's folder.
    """
    folder = RunFolder(run)
    use_threads(folder.read_description().config)
    loaded = load(folder)
    for name, value in evaluate_run(loaded).items():
        sys.stdout.write(f"{name}: {value:.6g} {loaded.task.units[name]}\n")


def analyze(run: RunPath, out: Path | None = None, states: int = 5000, threads: int | None = None) -> None:
    """Tell which manifold a run's hidden states fill, with p-values; compare it with the arena; draw figures.

    Args:
        run: the run's folder.
        out: folder for analysis.json and figures; None for the folder analysis of the run.
        states: number of hidden states to analyze.
        threads: CPU threads; None for as many as the run had.
    """
    missing = [name for name in ("gudhi", "ripser", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        raise RunError(f"analyze needs {', '.join(missing)}: pip install 'riemod[topology]' installs it")
    loaded = load(RunFolder(run))
    use_threads(loaded.config, threads)
    # scikit-learn and matplotlib are slow to import, and no other command needs both.
    from riemod.inspection import analyze_run

    out = RunFolder(run).path / "analysis" if out is None else out
    record = analyze_run(loaded, out, states)
    sys.stdout.write(record["report"] + "\n")
    terminal().print(analysis_table(str(run), record))
    sys.stdout.write(f"analysis.json and figures: {out}\n")


def show(run: RunPath) -> None:
    """Print the record of a finished run as a table, or the last epochs of an unfinished one.

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
    terminal().print(table)


def demo(out: Path = Path("runs/demo")) -> None:
    """Train navigation with a learned torus and without, prune both, train the torus net's lottery ticket, and draw.

    Args:
        out: folder for the three runs and the figures; finished runs in it are not trained again.
    """
    # matplotlib is slow to import, and few commands need it.
    from riemod.cli.demo import run_demo

    run_demo(out, terminal())


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
    """Run the command line.

    Args:
        arguments: of the command; None for those of the process.

    Raises:
        SystemExit: with status 2 for a bad request, and 1 for a run that diverged.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["train"] and len(arguments) > 1 and not arguments[1].startswith("-"):
            train_command(arguments[1], arguments[2:])
        else:
            tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="riemod", args=arguments, description=_ABOUT)
    except TrainingDiverged as error:
        _fail(error, 1)
    except (CheckpointError, RunError, ValueError, OSError) as error:
        _fail(error, 2)


def _fail(error: Exception, status: int) -> None:
    sys.stderr.write(f"riemod: error: {error}\n")
    raise SystemExit(status) from error
