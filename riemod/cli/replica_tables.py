"""Replicas of one run side by side: each metric's mean and spread over the seeds."""

import statistics
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from riemod.cli.cells import add_captions, add_row, new_table, number, unit_of
from riemod.tasks.names import metric_name
from riemod.training.remarks import remarks

_MOST_COLUMNS = 6


def replicas_record(records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the records of replicas, and over them each metric's mean, standard deviation, least and largest value.

    Args:
        records: contents of each record.json, by the run's name.

    Returns:
        {"summary": {metric: {"mean", "std", "least", "most", "unit"}}, "runs": records}; the standard deviation
        estimates that of the seeds (divisor: their number less 1) and is None for a single run.
    """
    first = next(iter(records.values()))["metrics"]
    summary = {}
    for key, entry in first.items():
        values = [record["metrics"][key]["value"] for record in records.values() if key in record["metrics"]]
        summary[key] = _spread(values) | {"unit": entry["unit"]}
    return {"summary": summary, "runs": records}


def replicas_table(title: str, records: dict[str, dict[str, Any]], unfinished: Sequence[str] = ()) -> Table:
    """Show replicas in one table: mean and spread of every metric, and each run's own values where there is room.

    Args:
        title: of the table.
        records: contents of each record.json, by the run's name.
        unfinished: folders of the replicas that are not finished.
    """
    first, shown = next(iter(records.values())), list(records) if len(records) <= _MOST_COLUMNS else []
    heading = f"{title}: {first['task']}, preset {first['config']['preset']}, {len(records)} runs"
    table = new_table(heading, "", "mean", "std", "least", "most", *shown, "unit")
    for key, spread in replicas_record(records)["summary"].items():
        values = (number(records[name]["metrics"].get(key, {}).get("value")) for name in shown)
        add_row(table, metric_name(key), *_cells(spread), *values, unit_of(spread["unit"]))
    table.add_section()
    for key, entry in first["levels"].items():
        add_row(table, f"reference: {metric_name(key)}", number(entry["value"]), *[""] * (3 + len(shown)),
                unit_of(entry["unit"]))  # fmt: skip
    table.add_section()
    for key in first["sparsity"]:
        shares = {name: record["sparsity"].get(key) for name, record in records.items()}
        spread = _spread([share for share in shares.values() if share is not None])
        add_row(table, f"sparsity {key}", *_cells(spread), *(number(shares[name]) for name in shown), "of zeros")
    add_captions(table, _remarks(records, unfinished))
    return table


def _remarks(records: dict[str, dict[str, Any]], unfinished: Sequence[str]) -> list[str]:
    """Return the remarks of all records, each once, with the runs that it is true of."""
    runs_of: dict[str, list[str]] = {}
    for name, record in records.items():
        for line in remarks(record):
            runs_of.setdefault(line, []).append(name)
    every = len(records)
    lines = [line if len(names) == every else f"{', '.join(names)}: {line}" for line, names in runs_of.items()]
    return lines + ([f"not finished: riemod resume {' '.join(unfinished)}"] if unfinished else [])


def _spread(values: list[float]) -> dict[str, float | None]:
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "least": min(values), "most": max(values)}


def _cells(spread: dict[str, float | None]) -> list[str]:
    return [number(spread[key]) for key in ("mean", "std", "least", "most")]
