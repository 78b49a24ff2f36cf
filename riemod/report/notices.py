"""What a reader must know before the numbers of some runs: warnings, and what would show more."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from riemod.report.facts import Facts
from riemod.report.levels import levels_of
from riemod.report.text import amount, percent
from riemod.tasks import task_class
from riemod.tasks.names import metric_name
from riemod.training.remarks import remarks

__all__ = ["Notice", "notices_of"]

_MANY = 0.5


class Notice(NamedTuple):
    """Holds one remark on some runs."""

    runs: list[str]
    text: str
    is_warning: bool
    """Whether the numbers may mislead without it; otherwise it says what would show more."""
    command: str = ""
    """What to type, if a command helps."""


def notices_of(runs: Sequence[Facts]) -> list[Notice]:
    """Return the remarks on some runs, warnings first; one that several runs share is said once.

    Args:
        runs: all runs of the page.
    """
    found: dict[tuple[str, bool, str], list[str]] = {}
    for run in runs:
        for text, is_warning, command in _of_one(run):
            found.setdefault((text, is_warning, command), []).append(run.name)
    for text in _of_all(runs):
        found[text, True, ""] = [run.name for run in runs]
    all_of_them = [Notice(names, *rest) for rest, names in found.items()]
    return sorted(all_of_them, key=lambda notice: not notice.is_warning)


def _of_one(run: Facts) -> Iterator[tuple[str, bool, str]]:
    done, total = run.epochs
    if run.record is None:
        text = f"not finished: {done} of {total} epochs are trained, and the final numbers are missing"
        yield text, True, f"riemod resume {run.place}"
    else:
        for text in remarks(run.record):
            yield text, True, ""
        yield from ((text, True, "") for text in _poor(run))
    if any(isinstance(value, float) and not math.isfinite(value) for row in run.rows[-1:] for value in row.values()):
        yield "a number of the last epoch is not finite", True, ""
    yield from ((text, True, command) for text, command in run.problems)
    if run.analysis is None:
        if run.net is not None and not run.problems:
            yield "not analyzed yet: no verdict, no bars, no tuning of the units", False, f"riemod analyze {run.place}"
        return
    record = run.analysis.record
    if record["epochs"] != done or not _same(record["run"]["config"], run.config):
        text = f"analyzed after {record['epochs']} epochs, or as another run; the net has {done} epochs now"
        yield text, True, f"riemod analyze {run.place}"
    if record.get("arena", {}).get("verdict") == "wrong":
        arena, verdict = record["arena"]["manifold"], record["verdict"]["manifold"]
        yield f"the verdict is {verdict}, but the arena is: {arena}", True, ""
    tuning = record.get("tuning")
    if tuning and tuning["units"] and tuning["silent"] / tuning["units"] > _MANY:
        yield f"{percent(tuning['silent'] / tuning['units'])} of the tested units are never active", True, ""


def _poor(run: Facts) -> Iterator[str]:
    """Say where a net is no better than a trivial answer; levels of perfect answers are none."""
    assert run.record is not None
    key = task_class(run.description.task).primary_metric
    metric = run.record["metrics"].get(key)
    if metric is None:
        return
    for level in levels_of(run.record, key):
        if not level.is_perfect and metric["value"] >= level.value:
            found, trivial = amount(metric["value"], metric["unit"]), amount(level.value, level.unit)
            yield f"the {metric_name(key)} of {found} is no better than {level.who}, which gives {trivial}"


def _of_all(runs: Sequence[Facts]) -> Iterator[str]:
    """Say what makes runs hard to compare."""
    tasks = sorted({run.description.task for run in runs})
    if len(tasks) > 1:
        yield f"the runs are of different tasks ({', '.join(tasks)}): their numbers do not compare"
    records = [run.record for run in runs if run.record is not None]
    for name in ("riemod", "torch"):
        versions = sorted({str(record["versions"].get(name, "unknown")) for record in records})
        if len(versions) > 1:
            yield f"the runs were trained with different versions of {name}: {', '.join(versions)}"


def _same(first: dict, second: dict) -> bool:
    """Return whether two configurations agree in what both have; a later version may know more options."""
    free = ("threads", "device")
    return all(first[name] == second[name] for name in first.keys() & second.keys() if name not in free)
