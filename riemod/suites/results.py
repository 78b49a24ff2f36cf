"""What statistics and tables read: rows with an arm, a sparsity, a seed and metrics, one a finished run."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from riemod._checks import check_integer, check_items, check_mapping, check_text, is_number, shown

__all__ = ["Result", "check_results", "is_collapsed", "is_lost"]


@runtime_checkable
class Result(Protocol):
    """Describes one finished run of a suite; `riemod.suites.Row` is one. Runs of two arms with one seed are a pair."""

    @property
    def arm(self) -> str:
        """The name of the arm; of lottery tickets "ARM, GROUP"."""
        ...

    @property
    def sparsity(self) -> float:
        """The fraction of zeros that the run was pruned to, in [0, 1]."""
        ...

    @property
    def seed(self) -> int:
        """The seed of the run."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """Finite numbers by name; "lost", and names that end in "collapsed", are 1 or 0."""
        ...


def is_lost(row: Result) -> bool:
    """Return whether a run learned nothing of use, by the rule of its suite."""
    return row.metrics.get("lost", 0) > 0


def is_collapsed(row: Result) -> bool:
    """Return whether a run answers no better than a constant by one of its metrics."""
    return any(value > 0 for name, value in row.metrics.items() if name.endswith("collapsed"))


def check_results(rows: Iterable[Any], metrics: Sequence[str]) -> list[Result]:
    """Return the rows; raise an error unless each is complete, has the metrics, and is there once.

    Raises:
        TypeError: they are no rows.
        ValueError: there are none, a field is out of its range, one lacks a metric, or two have the same arm,
            sparsity and seed.
    """
    found = check_items("rows", rows, "a list of rows")
    if not found:
        raise ValueError("rows must hold at least one run, got none")
    keys = set()
    for row in found:
        _check(row)
        if missing := [name for name in metrics if name not in row.metrics]:
            there = ", ".join(row.metrics) or "none"
            raise ValueError(f"{_place(row)} must have the metric {missing[0]!r}, got {there}")
        if (key := (row.arm, row.sparsity, row.seed)) in keys:
            raise ValueError(f"rows must hold each run once, got {_place(row)} twice")
        keys.add(key)
    return found


def _check(row: Any) -> None:
    if not isinstance(row, Result):
        raise TypeError(f"rows must have arm, sparsity, seed and metrics, got {shown(row)}")
    check_text("arm", row.arm)
    if not is_number(row.sparsity) or not 0 <= row.sparsity <= 1:
        raise ValueError(f"sparsity must be from 0 to 1, got {shown(row.sparsity)}")
    check_integer("seed", row.seed, 0)
    for name, value in check_mapping("metrics", row.metrics, "a mapping from name to number").items():
        if not is_number(value) or not math.isfinite(value):
            raise ValueError(f"{name} of {_place(row)} must be a finite number, got {shown(value)}")


def _place(row: Result) -> str:
    return f"the run of {row.arm!r} at {100 * row.sparsity:g} %, seed {row.seed}"
