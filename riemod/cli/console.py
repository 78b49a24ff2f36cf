"""The terminal: where tables go, and the bar that shows a run's progress."""

import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from riemod._untrusted import one_line
from riemod.cli.cells import unit_of
from riemod.tasks.names import metric_name
from riemod.training import Reporter, Run

# For output that is no terminal: tables fit in it.
_WIDTH = 120
_SECONDS_A_LINE = 10.0


def open_console(quiet: bool = False, stderr: bool = False) -> Console:
    """Return a console on standard output, or standard error, 120 columns wide if that is no terminal.

    Args:
        quiet: print nothing.
        stderr: write to standard error.
    """
    console = Console(quiet=quiet, stderr=stderr)
    return console if console.is_terminal else Console(quiet=quiet, stderr=stderr, width=_WIDTH)


def print_json(value: Any) -> None:
    """Print a JSON-ready value on standard output, indented, and nothing else; a number that is not finite is null."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def note(line: str) -> None:
    """Print a remark on standard error, where it disturbs no JSON."""
    sys.stderr.write(f"riemod: note: {one_line(line)}\n")


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print riemod's own warnings in one line each, without a place in the code, inside the context."""
    usual = warnings.showwarning

    def show(message: Any, category: type[Warning], *place: Any, **named: Any) -> None:
        if category is UserWarning:
            sys.stderr.write(f"riemod: warning: {one_line(message, most=2000)}\n")
        else:
            usual(message, category, *place, **named)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = usual


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def show_stages() -> Iterator[Callable[[str], None]]:
    """Show on standard error what is being done, and for how long; nothing if that is no terminal.

    Yields:
        The function that is called with the name of each stage.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage: None
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:

        def stage(name: str) -> None:
            for task in progress.task_ids:
                progress.remove_task(task)
            progress.add_task(name, total=None)

        yield stage


@contextmanager
def show_progress(run: Run, console: Console) -> Iterator[Reporter]:
    """Show training steps with their rate and the primary metric; yield the function that is told of them.

    A terminal has a bar. Elsewhere, as in a pipe, a log or a notebook, there is a line every ten seconds at most,
    and one at the end.

    Args:
        run: says which task it is, and which metric is the primary one.
        console: where to draw.
    """
    if not console.is_terminal:
        yield _line_reporter(run, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task(run.description.task, total=None, rate="")

        def report(step: int, total: int, row: dict[str, float]) -> None:
            speed = progress.tasks[0].speed
            latest = _latest(run, row)
            rate = f"{speed:.0f} steps/s {latest}" if speed else latest
            progress.update(bar, completed=step, total=total, rate=rate)

        yield report


def _line_reporter(run: Run, console: Console) -> Reporter:
    printed = time.monotonic()
    first: tuple[float, int] | None = None

    def report(step: int, total: int, row: dict[str, float]) -> None:
        nonlocal printed, first
        now = time.monotonic()
        began, began_at = first = first or (now, step)
        if step < total and now - printed < _SECONDS_A_LINE:
            return
        printed = now
        parts = [f"{run.description.task} {step}/{total}", _latest(run, row)]
        if now > began and step > began_at:
            rate = (step - began_at) / (now - began)
            parts += [f"{rate:.3g} steps/s", f"{(total - step) / rate:.0f} s left" if step < total else ""]
        console.print(", ".join(filter(None, parts)), markup=False, highlight=False)

    return report


def _latest(run: Run, row: dict[str, float]) -> str:
    """Return the primary metric of the last epoch with its name and unit, or nothing before there is one."""
    key = run.task.primary_metric
    value = row.get(f"eval_{key}")
    return "" if value is None else f"{metric_name(key)} {value:.4g} {unit_of(run.task.units[key])}".rstrip()
