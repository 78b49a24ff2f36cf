"""Tables of runs for the terminal: records, comparisons, compression and analysis."""

from typing import Any

from rich.table import Table

_SIGNIFICANT = 4
# In a narrow terminal names wrap and numbers stay whole.
_NARROWEST = 9
# What the names in a record leave open.
_UNITS = {"beyond_10_cm": "fraction of errors >= 10 cm", "beyond_50_cm": "fraction of errors >= 50 cm"}
_POSITION = {
    "readout": "position error of the net's readout",
    "nearest_state": "position error of the nearest state",
    "nearest_position": "lower bound of that: the nearest position",
    "chance": "position error of a random position",
}
_GROUPS = {"metrics": "metrics", "levels": "for comparison"}
_MATCH = {"right": "yes", "wrong": "no"}


def record_table(name: str, record: dict[str, Any]) -> Table:
    """Tabulate a finished run: metrics, values to compare them with, sparsity of each tensor, and the machine.

    Args:
        name: of the run, for the title.
        record: as in record.json.

    Returns:
        The table.
    """
    config, machine = record["config"], record["machine"]
    table = Table("", "value", "unit", title=f"{name}: {_headline(record)}", title_justify="left")
    for group, heading in _GROUPS.items():
        table.add_row(heading)
        for key, entry in record[group].items():
            table.add_row(f"  {key}", _number(entry["value"]), _unit(key, entry["unit"]))
        table.add_section()
    table.add_row("sparsity")
    for key, share in record["sparsity"].items():
        table.add_row(f"  {key}", f"{share:.4f}", "fraction of zeros")
    table.add_section()
    table.add_row("parameters", f"{record['parameters']:,}", "weights")
    table.add_row("training time", _number(record["wall_time"]["value"]), record["wall_time"]["unit"])
    table.add_row("seed", str(config["seed"]), "")
    table.add_row("torch", record["versions"]["torch"], "")
    table.add_row("machine", f"{machine['cuda_device'] or machine['architecture']}, {machine['threads']} threads", "")
    table.add_row("commit", (record["commit"] or "unknown")[:12], "")
    return table


def progress_table(name: str, description: tuple[str, Any, str | None], rows: list[dict[str, Any]]) -> Table:
    """Tabulate the last ten epochs of a run that is not finished.

    Args:
        name: of the run, for the title.
        description: its task, configuration and origin.
        rows: of metrics.jsonl.

    Returns:
        The table.
    """
    task, config, _ = description
    title = (
        f"{name}: {task}, preset {config.preset}, {len(rows)} of {config.training.epochs} epochs: riemod resume {name}"
    )
    columns = list(rows[-1]) if rows else ["epoch"]
    table = Table(*columns, title=title, title_justify="left")
    for row in rows[-10:]:
        table.add_row(*(_number(row[column]) for column in columns))
    return table


