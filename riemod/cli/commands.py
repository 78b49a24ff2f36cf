"""Recurrent nets on Riemannian manifolds: train, prune, compress and analyze them.

A run is a folder. `riemod COMMAND --help` describes a command with examples, `--version` prints the version, and
`--debug` beside any command shows where an error came from.

Examples:
    riemod doctor
    riemod train navigation --preset smoke --out runs/a
    riemod show runs/a
    riemod demo
"""

import importlib.metadata
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from riemod import _signals
from riemod._checks import check_choice
from riemod._machine import check_libraries
from riemod._untrusted import one_line
from riemod.cli.analyze import FOR_RECORDINGS, SUFFIXES, analyze_one_recording, analyze_one_run
from riemod.cli.arguments import RunPath, RunPaths
from riemod.cli.bench import bench
from riemod.cli.completion import Shell, completion_script
from riemod.cli.console import note, one_line_warnings, open_console, print_json
from riemod.cli.curves import draw_curves
from riemod.cli.doctor import doctor
from riemod.cli.figure import draw_figure
from riemod.cli.foreground import advise_to_resume, train_one, train_several, use_threads
from riemod.cli.parsing import UsageError, describe, parse_command
from riemod.cli.presets import presets
from riemod.cli.report import report
from riemod.cli.show import show
from riemod.cli.table import print_table
from riemod.cli.tables import analysis_table, compression_notes, compression_tables, recording_table
from riemod.cli.train import train_command
from riemod.cli.warmup import warmup
from riemod.tasks import TASKS
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

AnalyzedPath = Annotated[
    Path,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RUN|FILE", help="Folder of the run, or file of the recording (.npz, .csv or .nwb)."),
]


def resume(runs: RunPaths, quiet: bool = False, json: bool = False) -> None:
    """Resume an interrupted run, with the same result as if it had never stopped; several resume side by side.

    Args:
        runs: Folder of a run, or folders of several replicas of one run.
        quiet: Print errors only.
        json: Print the record as JSON in place of the table.

    Examples:
        riemod resume runs/a
        riemod resume runs/five/seed*
    """
    if not runs:
        raise ValueError("RUN must name at least one run's folder, got none")
    folders = [RunFolder(run) for run in runs]
    advise_to_resume(folders)
    use_threads(folders[0].read_description().config)
    if len(folders) == 1:
        train_one(load(folders[0]), quiet, json)
    else:
        train_several([load(folder) for folder in folders], quiet, json)


