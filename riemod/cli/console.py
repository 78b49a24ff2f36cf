"""The terminal: where tables go, and the bar that shows a run's progress."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from riemod.training import Reporter, Run

# For output that is no terminal: tables fit in it.
_WIDTH = 120


def open_console(quiet: bool = False) -> Console:
    """Return a console on standard output, 120 columns wide if that is no terminal.

    Args:
        quiet: print nothing.
    """
    console = Console(quiet=quiet)
    return console if console.is_terminal else Console(quiet=quiet, width=_WIDTH)


@contextmanager
def show_progress(run: Run, console: Console) -> Iterator[Reporter]:
    """Show a bar of training steps with their rate and the primary metric; yield the function that moves it.

    Args:
        run: says which task it is, and which metric is the primary one.
        console: where to draw the bar.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    metric = f"eval_{run.task.primary_metric}"
    unit = run.task.units[run.task.primary_metric]
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task(run.description.task, total=None, rate="")

        def report(step: int, total: int, row: dict[str, float]) -> None:
            speed = progress.tasks[0].speed
            latest = f" {row[metric]:.4g} {unit}" if metric in row else ""
            rate = f"{speed:.0f} steps/s{latest}" if speed else latest
            progress.update(bar, completed=step, total=total, rate=rate)

        yield report
