"""The tables and figures of a declared suite, from the records in a folder."""

from collections.abc import Callable
from pathlib import Path

from riemod._checks import check_type
from riemod.suites.errors import SuiteError
from riemod.suites.figures import save_figure
from riemod.suites.plan import Suite
from riemod.suites.rows import cells
from riemod.suites.tables import Metric, SuiteTable, suite_table
from riemod.tasks import task_class

__all__ = ["save_figures", "scale_of", "tables_of"]

_PAPER = "paper"
# What may differ from the paper's preset without another scale: where and how a run is computed, and what arms set.
_FREE = ("preset", "seed", "sparsity", "device", "threads", "data", "matmul", "tensorboard")


def tables_of(suite: Suite, folder: Path, label: Callable[[str], str] = str) -> list[SuiteTable]:
    """Build the tables of a suite from the records of its finished runs.

    Args:
        suite: from `load_suite`.
        folder: of its results: what `riemod bench --out` was given, or `benchmarks/records`.
        label: gives a metric's name for a reader.

    Returns:
        A table for each metric of the suite.

    Raises:
        SuiteError: no run of the suite is finished, or a record is damaged or of another run.
    """
    rows = list(cells(suite, check_type("folder", folder, Path, "a Path")))
    if not rows:
        raise SuiteError(
            f"{folder} has no finished run of suite {suite.name!r} at preset {suite.preset!r}: "
            f"riemod bench {suite.name} --preset {suite.preset} --out {folder} trains them"
        )
    units = task_class(suite.task).units
    metrics = [Metric(name, label(name), units[name]) for name in suite.metrics]
    return suite_table(rows, suite.title, metrics, suite.control, suite.tables, scale_of(suite))


def scale_of(suite: Suite) -> str | None:
    """Return how all runs of a suite differ from the task's preset `paper`; None if nothing does in all of them.

    A preset without such a difference has the paper's scale. Tickets are left out.
    """
    if suite.preset != _PAPER:
        return f"These runs are of preset {suite.preset}, which is smaller than the paper's nets."
    paper = task_class(suite.task).presets[_PAPER].to_dict()
    configs = [run.config.to_dict() for run in suite.runs if run.ticket is None]
    changed = [
        f"{name} {configs[0][name]} in place of {value}"
        for name, value in paper.items()
        if name not in _FREE and all(config[name] == configs[0][name] != value for config in configs)
    ]
    return f"These runs differ from the paper's in scale: {', '.join(changed)}." if changed else None


def save_figures(tables: list[SuiteTable], stem: Path) -> list[Path]:
    """Draw the figure of each table as a PNG file, and return the files.

    Args:
        tables: one a metric.
        stem: path of the files without "-METRIC.png".
    """
    paths = []
    for table in tables:
        paths.append(stem.with_name(f"{stem.name}-{table.metric.name}.png"))
        save_figure(table, paths[-1])
    return paths
