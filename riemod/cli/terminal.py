"""The terminal that commands print to, and the progress bar of training."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from riemod.training import Reporter, Run

_WIDTH_OF_FILES = 120


def terminal(quiet: bool = False) -> Console:
    """Return a console; output to a file or a pipe is 120 columns wide, so that tables fit.

    Args:
        quiet: whether to print nothing.
    """
    console = Console(quiet=quiet)
    return console if console.is_terminal else Console(quiet=quiet, width=_WIDTH_OF_FILES)


@contextmanager
def progress_bar(run: Run, console: Console) -> Iterator[Reporter]:
    """Show a bar of training steps with their rate and the last value of the task's primary metric.

    Args:
        run: the run, or one of several that train side by side.
        console: where to show it.

    Yields:
        The function that training calls with its progress.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    metric = f"eval_{run.task.primary_metric}"
    unit = run.task.units[run.task.primary_metric]
    unit = "" if unit == "1" else f" {unit}"
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task(run.description.task, total=None, rate="")

        def report(step: int, total: int, row: dict[str, float]) -> None:
            speed = progress.tasks[0].speed
            value = f" {row[metric]:.4g}{unit}" if metric in row else ""
            rate = f"{speed:.0f} steps/s{value}" if speed else value
            progress.update(bar, completed=step, total=total, rate=rate)

        yield report
