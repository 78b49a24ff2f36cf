"""Curves of a suite's error over the strength of the penalty, read from the records of its runs."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from riemod._checks import check_choice, check_type
from riemod.plotting import Curve
from riemod.suites.errors import SuiteError
from riemod.suites.plan import PlannedRun, Suite
from riemod.suites.rows import read_row

__all__ = ["Sensitivity", "sensitivity"]

_DIGITS = 4  # Strengths of suites are rounded to five.


class Sensitivity(NamedTuple):
    """Holds how one arm's error depends on the strength."""

    curve: Curve | None
    """Over strengths that were given; None if none was."""
    found: tuple[tuple[float, float], ...]
    """(strength, error) of each run that found its strength itself."""


def sensitivity(suite: Suite, folder: Path, metric: str) -> Mapping[float, Mapping[str, Sensitivity]]:
    """Read a metric of a suite's finished runs by the strength of their penalty.

    Strengths are those of a single weight, the coefficient of f |w| in the loss: strength / n^2 with reduction "mean".
    So nets of all sizes can be compared. Arms whose names differ in their last word alone, as "torus fixed 0.1" and
    "torus fixed auto", are one. Runs without a penalty are left out.

    Args:
        suite: from `load_suite`.
        folder: of its results: what `riemod bench --out` was given, or `benchmarks/records`.
        metric: one of the suite's.

    Returns:
        By sparsity, and then by arm.

    Raises:
        ValueError: the suite has no such metric.
        SuiteError: no run with a penalty is finished, or a record is damaged or of another run.
    """
    check_type("suite", suite, Suite, "a Suite, as load_suite returns it")
    check_type("folder", folder, Path, "a Path")
    check_choice("metric", metric, suite.metrics)
    given: dict[float, dict[str, dict[float, dict[int, float]]]] = {}
    found: dict[float, dict[str, list[tuple[float, float]]]] = {}
    for run in suite.runs:
        penalty = run.config.regularization
        record = None if penalty.manifold == "none" or run.ticket is not None else read_row(suite, folder, run)
        if record is None:
            continue
        arm, value = run.arm.rpartition(" ")[0] or run.arm, float(record["metrics"][metric]["value"])
        strength = _of_weight(run, record)
        if isinstance(penalty.strength, str):
            found.setdefault(run.sparsity, {}).setdefault(arm, []).append((strength, value))
        elif strength > 0:
            curve = given.setdefault(run.sparsity, {}).setdefault(arm, {})
            curve.setdefault(float(f"{strength:.{_DIGITS}g}"), {})[run.seed] = value
    if not given and not found:
        raise SuiteError(f"{folder} has no finished run of suite {suite.name!r} at preset {suite.preset!r}")
    return {
        sparsity: {
            arm: Sensitivity(_curve(given.get(sparsity, {}).get(arm, {})), tuple(found.get(sparsity, {}).get(arm, ())))
            for arm in dict.fromkeys([*given.get(sparsity, {}), *found.get(sparsity, {})])
        }
        for sparsity in sorted({*given, *found})
    }


def _of_weight(run: PlannedRun, record: Mapping[str, Any]) -> float:
    penalty = run.config.regularization
    strength = record["strength"]["value"] if isinstance(penalty.strength, str) else penalty.strength
    return strength / run.config.to_dict()["hidden_size"] ** 2 if penalty.reduction == "mean" else strength


def _curve(values: Mapping[float, Mapping[int, float]]) -> Curve | None:
    if not values:
        return None
    strengths, seeds = sorted(values), sorted(set().union(*values.values()))
    table = [[values[strength].get(seed, math.nan) for strength in strengths] for seed in seeds]
    return Curve(np.array(strengths), np.array(table))
