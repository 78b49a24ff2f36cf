"""Tables of a run's numbers, for the terminal.

Keys of record.json and analysis.json get the names that a reader expects; a key without one is shown as it is. Names,
units and titles come from files that anyone may have changed: they are shown without the markup and the control
characters that a terminal would act on.
"""

from typing import Any

from rich.table import Column, Table
from rich.text import Text

from riemod._untrusted import printable

_SIGNIFICANT = 4
_LONGEST = 500
_METRICS = {
    "error_top3": "top-3 position error",
    "error_maximum_likelihood": "maximum-likelihood position error",
    "beyond_10_cm": "position errors above 10 cm",
    "beyond_50_cm": "position errors above 50 cm",
    "rmse": "RMSE",
}
_POSITION = {
    "readout": "position error of the net's readout",
    "nearest_state": "position error of the nearest state",
    "nearest_position": "position error, least possible",
    "chance": "position error, chance",
}
_AGREEMENT = {
    "tuning": "tuning curves",
    "weights": "weights, signed",
    "absolute weights": "weights, absolute",
    "incoming rows": "cosines of incoming rows",
}
_GEOMETRIES = {"tuning": "tuning curves", "weights": "weight graph", "points": "points"}


def record_table(name: str, record: dict[str, Any]) -> Table:
    """Show a finished run: metrics, reference levels to read them against, sparsity by tensor, and its machine.

    Args:
        name: name of the run, for the title.
        record: contents of record.json.
    """
    config, machine = record["config"], record["machine"]
    threads = "1 thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    table = _table(f"{name}: {_headline(record)}", "", "value", "unit")
    for title, group in (("", record["metrics"]), ("reference: ", record["levels"])):
        for key, entry in group.items():
            _add_row(table, title + metric_name(key), _number(entry["value"]), _unit(entry["unit"]))
        table.add_section()
    for key, share in record["sparsity"].items():
        _add_row(table, f"sparsity {key}", f"{share:.4f}", "fraction of zeros")
    table.add_section()
    _add_row(table, "parameters", f"{record['parameters']:,}", "weights")
    _add_row(table, "training time", _number(record["wall_time"]["value"]), record["wall_time"]["unit"])
    _add_row(table, "seed", str(config["seed"]), "")
    _add_row(table, "torch", record["versions"]["torch"], "")
    _add_row(table, "machine", f"{machine['cuda_device'] or machine['architecture']}, {threads}", "")
    _add_row(table, "commit", (record["commit"] or "unknown")[:12], "")
    return table


def progress_table(name: str, description: tuple[str, Any, str | None], rows: list[dict[str, Any]]) -> Table:
    """Show the last ten epochs of an unfinished run, and how to resume it.

    Args:
        name: name of the run, for the title.
        description: task, configuration and origin of the run.
        rows: rows of metrics.jsonl.
    """
    task, config, _ = description
    title = (
        f"{name}: {task}, preset {config.preset}, {len(rows)} of {config.training.epochs} epochs; "
        f"go on with: riemod resume {name}"
    )
    columns = list(rows[-1]) if rows else ["epoch"]
    table = _table(title, *columns)
    for row in rows[-10:]:
        _add_row(table, *(_number(row.get(column)) for column in columns))
    return table


def comparison_table(title: str, records: dict[str, dict[str, Any]]) -> Table:
    """Show runs of one task side by side: every metric and reference level, and the sparsity of every tensor.

    Args:
        title: title of the table.
        records: contents of each record.json, by the heading of its column.
    """
    table = _table(title, "", *records, "unit")
    table.columns[0].no_wrap = True
    first = next(iter(records.values()))
    for title, group in (("", "metrics"), ("reference: ", "levels")):
        for key, entry in first[group].items():
            cells = [_number(record[group].get(key, {}).get("value")) for record in records.values()]
            _add_row(table, title + metric_name(key), *cells, _unit(entry["unit"]))
        table.add_section()
    for key in first["sparsity"]:
        shares = [record["sparsity"].get(key) for record in records.values()]
        cells = ["" if share is None else f"{share:.4f}" for share in shares]
        _add_row(table, f"sparsity {key}", *cells, "fraction of zeros")
    _add_row(table, "training time", *(_number(r["wall_time"]["value"]) for r in records.values()), "s")
    return table


def compression_tables(name: str, record: dict[str, Any]) -> list[Table]:
    """Show the layouts that were timed, and what the compression of a run's net changed.

    Args:
        name: name of the run, for the titles.
        record: contents of compression.json.
    """
    layouts = _table(f"{name}: layouts", "part", "layout", "ms", "KiB", "chosen")
    for timing in record["timings"]:
        cells = _number(1e3 * timing["seconds"]), f"{timing['bytes'] / 1024:,.1f}", "yes" if timing["chosen"] else ""
        _add_row(layouts, timing["name"], timing["layout"], *cells)
    changes = _table(f"{name}: before and after compression", "", "before", "after", "unit")
    for key, entry in record["metrics"].items():
        _add_row(changes, metric_name(key), _number(entry["before"]), _number(entry["after"]), _unit(entry["unit"]))
    changes.add_section()
    seconds = record["seconds_a_batch"]
    _add_row(changes, "time of a batch", *(_number(1e3 * seconds[key]) for key in ("before", "after")), "ms")
    for title, key in (("size in memory", "bytes_in_memory"), ("size on disk", "bytes_on_disk")):
        _add_row(changes, title, *(f"{record[key][side] / 1024:,.1f}" for side in ("before", "after")), "KiB")
    changes.add_section()
    for weight, occupancy in record["occupancy"].items():
        for block, share in occupancy.items():
            cells = (f"{share[side]:.4f}" for side in ("before", "after"))
            _add_row(changes, f"{weight}, nonempty {block} x {block} tiles", *cells, "fraction")
    return [layouts, changes]


