"""The command `riemod bench SUITE`: every run of a suite, on this machine or on a cluster."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from riemod._checks import check_integer
from riemod._signals import advise
from riemod.cli.console import open_console
from riemod.cli.tables import suite_lines
from riemod.suites import Suite, cells, load_suite
from riemod.suites.cluster import connect
from riemod.suites.local import Processes
from riemod.suites.report import tables_of
from riemod.suites.runner import Progress as Standing
from riemod.suites.runner import Report, check_here, run_suite
from riemod.tasks.names import metric_name
from riemod.training import RunError


def bench(
    suite: Annotated[str, tyro.conf.Positional],
    out: Path,
    preset: str = "cpu",
    jobs: int = 2,
    scheduler: str | None = None,
    seeds: tuple[int, ...] = (),
    data: str | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> None:
    """Train every run of a suite that has no record yet, and print what came out; given again, it goes on.

    Args:
        suite: Name of a suite, or the path of a TOML file.
        out: Folder for the results: runs, and a record of each; it may hold those of other suites.
        preset: Scale of the runs: smoke, cpu or paper, as far as the suite has them.
        jobs: Processes of this machine that train at a time, one thread each; 1 to 1024.
        scheduler: Address of a Dask scheduler, or its scheduler file, whose workers train in place of processes here.
        seeds: Seeds in place of the suite's.
        data: Folder of the text, for suites of the language task.
        device: Where to train, in place of the suite's: cpu, cuda, ...
        quiet: Print errors only.

    Examples:
        riemod bench adding --preset smoke --jobs 2 --out runs/bench
        riemod bench navigation --preset cpu --seeds 0 1 --out runs/bench
        riemod bench adding --preset paper --scheduler tcp://10.0.0.5:8786 --out runs/bench
    """
    check_integer("jobs", jobs, least=1, most=1024)
    options: dict[str, Any] = {"threads": 1}
    if data is not None:
        options["data"] = str(Path(data).resolve())
    if device is not None:
        options["device"] = device
    chosen = load_suite(suite, preset, options, seeds or None)
    console = open_console(quiet)
    name = f"{chosen.name} {preset}"
    advise(
        lambda: f"interrupted: no finished run and no epoch is lost, give the same command again to go on with {name}"
    )
    with ExitStack() as stack:
        if scheduler is None:
            executor, count = (lambda: _processes(chosen, out, jobs)), (lambda: jobs)
        else:
            cluster = stack.enter_context(connect(scheduler))
            executor, count = (lambda: cluster.executor), cluster.jobs
        report = run_suite(chosen, out, executor, count, stack.enter_context(_progress(name, console)))
    console.print(_summary(name, report), highlight=False, soft_wrap=True)
    if any(cells(chosen, out)):
        for table in tables_of(chosen, out, metric_name):
            console.print(*suite_lines(table, name), sep="\n")
    if preset == "smoke":
        console.print("Runs of the preset smoke are too short to learn anything: they show that everything runs.")
    if report.failures:
        for run, message in report.failures.items():
            sys.stderr.write(f"riemod: {run}: {message}\n")
        raise RunError(f"{len(report.failures)} of {len(chosen.runs)} runs failed twice; the others are done")


def _processes(suite: Suite, out: Path, jobs: int) -> Processes:
    check_here(suite, out, jobs)
    return Processes(jobs)


def _summary(name: str, report: Report) -> str:
    if not report.trained and not report.failures:
        return f"{name}: all {report.found} runs were done before, nothing to do"
    return f"{name}: {report.trained} runs trained, {report.found} were done before, {len(report.failures)} failed"


@contextmanager
def _progress(name: str, console: Console) -> Iterator[Callable[[Standing], None] | None]:
    """Show a bar over the steps of all runs, with their rate and the time left, if the console is a terminal."""
    if not console.is_terminal or console.quiet:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task(name, total=None, state="")

        def report(standing: Standing) -> None:
            speed = progress.tasks[0].speed
            parts = [f"{standing.runs_done} of {standing.runs} runs"]
            parts += [f"{standing.runs_failed} failed"] if standing.runs_failed else []
            parts += [f"{standing.runs_elsewhere} trained elsewhere"] if standing.runs_elsewhere else []
            parts += [f"{speed:.0f} steps/s"] if speed else []
            progress.update(bar, completed=standing.steps_done, total=standing.steps, state=", ".join(parts))

        yield report
