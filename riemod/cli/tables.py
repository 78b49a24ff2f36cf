"""A run's numbers as tables, for the terminal.

Names, units and titles come from files that anyone may have changed: they are shown as they are, without the markup and
the control characters that a terminal would act on.
"""

from typing import Any

from rich.table import Column, Table
from rich.text import Text

from riemod._untrusted import printable

_SIGNIFICANT = 4
_LONGEST = 500
_POSITION = {
    "readout": "position error, the net's readout",
    "nearest_state": "position error, by the nearest state",
    "nearest_position": "position error, at least",
    "chance": "position error, by chance",
}


def record_table(name: str, record: dict[str, Any]) -> Table:
    """One finished run: metrics and the levels to read them against, sparsity by tensor, and where it was trained.

    Args:
        name: of the run, for the title.
        record: as in record.json.
    """
    config, machine = record["config"], record["machine"]
    table = _table(f"{name}: {_headline(record)}", "", "value", "unit")
    for title, group in (("metric", record["metrics"]), ("level", record["levels"])):
        for key, entry in group.items():
            _add_row(table, f"{title} {key}", _number(entry["value"]), entry["unit"])
        table.add_section()
    for key, share in record["sparsity"].items():
        _add_row(table, f"sparsity {key}", f"{share:.4f}", "fraction of zeros")
    table.add_section()
    _add_row(table, "parameters", f"{record['parameters']:,}", "weights")
    _add_row(table, "training time", _number(record["wall_time"]["value"]), record["wall_time"]["unit"])
    _add_row(table, "seed", str(config["seed"]), "")
    _add_row(table, "torch", record["versions"]["torch"], "")
    _add_row(table, "machine", f"{machine['cuda_device'] or machine['architecture']}, {machine['threads']} threads", "")
    _add_row(table, "commit", (record["commit"] or "unknown")[:12], "")
    return table


def progress_table(name: str, description: tuple[str, Any, str | None], rows: list[dict[str, Any]]) -> Table:
    """A run that is not finished: its last epochs.

    Args:
        name: of the run, for the title.
        description: its task, config and origin.
        rows: of metrics.jsonl.
    """
    task, config, _ = description
    title = (
        f"{name}: {task}, preset {config.preset}, {len(rows)} of {config.training.epochs} epochs: riemod resume {name}"
    )
    columns = list(rows[-1]) if rows else ["epoch"]
    table = _table(title, *columns)
    for row in rows[-10:]:
        _add_row(table, *(_number(row.get(column)) for column in columns))
    return table


def comparison_table(title: str, records: dict[str, dict[str, Any]]) -> Table:
    """Runs of one task side by side: every metric and level, and the sparsity of every tensor.

    Args:
        title: of the table.
        records: by the name of their column.
    """
    table = _table(title, "", *records, "unit")
    table.columns[0].no_wrap = True
    first = next(iter(records.values()))
    for group in ("metrics", "levels"):
        for key, entry in first[group].items():
            cells = [_number(record[group].get(key, {}).get("value")) for record in records.values()]
            _add_row(table, key, *cells, entry["unit"])
        table.add_section()
    for key in first["sparsity"]:
        shares = [record["sparsity"].get(key) for record in records.values()]
        cells = ["" if share is None else f"{share:.4f}" for share in shares]
        _add_row(table, f"sparsity {key}", *cells, "fraction of zeros")
    _add_row(table, "training time", *(_number(r["wall_time"]["value"]) for r in records.values()), "s")
    return table


def compression_tables(name: str, record: dict[str, Any]) -> list[Table]:
    """What compressing a run's net changed, and the layouts that it was chosen from.

    Args:
        name: of the run, for the titles.
        record: as in compression.json.
    """
    layouts = _table(f"{name}: layouts", "", "layout", "ms", "KiB", "taken")
    for timing in record["timings"]:
        cells = _number(1e3 * timing["seconds"]), f"{timing['bytes'] / 1024:,.1f}", "yes" if timing["chosen"] else ""
        _add_row(layouts, timing["name"], timing["layout"], *cells)
    changes = _table(f"{name}: compressed", "", "before", "after", "unit")
    for key, entry in record["metrics"].items():
        _add_row(changes, key, _number(entry["before"]), _number(entry["after"]), entry["unit"])
    changes.add_section()
    seconds = record["seconds_a_batch"]
    _add_row(changes, "a batch", *(_number(1e3 * seconds[key]) for key in ("before", "after")), "ms")
    for title, key in (("in memory", "bytes_in_memory"), ("on disk", "bytes_on_disk")):
        _add_row(changes, title, *(f"{record[key][side] / 1024:,.1f}" for side in ("before", "after")), "KiB")
    changes.add_section()
    for weight, occupancy in record["occupancy"].items():
        for block, share in occupancy.items():
            cells = (f"{share[side]:.4f}" for side in ("before", "after"))
            _add_row(changes, f"{weight}, {block} x {block} tiles", *cells, "share not empty")
    return [layouts, changes]


def analysis_table(name: str, record: dict[str, Any]) -> Table:
    """What an analysis found beside its verdict: ranks, and for navigation the position, tuning, angles and alignment.

    Args:
        name: of the run, for the title.
        record: as in analysis.json.
    """
    title = f"{name}: {record['states']:,} states of {record['units']} units after {record['epochs']} epochs"
    table = _table(title, "", "value", "unit")
    verdict = record["verdict"]
    _add_row(table, "manifold of the hidden states", verdict["manifold"], "")
    if "arena" in record:
        arena = record["arena"]
        _add_row(table, f"manifold of the arena, {arena['name']}", arena["manifold"], f"verdict: {arena['verdict']}")
    for degree, p in verdict["p_values"].items():
        _add_row(table, f"p-value, degree {degree}", _number(p), f"of {verdict['nulls'][degree]} nulls, corrected")
    table.add_section()
    for key, rank in record["ranks"].items():
        _add_row(table, key.replace("_", " "), _number(rank), "directions")
    for index, correlation in enumerate(record.get("coordinates", {}).get("correlations") or (), 1):
        _add_row(table, f"circular correlation with true angle {index}", f"{correlation:.3f}", "0 to 1")
    if (problem := record.get("coordinates", {}).get("problem")) is not None:
        _add_row(table, "circular coordinates", "none", problem)
    if "arena" not in record:
        return table
    table.add_section()
    for key, error in record["position"].items():
        _add_row(table, _POSITION[key], _number(error), "cm")
    tuning = record["tuning"]
    _add_row(table, "spatially informative units", f"{tuning['informative']:.3f}", f"share, p <= {tuning['level']:g}")
    _add_row(table, "silent units", str(tuning["silent"]), f"of {tuning['units']}")
    table.add_section()
    alignment = record["alignment"]
    for pair in alignment["pairs"]:
        value, p = f"{pair['distance_correlation']:.3f}", f"distance correlation, p = {_number(pair['p_value'])}"
        _add_row(table, f"{pair['first']} and {pair['second']}, {alignment['units']} units", value, p)
    if alignment["problem"] is not None:
        _add_row(table, "alignment", "none", alignment["problem"])
    return table


def _headline(record: dict[str, Any]) -> str:
    config = record["config"]
    arm = "no regularizer" if config["manifold"] == "none" else config["manifold"]
    if config["manifold"] != "none":
        arm += ", learned" if config["learn"] else ", fixed"
    origin = f", ticket of {record['ticket_of']}" if record["ticket_of"] else ""
    sparsity = f"{100 * record['sparsity']['total']:.4g} % sparse"
    return f"{record['task']}, preset {config['preset']}, {arm}, {sparsity}{origin}"


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