def analysis_table(name: str, record: dict[str, Any]) -> Table:
    """Show an analysis: verdict and ranks, for navigation position errors, tuning, angles and alignment, and points.

    Args:
        name: name of the run, for the title.
        record: contents of analysis.json.
    """
    title = f"{name}: {record['states']:,} states of {record['units']} units after {record['epochs']} epochs"
    table = _table(title, "", "value", "unit or note")
    verdict = record["verdict"]
    _add_row(table, "manifold of the hidden states", verdict["manifold"], "")
    if "arena" in record:
        arena = record["arena"]
        _add_row(table, f"manifold of the arena ({arena['name']})", arena["manifold"], "")
        _add_row(table, "verdict against the arena", arena["verdict"], "")
    for degree, p in verdict["p_values"].items():
        note = f"from {verdict['nulls'][degree]} nulls, Holm-corrected"
        _add_row(table, f"p-value, degree {degree}", _number(p), note)
    table.add_section()
    for key, rank in record["ranks"].items():
        _add_row(table, key.replace("_", " "), _number(rank), "directions")
    for index, correlation in enumerate(record.get("coordinates", {}).get("correlations") or (), 1):
        _add_row(table, f"circular correlation with true angle {index}", f"{correlation:.3f}", "between 0 and 1")
    if (problem := record.get("coordinates", {}).get("problem")) is not None:
        _add_row(table, "circular coordinates", "not found", problem)
    if "arena" in record:
        _add_navigation(table, record)
    if "points" in record:
        _add_points(table, record["points"])
    return table


def _add_navigation(table: Table, record: dict[str, Any]) -> None:
    table.add_section()
    for key, error in record["position"].items():
        _add_row(table, _POSITION[key], _number(error), "cm")
    tuning = record["tuning"]
    _add_row(
        table, "spatially informative units", f"{tuning['informative']:.3f}", f"fraction, p <= {tuning['level']:g}"
    )
    _add_row(table, "silent units", str(tuning["silent"]), f"of {tuning['units']} units")
    table.add_section()
    alignment = record["alignment"]
    for pair in alignment["pairs"]:
        first, second = (_GEOMETRIES[pair[side]] for side in ("first", "second"))
        note = f"squared distance correlation, p = {_number(pair['p_value'])}"
        _add_row(
            table, f"{first} and {second}, {alignment['units']} units", f"{pair['distance_correlation']:.3f}", note
        )
    if alignment["problem"] is not None:
        _add_row(table, "agreement of geometries", "not computed", alignment["problem"])


def _add_points(table: Table, points: dict[str, Any]) -> None:
    table.add_section()
    kind = "learned points" if points["learned"] else "fixed points"
    _add_row(table, f"{kind}: spread on {points['manifold']}", f"{points['spread']:.3f}", "1 is uniform")
    left_out = f"{points['silent']} silent, {points['unconnected']} without incoming weights"
    _add_row(table, f"{kind}: units left out", left_out, f"of {points['units']} units")
    agreement = points["agreement"]
    for name, test in agreement["with"].items():
        note = f"rank correlation of {agreement['units']} units, Mantel p = {_number(test['p_value'])}"
        _add_row(table, f"{kind} and {_AGREEMENT.get(name, name)}", f"{test['rank_correlation']:.3f}", note)
    if agreement["problem"] is not None:
        _add_row(table, f"{kind}: agreement", "not computed", agreement["problem"])
    neutral = points["neutral"]
    title = f"manifold of the units on {neutral['space']}, by {neutral['of']}"
    if neutral["problem"] is not None:
        _add_row(table, title, "no verdict", neutral["problem"])
        return
    _add_row(table, title, neutral["manifold"], neutral["why"])
    _add_row(table, "reason", "", neutral["reason"])
    for degree, p in neutral["p_values"].items():
        _add_row(table, f"p-value of the units, degree {degree}", _number(p), "Holm-corrected")


def metric_name(key: str) -> str:
    """Return a metric's or reference level's name for a reader; keys without one come back as they are.

    Args:
        key: key of a metric, or a level's key, which begins with that of its metric.

    >>> metric_name("error_top3 of a perfect net")
    'top-3 position error of a perfect net'
    """
    metric, *rest = key.split(" ", 1)
    return " ".join((_METRICS.get(metric, metric), *rest))


def _headline(record: dict[str, Any]) -> str:
    config = record["config"]
    arm = "no regularizer" if config["manifold"] == "none" else config["manifold"]
    if config["manifold"] != "none":
        arm += ", learned" if config["learn"] else ", fixed"
    origin = f", ticket of {record['ticket_of']}" if record["ticket_of"] else ""
    sparsity = f"{100 * record['sparsity']['total']:.4g} % sparse"
    return f"{record['task']}, preset {config['preset']}, {arm}, {sparsity}{origin}"


def _unit(unit: str) -> str:
    """Return the unit for a reader: a record's "1" stands for a number without one."""
    return "" if unit == "1" else unit


def _number(value: float | None) -> str:
    """Return a number as text; nothing for one that is missing."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.{_SIGNIFICANT}g}"


def _table(title: str, *columns: str) -> Table:
    return Table(
        *(Column(_text(column)) for column in columns),
        title=_text(title, style="table.title"),
        title_justify="left",
    )


def _add_row(table: Table, *cells: str) -> None:
    table.add_row(*(_text(cell) for cell in cells))


def _text(content: str, style: str = "") -> Text:
    shown = printable(content[: _LONGEST + 1])
    return Text(shown if len(content) <= _LONGEST else f"{shown[:_LONGEST]}...", style=style)