def comparison_table(title: str, records: dict[str, dict[str, Any]]) -> Table:
    """Tabulate runs of one task side by side: metrics, values to compare them with, and sparsity of each tensor.

    Args:
        title: of the table.
        records: as in record.json, by the name of their column.

    Returns:
        The table.
    """
    table = Table("", *records, "unit", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.min_width = _NARROWEST
    first = next(iter(records.values()))
    for group, heading in _GROUPS.items():
        table.add_row(heading)
        for key, entry in first[group].items():
            cells = [_number(record[group][key]["value"]) for record in records.values()]
            table.add_row(f"  {key}", *cells, _unit(key, entry["unit"]))
        table.add_section()
    table.add_row("sparsity")
    for key in first["sparsity"]:
        cells = [f"{record['sparsity'][key]:.4f}" for record in records.values()]
        table.add_row(f"  {key}", *cells, "fraction of zeros")
    table.add_section()
    table.add_row("training time", *(_number(r["wall_time"]["value"]) for r in records.values()), "s")
    return table


def compression_tables(name: str, record: dict[str, Any]) -> list[Table]:
    """Tabulate the layouts that were timed, and what compressing a run's net changed.

    Args:
        name: of the run, for the titles.
        record: as in compression.json.

    Returns:
        The table of layouts, then that of changes.
    """
    title = f"{name}: layouts that were timed"
    layouts = Table("", "layout", "time, ms", "size, KiB", "chosen", title=title, title_justify="left")
    for timing in record["timings"]:
        cells = _number(1e3 * timing["seconds"]), f"{timing['bytes'] / 1024:,.1f}", "yes" if timing["chosen"] else ""
        layouts.add_row(timing["name"], timing["layout"], *cells)
    changes = Table("", "before", "after", "unit", title=f"{name}: before and after compression", title_justify="left")
    for key, entry in record["metrics"].items():
        changes.add_row(key, _number(entry["before"]), _number(entry["after"]), _unit(key, entry["unit"]))
    changes.add_section()
    seconds = record["seconds_a_batch"]
    changes.add_row("time of a batch", *(_number(1e3 * seconds[key]) for key in ("before", "after")), "ms")
    for title, key in (("size in memory", "bytes_in_memory"), ("size on disk", "bytes_on_disk")):
        changes.add_row(title, *(f"{record[key][side] / 1024:,.1f}" for side in ("before", "after")), "KiB")
    changes.add_section()
    for weight, occupancy in record["occupancy"].items():
        for block, share in occupancy.items():
            cells = (f"{share[side]:.4f}" for side in ("before", "after"))
            changes.add_row(f"{weight}, {block} x {block} tiles", *cells, "fraction not empty")
    return [layouts, changes]


def analysis_table(name: str, record: dict[str, Any]) -> Table:
    """Tabulate an analysis: verdict and ranks; for navigation also position errors, tuning, angles and alignment.

    Args:
        name: of the run, for the title.
        record: as in analysis.json.

    Returns:
        The table.
    """
    title = f"{name}: {record['states']:,} states of {record['units']} units after {record['epochs']} epochs"
    table = Table("", "value", "unit or note", title=title, title_justify="left")
    verdict = record["verdict"]
    table.add_row("manifold of the hidden states", verdict["manifold"], "")
    if "arena" in record:
        arena = record["arena"]
        table.add_row("manifold of the arena", arena["manifold"], f"arena {arena['name']}")
        table.add_row("the same manifold", _MATCH.get(arena["verdict"], arena["verdict"]), "")
    for degree, p in verdict["p_values"].items():
        table.add_row(f"p-value, degree {degree}", _number(p), f"from {verdict['nulls'][degree]} nulls, corrected")
    table.add_section()
    for key, rank in record["ranks"].items():
        table.add_row(key.replace("_", " "), _number(rank), "directions")
    for index, correlation in enumerate(record.get("coordinates", {}).get("correlations") or (), 1):
        table.add_row(f"circular correlation with true angle {index}", f"{correlation:.3f}", "0 to 1")
    if (problem := record.get("coordinates", {}).get("problem")) is not None:
        table.add_row("circular coordinates", "none", problem)
    if "arena" not in record:
        return table
    table.add_section()
    for key, error in record["position"].items():
        table.add_row(_POSITION[key], _number(error), "cm")
    tuning = record["tuning"]
    limit = f"fraction with p <= {tuning['level']:g}"
    table.add_row("spatially informative units", f"{tuning['informative']:.3f}", limit)
    table.add_row("silent units", str(tuning["silent"]), f"of {tuning['units']} units")
    table.add_section()
    alignment = record["alignment"]
    for pair in alignment["pairs"]:
        note = f"squared distance correlation, p = {_number(pair['p_value'])}"
        units = f"{pair['first']} and {pair['second']}, {alignment['units']} units"
        table.add_row(units, f"{pair['distance_correlation']:.3f}", note)
    if alignment["problem"] is not None:
        table.add_row("alignment", "none", alignment["problem"])
    return table


def _headline(record: dict[str, Any]) -> str:
    config = record["config"]
    arm = "no regularizer" if config["manifold"] == "none" else config["manifold"]
    if config["manifold"] != "none":
        arm += ", learned" if config["learn"] else ", fixed"
    origin = f", ticket of {record['ticket_of']}" if record["ticket_of"] else ""
    sparsity = f"{100 * record['sparsity']['total']:.4g} % sparse"
    return f"{record['task']}, preset {config['preset']}, {arm}, {sparsity}{origin}"


def _unit(key: str, unit: str) -> str:
    """Return the unit to print: nothing for numbers without one, and more than "fraction" where the name is terse."""
    return _UNITS.get(key, "" if unit == "1" else unit)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.{_SIGNIFICANT}g}"
