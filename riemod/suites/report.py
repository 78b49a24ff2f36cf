"""The tables and figures of a declared suite, from the records in a folder."""

import math
from collections.abc import Callable
from pathlib import Path

from riemod._checks import check_type
from riemod.suites.errors import SuiteError
from riemod.suites.figures import save_figure
from riemod.suites.plan import Suite
from riemod.suites.rows import cells
from riemod.suites.tables import Metric, SuiteTable, suite_table
from riemod.tasks import RunConfig, task_class
from riemod.tasks.config.fields import flat_fields

__all__ = ["save_figures", "scale_of", "tables_of"]

_PAPER = "paper"
# What may differ from the preset without another scale: where and how a run is computed, and the protocol, of whose
# targets the tables of the paper know.
_FREE = ("preset", "seed", "initialization", "other_l1", "data")
_FREE_GROUPS = ("computation", "regularization", "masks")
_SAME = 1e-3  # Strengths in suites are rounded to five digits.


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
    return suite_table(rows, suite.title, metrics, suite.control, suite.tables, scale_of(suite), suite.protocol)


def scale_of(suite: Suite) -> str | None:
    """Return how all runs of a suite differ from the task's preset `paper`; None if nothing does in all of them.

    A preset without such a difference has the paper's scale. Tickets are left out.
    """
    if suite.preset != _PAPER:
        return f"These runs are of preset {suite.preset}, which is smaller than the paper's nets."
    preset = task_class(suite.task).presets[_PAPER]
    runs = [run.config for run in suite.runs if run.ticket is None]
    paper, configs = preset.to_dict(), [config.to_dict() for config in runs]
    changed = [
        f"{name} {configs[0][name]} in place of {paper[name]}"
        for name, (group, _) in flat_fields(type(preset)).items()
        if name not in _FREE
        and group not in _FREE_GROUPS
        and all(config[name] == configs[0][name] != paper[name] for config in configs)
    ]
    strengths, expected = {_strength_of_weight(config) for config in runs}, _strength_of_weight(preset)
    if not any(math.isclose(strength, expected, rel_tol=_SAME) for strength in strengths):
        named = " or ".join("auto" if math.isnan(strength) else f"{strength:.4g}" for strength in sorted(strengths))
        changed.append(f"strength of a weight {named} in place of {expected:.4g}")
    return f"These runs differ from the paper's in scale: {', '.join(changed)}." if changed else None


def _strength_of_weight(config: RunConfig) -> float:
    """Return the coefficient of f |w| in the penalty, whatever the reduction and the size of the net; NaN for auto."""
    penalty, hidden = config.regularization, config.to_dict()["hidden_size"]
    if isinstance(penalty.strength, str):
        return math.nan
    return penalty.strength / hidden**2 if penalty.reduction == "mean" else penalty.strength


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