def lottery(
    run: RunPath,
    out: Path,
    threads: int | None = None,
    initialization: InitializationName = "sparsity_aware",
    learning_rate: float | None = None,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Train the lottery ticket of a finished run: fresh weights, the same mask, and the same points, now fixed.

    Args:
        run: Folder of the finished run.
        out: New folder for the ticket's run.
        threads: CPU threads; None for the run's own number.
        initialization: How the fresh weights are drawn; `default` is the task's own way.
        learning_rate: Learning rate of the ticket's run; None for that of the finished run.
        quiet: Print errors only.
        json: Print the record as JSON in place of the table.

    Examples:
        riemod lottery runs/a --out runs/a-ticket
        riemod lottery runs/a --out runs/a-orthogonal --initialization orthogonal --learning-rate 0.002
    """
    folder, parent = RunFolder(out), load(RunFolder(run))
    if not folder.config_file.is_file():  # It is refused otherwise.
        advise_to_resume([folder])
    ticket = lottery_run(parent, folder, threads, initialization=initialization, learning_rate=learning_rate)
    use_threads(ticket.config)
    if parent.pruner.sparsity()["total"] == 0:
        note(f"run {run} was never pruned (sparsity 0): its ticket keeps every weight")
    train_one(ticket, quiet, json)


def compress(
    run: RunPath, out: Path, order: UnitOrder = "geometric", threads: int | None = None, json: bool = False
) -> None:
    """Compress a run's net: store kept weights only, in the fastest layouts measured on this machine.

    Prints times, memory and metrics before and after.

    Args:
        run: Folder of the run.
        out: New folder for model.safetensors and compression.json.
        order: Order of the hidden units: `geometric` is that of the blocks in which they were pruned, or else along
            the manifold of their points; `graph` is reverse Cuthill-McKee on the graph of their weights; `index`
            leaves them as they are.
        threads: CPU threads; None for the run's own number.
        json: Print the record as JSON in place of the tables.

    Examples:
        riemod compress runs/a --out runs/a-compressed
        riemod compress runs/a --out runs/a-graph --order graph --threads 1 --json
    """
    loaded = load(RunFolder(run))
    use_threads(loaded.config, threads)
    record = compress_run(loaded, out, order)
    if json:
        print_json(record)
    else:
        for table in compression_tables(str(run), record):
            open_console().print(table)
    for line in compression_notes(record):
        note(line)


def evaluate(run: RunPath, json: bool = False) -> None:
    """Print the metrics of a run's last checkpoint on fresh data, which are the same for every run of its task.

    Args:
        run: Folder of the run.
        json: Print the metrics as JSON, each with its unit.

    Examples:
        riemod evaluate runs/a
        riemod evaluate runs/a --json
    """
    folder = RunFolder(run)
    use_threads(folder.read_description().config)
    loaded = load(folder)
    metrics = evaluate_run(loaded)
    if json:
        print_json({name: {"value": value, "unit": loaded.task.units[name]} for name, value in metrics.items()})
        return
    for name, value in metrics.items():
        sys.stdout.write(f"{name}: {value:.6g} {loaded.task.units[name]}\n")


def analyze(
    path: AnalyzedPath,
    out: Path | None = None,
    states: int | None = None,
    threads: int | None = None,
    json: bool = False,
    behavior: Path | None = None,
    kind: Literal["counts", "rates", "calcium"] | None = None,
    position: str | None = None,
    heading: str | None = None,
    bin_width: float | None = None,
    smoothing: float | None = None,
    least_speed: float | None = None,
    coordinates: int | None = None,
) -> None:
    """Find which manifold a run's hidden states or a recorded population fill, with p-values, and draw figures.

    For navigation, also compares the states with the arena. A recording is a file of spikes, counts, rates or calcium
    traces; docs/recordings.md says what may be in it.

    Args:
        path: Folder of the run, or file of the recording.
        out: Folder for analysis.json and the figures; None for the folder analysis of the run, or NAME-analysis beside
            the recording's file.
        states: Number of hidden states of a run to analyze; None for 5000.
        threads: CPU threads; None for the run's own number, or 1 for a recording.
        json: Print the record as JSON, and nothing else.
        behavior: Recording: another file (.npz or .csv) with position, head direction or both.
        kind: Recording: what samples in a .csv file are.
        position: Recording: the position's series in a .nwb file with several.
        heading: Recording: the head direction's series in a .nwb file with several.
        bin_width: Recording: width of a bin in s; None for 0.1.
        smoothing: Recording: standard deviation of the Gaussian in s; None for 0.15.
        least_speed: Recording: bins in which the animal is slower are left out, m/s; None for 0.025.
        coordinates: Recording: 1 or 2 circular coordinates, whatever the verdict; None for those of the verdict.

    Examples:
        riemod analyze runs/a
        riemod analyze runs/a --out figures/a --states 2000 --threads 2
        riemod analyze session.nwb --heading HeadDirection
    """
    _need_topology("analyze")
    given = locals()
    if path.is_dir() or path.suffix.lower() not in SUFFIXES:
        _refuse(given, FOR_RECORDINGS, f"for recordings, and {path} is not a {', '.join(SUFFIXES)} file")
        record, out = analyze_one_run(path, out, 5000 if states is None else states, threads)
        table = analysis_table
    else:
        _refuse(given, ("states",), f"for runs, and {path} is a recording")
        options = {name: given[name] for name in FOR_RECORDINGS if given[name] is not None}
        record, out = analyze_one_recording(path, out, threads, options)
        table = recording_table
    if json:
        print_json(record)
        return
    sys.stdout.write(record["report"] + "\n")
    open_console().print(table(str(path), record))
    sys.stdout.write(f"analysis.json and figures: {out}\n")


def demo(out: Path = Path("runs/demo")) -> None:
    """Find the torus that a navigation net computes on, learn its units' points there, prune, compress; draw a figure.

    Args:
        out: Folder for three runs, the compressed net and the figure; finished runs in it are kept.

    Examples:
        riemod demo
        riemod demo --out runs/demo
    """
    _need_topology("demo")
    # matplotlib is slow to import.
    from riemod.cli.demo import run_demo

    run_demo(out, open_console())


def completion(shell: Annotated[Shell, tyro.conf.Positional]) -> None:
    """Print the script that completes commands, tasks, options and choices in a shell.

    Args:
        shell: Where completion should work.

    Examples:
        riemod completion bash > ~/.local/share/bash-completion/completions/riemod
        riemod completion zsh > ~/.zfunc/_riemod
        riemod completion fish > ~/.config/fish/completions/riemod.fish
    """
    sys.stdout.write(completion_script(shell, COMMANDS))


def train_task(task: Annotated[Literal["navigation", "adding", "language"], tyro.conf.Positional], /) -> None:
    """Train a net on a task; `riemod train TASK --help` lists every option with its unit and default.

    Args:
        task: What to train on.

    Examples:
        riemod train navigation --preset smoke --out runs/a
        riemod train adding --manifold torus --learn --sparsity 0.9 --out runs/b
        riemod train language --help
    """


_DEBUG = "--debug"
_FAULT = 70  # what sysexits.h calls an internal error of the software
_OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)
_REFUSED = (CheckpointError, RunError, ValueError, OSError, ImportError, *_OUT_OF_MEMORY)

COMMANDS: dict[str, Callable[..., None]] = {
    "train": train_task,
    "resume": resume,
    "lottery": lottery,
    "compress": compress,
    "evaluate": evaluate,
    "analyze": analyze,
    "show": show,
    "report": report,
    "presets": presets,
    "doctor": doctor,
    "bench": bench,
    "table": print_table,
    "figure": draw_figure,
    "curves": draw_curves,
    "demo": demo,
    "completion": completion,
    "warmup": warmup,
}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    It ends the process with status 2 for a bad request or a file that cannot be written, with 1 for a run that
    diverged, with 70 for a fault of riemod itself, with 130 after Ctrl-C (SIGINT) and with 143 after SIGTERM, each
    with one line on standard error; `--debug` puts the traceback before it.
    """
    given = sys.argv[1:] if arguments is None else arguments
    arguments = [argument for argument in given if argument != _DEBUG]
    debug = len(arguments) < len(given)
    try:
        with _signals.raised(), nullcontext() if debug else one_line_warnings():
            _run(arguments)
            sys.stdout.flush()
    except BaseException as error:
        unwritten = _unwritten_output()
        number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else None
        # Whatever an interrupt became on its way up, such as an error of the library that was being imported.
        if (number := _signals.received() or number) is not None:
            sys.stderr.write(f"riemod: {_signals.advice()}\n")
            raise SystemExit(128 + number) from None
        if isinstance(error, SystemExit):
            if unwritten is not None and not error.code:
                _fail(unwritten, 2, debug)
            raise
        if isinstance(error, TrainingDiverged):
            _fail(error, 1, debug)
        if isinstance(error, _REFUSED):
            _fail(error, 2, debug)
        _fail(error, _FAULT, debug)


def _run(arguments: list[str]) -> None:
    """Run the command that the arguments name."""
    command = arguments[0] if arguments else ""
    if command in ("-h", "--help") or command.startswith("--tyro-"):
        tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="riemod", args=arguments, description=describe(__doc__))
    elif command == "--version":
        sys.stdout.write(f"riemod {importlib.metadata.version('riemod')}\n")
    elif command == "train" and len(arguments) > 1 and not arguments[1].startswith("-"):
        train_command(arguments[1], arguments[2:])
    elif command == "train" and len(arguments) == 1:
        raise UsageError(f"riemod train needs a task: {', '.join(TASKS)}; see riemod train --help")
    elif not command:
        raise UsageError(f"riemod needs a command: {', '.join(COMMANDS)}; see riemod --help")
    else:
        check_choice("command", command, COMMANDS)
        parse_command(COMMANDS[command], arguments[1:], f"riemod {command}")()


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
    """Raise an ImportError unless the libraries of topology are installed; they are slow to import."""
    check_libraries(command, "topology", "gudhi", "ripser", "sklearn")


def _refuse(given: Mapping[str, Any], names: Iterable[str], why: str) -> None:
    """Raise a RunError that names the first of some options that was given though it does not apply."""
    for name in names:
        if given[name] is not None:
            raise RunError(f"--{name.replace('_', '-')} is {why}")


def _fail(error: BaseException, status: int, debug: bool) -> None:
    """Say in one line what went wrong, after the traceback if that was asked for, and end the process."""
    if debug:
        traceback.print_exception(error)
    said = one_line(error, most=2000)
    if isinstance(error, _OUT_OF_MEMORY):
        said = f"the memory does not suffice: take a smaller batch_size or a smaller net; {said}".rstrip("; ")
    if status == _FAULT:
        said = (
            f"unexpected {type(error).__name__}: {said}; please report it, with what {_DEBUG} shows beside the command"
        )
    sys.stderr.write(f"riemod: error: {said}\n")
    raise SystemExit(status) from error
