"""Recurrent nets on Riemannian manifolds: train, prune, compress and analyze them.

A run is a folder. Start with `riemod train navigation --preset smoke --out runs/a`, then `riemod show runs/a`.
"""

import importlib.util
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro

from riemod import _signals
from riemod._untrusted import one_line
from riemod.cli.console import open_console
from riemod.cli.foreground import advise_to_resume, train_one, train_several, use_threads
from riemod.cli.tables import analysis_table, compression_tables, progress_table, record_table
from riemod.cli.train import train_command
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

RunPaths = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RUN [RUN ...]", help="Folder of a run, or folders of several."),
]
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help="Folder of the run.")]


def resume(runs: RunPaths, quiet: bool = False) -> None:
    """Resume an interrupted run, with the same result as if it had never stopped; several resume side by side.

    Args:
        runs: Folder of a run, or folders of several replicas of one run.
        quiet: Print errors only.
    """
    if not runs:
        raise ValueError("RUN must name at least one run's folder, got none")
    folders = [RunFolder(run) for run in runs]
    advise_to_resume(folders)
    use_threads(folders[0].read_description().config)
    if len(folders) == 1:
        train_one(load(folders[0]), quiet)
    else:
        train_several([load(folder) for folder in folders], quiet)


def lottery(
    run: RunPath,
    out: Path,
    threads: int | None = None,
    initialization: InitializationName = "sparsity_aware",
    learning_rate: float | None = None,
    quiet: bool = False,
) -> None:
    """Train the lottery ticket of a finished run: fresh weights, the same mask, and the same points, now fixed.

    Args:
        run: Folder of the finished run.
        out: New folder for the ticket's run.
        threads: CPU threads; None for the run's own number.
        initialization: How the fresh weights are drawn; `default` is the task's own way.
        learning_rate: Learning rate of the ticket's run; None for that of the finished run.
        quiet: Print errors only.
    """
    folder, parent = RunFolder(out), load(RunFolder(run))
    if not folder.config_file.is_file():  # It is refused otherwise.
        advise_to_resume([folder])
    ticket = lottery_run(parent, folder, threads, initialization=initialization, learning_rate=learning_rate)
    use_threads(ticket.config)
    train_one(ticket, quiet)


def compress(run: RunPath, out: Path, order: UnitOrder = "geometric", threads: int | None = None) -> None:
    """Compress a run's net: store kept weights only, in the fastest layouts measured on this machine.

    Prints times, memory and metrics before and after.

    Args:
        run: Folder of the run.
        out: New folder for model.safetensors and compression.json.
        order: Order of the hidden units: `geometric` is that of the blocks in which they were pruned, or else along
            the manifold of their points; `graph` is reverse Cuthill-McKee on the graph of their weights; `index`
            leaves them as they are.
        threads: CPU threads; None for the run's own number.
    """
    loaded = load(RunFolder(run))
    use_threads(loaded.config, threads)
    for table in compression_tables(str(run), compress_run(loaded, out, order)):
        open_console().print(table)


def evaluate(run: RunPath) -> None:
    """Print the metrics of a run's last checkpoint on fresh data, which are the same for every run of its task.

    Args:
        run: Folder of the run.
    """
    folder = RunFolder(run)
    use_threads(folder.read_description().config)
    loaded = load(folder)
    for name, value in evaluate_run(loaded).items():
        sys.stdout.write(f"{name}: {value:.6g} {loaded.task.units[name]}\n")


def analyze(run: RunPath, out: Path | None = None, states: int = 5000, threads: int | None = None) -> None:
    """Find which manifold a run's hidden states fill, with p-values, and draw figures.

    For navigation, also compares the states with the arena.

    Args:
        run: Folder of the run.
        out: Folder for analysis.json and the figures; None for the folder analysis of the run.
        states: Number of hidden states to analyze.
        threads: CPU threads; None for the run's own number.
    """
    _need_topology("analyze")
    loaded = load(RunFolder(run))
    use_threads(loaded.config, threads)
    # scikit-learn and matplotlib are slow to import, and no other command needs both.
    from riemod.inspection import analyze_run

    out = RunFolder(run).path / "analysis" if out is None else out
    record = analyze_run(loaded, out, states)
    sys.stdout.write(record["report"] + "\n")
    open_console().print(analysis_table(str(run), record))
    sys.stdout.write(f"analysis.json and figures: {out}\n")


def show(run: RunPath) -> None:
    """Print a finished run's record as a table, or the last epochs of an unfinished run.

    Args:
        run: Folder of the run.
    """
    folder = RunFolder(run)
    finished = folder.record_file.is_file()
    table = (
        record_table(str(run), folder.read_record())
        if finished
        else progress_table(str(run), folder.read_description(), folder.read_metrics())
    )
    open_console().print(table)


def demo(out: Path = Path("runs/demo")) -> None:
    """Find the torus that a navigation net computes on, learn its units' points there, prune, compress; draw a figure.

    Args:
        out: Folder for three runs, the compressed net and the figure; finished runs in it are kept.
    """
    _need_topology("demo")
    # matplotlib is slow to import.
    from riemod.cli.demo import run_demo

    run_demo(out, open_console())


def train_task(task: Annotated[Literal["navigation", "adding", "language"], tyro.conf.Positional], /) -> None:
    """Train a net on a task; `riemod train TASK --help` lists every option with its unit and default.

    Args:
        task: What to train on.
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

    It ends the process with status 2 for a bad request or a file that cannot be written, with 1 for a run that
    diverged, with 130 after Ctrl-C (SIGINT) and with 143 after SIGTERM, each with one line on standard error.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with _signals.raised():
            _run(arguments)
            sys.stdout.flush()
    except BaseException as error:
        unwritten = _unwritten_output()
        number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else None
        # Whatever an interrupt became on its way up, such as an error of the library that was being imported.
        if (number := _signals.received() or number) is not None:
            sys.stderr.write(f"riemod: {_signals.advice()}\n")
            raise SystemExit(128 + number) from None
        if isinstance(error, TrainingDiverged):
            _fail(error, 1)
        if isinstance(error, CheckpointError | RunError | ValueError | OSError):
            _fail(error, 2)
        if unwritten is not None and isinstance(error, SystemExit) and not error.code:
            _fail(unwritten, 2)
        raise


def _run(arguments: list[str]) -> None:
    if arguments[:1] == ["train"] and len(arguments) > 1 and not arguments[1].startswith("-"):
        train_command(arguments[1], arguments[2:])
    else:
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="riemod", args=arguments, description=__doc__)


def _unwritten_output() -> OSError | None:
    """Write what standard output still holds; if that fails, drop it and return the error.

    Otherwise Python would try again at its end, print a traceback, and end with status 120.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None


def _need_topology(command: str) -> None:
    """Raise a RunError unless the libraries of topology are installed."""
    missing = [name for name in ("gudhi", "ripser", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        raise RunError(f"{command} needs {', '.join(missing)}: pip install 'riemod[topology]' brings it")


def _fail(error: Exception, status: int) -> None:
    sys.stderr.write(f"riemod: error: {one_line(error, most=2000)}\n")
    raise SystemExit(status) from error
