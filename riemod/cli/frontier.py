"""The commands `riemod measure SUITE` and `riemod frontier SUITE`: what the nets of a suite cost, and err for that."""

import sys
from pathlib import Path
from typing import Annotated

import tyro

from riemod.cli.figure import check_ending
from riemod.cli.tables import metric_name
from riemod.suites import Suite, load_suite
from riemod.tasks import task_class


def measure_nets(
    suite: Annotated[str, tyro.conf.Positional], results: Path, preset: str = "cpu", rounds: int = 15
) -> None:
    """Measure the nets of a suite's finished runs on this machine: multiply-adds, bytes, and seconds on one thread.

    Pruned nets are compressed, and timed dense, by rows and in their blocks. Leave the machine alone meanwhile.

    Args:
        suite: Name of a suite, or the path of a TOML file.
        results: Folder of the results, as `riemod bench --out` was given.
        preset: Scale of the runs: smoke, cpu or paper, as far as the suite has them.
        rounds: Times that each net is timed, all of them in turn; the least time counts.

    Examples:
        riemod measure frontier-adding --results runs/bench
    """
    from riemod.suites.measures import measure

    sys.stdout.write(f"{measure(load_suite(suite, preset), results, rounds)}\n")


def print_frontier(
    suite: Annotated[str, tyro.conf.Positional],
    preset: str = "cpu",
    records: Path = Path("benchmarks/records"),
    out: Path | None = None,
) -> None:
    """Print what each kind of net of a suite errs and costs, after `riemod measure`; and draw it.

    Args:
        suite: Name of a suite, or the path of a TOML file.
        preset: Scale of the runs: smoke, cpu or paper, as far as the suite has them.
        records: Folder of the results, as `riemod bench --out` was given.
        out: PNG file for the figure; None for none.

    Examples:
        riemod frontier frontier-adding --records runs/bench --out frontier.png
    """
    if out is not None:
        check_ending(out, (".png",))
    chosen = load_suite(suite, preset)
    # matplotlib is slow to import.
    from riemod.suites.frontier import frontier, frontier_table, save_frontier

    lines, label = frontier(chosen, records), error_label(chosen)
    if out is not None:
        save_frontier(lines, label, chosen.title, out)
    sys.stdout.write(f"# {chosen.title} ({preset})\n\n{frontier_table(lines, label)}")


def error_label(suite: Suite) -> str:
    """Return the name of a suite's first metric for a reader, with its unit."""
    name = suite.metrics[0]
    unit = task_class(suite.task).units[name]
    return metric_name(name) if unit == "1" else f"{metric_name(name)}, {unit}"
