"""Learning curves of a suite's runs, read from the folders in which they were trained."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from riemod._checks import check_text, check_type
from riemod.plotting import Curve
from riemod.suites.errors import SuiteError
from riemod.suites.plan import Suite
from riemod.suites.rows import run_folder

__all__ = ["learning_curves"]


def learning_curves(suite: Suite, folder: Path, metric: str) -> Mapping[float, Mapping[str, Curve]]:
    """Read how a metric of every run of a suite went from epoch to epoch; runs in progress count with what they have.

    Args:
        suite: from `load_suite`.
        folder: what `riemod bench --out` was given; committed records alone have no curves.
        metric: a number in the rows of metrics.jsonl, such as "loss" or "eval_rmse".

    Returns:
        By sparsity, and then by arm, the curves over epochs.

    Raises:
        SuiteError: no run has begun, or none has that number.
        RunError: the metrics of a run are damaged.
    """
    check_text("metric", metric)
    check_type("folder", folder, Path, "a Path")
    found: dict[float, dict[str, list[dict[int, float]]]] = {}
    known: set[str] = set()
    for run in suite.runs:
        rows = run_folder(folder, run).read_metrics()
        known.update(*rows)
        curve = {int(row["epoch"]): float(row[metric]) for row in rows if row.get(metric) is not None}
        if curve:
            found.setdefault(run.sparsity, {}).setdefault(run.arm, []).append(curve)
    if not known:
        raise SuiteError(f"{folder} has no run of suite {suite.name!r} at preset {suite.preset!r} that has begun")
    if not found:
        raise SuiteError(f"metric must be one of {', '.join(sorted(known - {'epoch'}))}, got {metric!r}")
    return {sparsity: {arm: _curve(runs) for arm, runs in arms.items()} for sparsity, arms in sorted(found.items())}


def _curve(runs: list[dict[int, float]]) -> Curve:
    epochs = sorted(set().union(*runs))
    values = np.array([[run.get(epoch, np.nan) for epoch in epochs] for run in runs])
    return Curve(np.array(epochs, dtype=float), values)
