"""The table of a suite: every cell with its interval, its comparison with the control, and the paper's number."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from riemod._checks import check_items, check_text, check_type
from riemod.suites.published import Protocol, Published, Target, published_numbers, published_table
from riemod.suites.results import Result, check_results
from riemod.suites.statistics import LEVEL, Cell, Comparison, compare, least_pairs, summarize

__all__ = ["LEGEND", "Entry", "Metric", "SuiteTable", "suite_table"]

LEGEND = (
    "Mean ± sample standard deviation over n seeds, [95 % interval of the mean by Student's t], none for fewer than "
    "three; two values stand in brackets. Of few runs the interval is wide, and it may reach below 0: it knows of no "
    "sign. It covers the mean of normal numbers in 95 % of cases at every n, of lognormal ones in 81 to 84 %, and it "
    "says nothing of rare losses that these runs did not have.",
    "Less the control: mean of the differences seed by seed, with its interval. p: two-sided paired permutation test, "
    "corrected over all comparisons of the table by Holm's method.",
    "Could have shown: the smallest true difference that a paired t-test at 5 % divided by the number of comparisons "
    "shows with a probability of 80 %, at the spread of these pairs.",
)
"""What the columns of every table are, a sentence or two each."""


class Metric(NamedTuple):
    """Names a metric for a reader."""

    name: str
    """In the record."""
    label: str
    """In a heading."""
    unit: str
    """Of its values; "1" for a number without one."""


@dataclass(frozen=True)
class Entry:
    """Holds one line of a table.

    Args:
        cell: of one arm at one sparsity.
        comparison: of it with the control; None for the control itself.
        published: the paper's numbers beside it; more than one where the paper prints two.
        fair: whether these are targets for these runs; None without a number.
        why: reasons for that, none twice.
    """

    cell: Cell
    comparison: Comparison | None
    published: tuple[Published, ...]
    fair: bool | None
    why: tuple[str, ...]


@dataclass(frozen=True)
class SuiteTable:
    """Holds the lines of one metric of a suite.

    Args:
        title: of the suite.
        metric: that the cells are of.
        control: the arm that the others are compared with.
        entries: in the order of arms and sparsities in which the rows came.
        notes: what else the reader must know, a sentence or two each.
    """

    title: str
    metric: Metric
    control: str
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]


def suite_table(
    rows: Iterable[Result],
    title: str,
    metrics: Sequence[Metric],
    control: str,
    tables: Sequence[int] = (),
    scale: str | None = None,
    protocol: Protocol = "matched",
) -> list[SuiteTable]:
    """Build the tables of a suite, one a metric; p-values are corrected over all of them together.

    Args:
        rows: finished runs.
        title: of the suite.
        metrics: that every row has.
        control: the arm that the others are compared with; without a run of it nothing is compared.
        tables: numbers of the paper's tables that the suite reproduces.
        scale: one sentence on how the runs differ from the paper's in scale, so that no number of it is a fair
            target; None for runs of its scale.
        protocol: by which the arms were made.

    Returns:
        A table for each metric.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there are no rows or metrics, or one run is there twice or lacks a metric.
    """
    check_text("title", title)
    metrics = [check_type("metrics", m, Metric, "Metric") for m in check_items("metrics", metrics, "a list of Metric")]
    if not metrics:
        raise ValueError("metrics must hold at least one metric, got none")
    found = check_results(rows, [metric.name for metric in metrics])
    begun = any(row.arm == check_text("control", control) for row in found)
    compared = {
        (comparison.metric, comparison.arm, comparison.sparsity): comparison
        for comparison in (compare(found, [metric.name for metric in metrics], control) if begun else ())
    }
    absent = [] if begun else [f"No run of the control, {control}, is finished: nothing is compared."]
    built = []
    for metric in metrics:
        entries = []
        for cell in summarize(found, metric.name):
            published = tuple(published_numbers(tables, metric.name, cell.arm, cell.sparsity))
            entries.append(
                Entry(
                    cell,
                    compared.get((metric.name, cell.arm, cell.sparsity)),
                    published,
                    scale is None and all(number.target(protocol).fair for number in published) if published else None,
                    _reasons([number.target(protocol) for number in published], scale),
                )
            )
        notes = (*absent, *_test_notes(list(compared.values())), *_paper_notes(tables, metric.name))
        built.append(SuiteTable(title, metric, control, tuple(entries), notes))
    return built


def _reasons(targets: Sequence[Target], scale: str | None) -> tuple[str, ...]:
    """Return why numbers are no fair targets, or, if they are, why they are."""
    if not targets:
        return ()
    against = [*([] if scale is None else [scale]), *(target.why for target in targets if not target.fair)]
    return tuple(dict.fromkeys(against or [target.why for target in targets]))


def _test_notes(comparisons: Sequence[Comparison]) -> list[str]:
    """Say of the tests what the p-values alone do not: where no difference of any size could have been shown."""
    tested = [comparison for comparison in comparisons if comparison.pairs]
    if not tested:
        return []
    most = max(comparison.pairs for comparison in tested)
    least = min(comparison.least for comparison in tested)
    if least <= LEVEL:
        return []
    needed = least_pairs(len(tested))
    count = "1 comparison" if len(tested) == 1 else f"{len(tested)} comparisons"
    pairs = "1 pair" if most == 1 else f"{most} pairs"
    return [
        f"With {pairs} of seeds at most and {count}, no corrected p-value of the permutation test can be below "
        f"{least:.2g}: it takes {needed} seeds to show a difference by this test."
    ]


def _paper_notes(tables: Sequence[int], metric: str) -> list[str]:
    found = [table for table in map(published_table, tables) if table.metric == metric]
    conversions = dict.fromkeys(table.conversion for table in found if table.conversion is not None)
    own = [f"Table {table.number} of the paper: {note}" for table in found for note in table.notes]
    return [*(f"Numbers of the paper are converted: {conversion}." for conversion in conversions), *own]


def decimals(cell: Cell) -> int:
    """Return the decimal places that show two digits of a cell's standard deviation, or else three of its mean.

    >>> decimals(Cell("none", 0.9, "rmse", (1.234, 1.256, 1.298), 1.2, 1.3, 0, 0))
    3
    """
    size, digits = (cell.std, 2) if cell.n > 1 and cell.std > 0 else (abs(cell.mean), 3)
    return max(0, digits - 1 - math.floor(math.log10(size))) if size > 0 else digits
