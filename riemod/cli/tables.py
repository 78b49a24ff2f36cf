"""Tables of a run's numbers, for the terminal.

Keys of record.json and analysis.json get the names that a reader expects; a key without one is shown as it is.
"""

from statistics import median
from typing import Any

from rich.table import Table
from rich.text import Text

from riemod.cli.cells import add_captions, add_row, new_table, number, plain, unit_of
from riemod.suites.formats import layout
from riemod.suites.tables import SuiteTable
from riemod.tasks import task_class
from riemod.tasks.names import metric_name
from riemod.training.remarks import remarks

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
_OVER = {"angles": "recovered angles", "places": "places", "heading": "head direction"}
_GEOMETRIES = {"tuning": "tuning curves", "weights": "weight graph", "points": "points"}


def record_table(name: str, record: dict[str, Any]) -> Table:
    """Show a finished run: metrics, reference levels to read them against, sparsity by tensor, and its machine.

    Args:
        name: name of the run, for the title.
        record: contents of record.json.
    """
    config, machine = record["config"], record["machine"]
    threads = "1 thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    table = new_table(f"{name}: {_headline(record)}", "", "value", "unit")
    for title, group in (("", record["metrics"]), ("reference: ", record["levels"])):
        for key, entry in group.items():
            add_row(table, title + metric_name(key), number(entry["value"]), unit_of(entry["unit"]))
        table.add_section()
    for key, share in record["sparsity"].items():
        add_row(table, f"sparsity {key}", f"{share:.4f}", "fraction of zeros")
    table.add_section()
    if "strength" in record:
        add_row(table, "strength that was found", number(record["strength"]["value"]), "")
    add_row(table, "parameters", f"{record['parameters']:,}", "weights")
    add_row(table, "training time", number(record["wall_time"]["value"]), record["wall_time"]["unit"])
    add_row(table, "seed", str(config["seed"]), "")
    add_row(table, "torch", record["versions"]["torch"], "")
    add_row(table, "machine", f"{machine['cuda_device'] or machine['architecture']}, {threads}", "")
    add_row(table, "commit", (record["commit"] or "unknown")[:12], "")
    add_captions(table, remarks(record))
    return table


def progress_table(name: str, description: tuple[str, Any, str | None], rows: list[dict[str, Any]]) -> Table:
    """Show the last six epochs of an unfinished run, one column each, and how to resume it.

    Args:
        name: name of the run, for the advice.
        description: task, configuration and origin of the run.
        rows: rows of metrics.jsonl.
    """
    task, config, _ = description
    title, last = f"{task}, preset {config.preset}, {len(rows)} of {config.training.epochs} epochs", rows[-6:]
    table = new_table(title, "epoch", *(str(row["epoch"]) for row in last), "unit")
    for key in (key for key in (rows[-1] if rows else ()) if key != "epoch"):
        metric = key.removeprefix("eval_")
        heading = key.replace("_", " ") if metric == key else f"validation {metric_name(metric)}"
        unit = unit_of(task_class(task).units.get(metric, "")) if metric != key else ""
        add_row(table, heading, *(number(row.get(key)) for row in last), unit)
    table.min_width = 50  # A title is folded at the width of its table.
    add_captions(table, [f"go on with: riemod resume {name}"])
    return table


def comparison_table(title: str, records: dict[str, dict[str, Any]]) -> Table:
    """Show runs of one task side by side: every metric and reference level, and the sparsity of every tensor.

    Args:
        title: title of the table.
        records: contents of each record.json, by the heading of its column.
    """
    table = new_table(title, "", *records, "unit")
    table.columns[0].no_wrap = True
    first = next(iter(records.values()))
    for title, group in (("", "metrics"), ("reference: ", "levels")):
        for key, entry in first[group].items():
            cells = [number(record[group].get(key, {}).get("value")) for record in records.values()]
            add_row(table, title + metric_name(key), *cells, unit_of(entry["unit"]))
        table.add_section()
    for key in first["sparsity"]:
        shares = [record["sparsity"].get(key) for record in records.values()]
        cells = ["" if share is None else f"{share:.4f}" for share in shares]
        add_row(table, f"sparsity {key}", *cells, "fraction of zeros")
    add_row(table, "training time", *(number(r["wall_time"]["value"]) for r in records.values()), "s")
    return table


def compression_tables(name: str, record: dict[str, Any]) -> list[Table]:
    """Show the layouts that were timed, and what the compression of a run's net changed.

    Args:
        name: name of the run, for the titles.
        record: contents of compression.json.
    """
    layouts = new_table(f"{name}: layouts", "part", "layout", "ms", "KiB", "chosen")
    for timing in record["timings"]:
        cells = number(1e3 * timing["seconds"]), f"{timing['bytes'] / 1024:,.1f}", "yes" if timing["chosen"] else ""
        add_row(layouts, timing["name"], timing["layout"], *cells)
    changes = new_table(f"{name}: before and after compression", "", "before", "after", "unit")
    for key, entry in record["metrics"].items():
        add_row(changes, metric_name(key), number(entry["before"]), number(entry["after"]), unit_of(entry["unit"]))
    changes.add_section()
    seconds = record["seconds_a_batch"]
    add_row(changes, "time of a batch", *(number(1e3 * seconds[key]) for key in ("before", "after")), "ms")
    for title, key in (("size in memory", "bytes_in_memory"), ("size on disk", "bytes_on_disk")):
        add_row(changes, title, *(f"{record[key][side] / 1024:,.1f}" for side in ("before", "after")), "KiB")
    changes.add_section()
    for weight, occupancy in record["occupancy"].items():
        for block, share in occupancy.items():
            cells = (f"{share[side]:.4f}" for side in ("before", "after"))
            add_row(changes, f"{weight}, nonempty {block} x {block} tiles", *cells, "fraction")
    return [layouts, changes]


def compression_notes(record: dict[str, Any]) -> list[str]:
    """Return what did not get better by a compression, and why.

    Args:
        record: contents of compression.json.
    """
    lines, sparsity = [], record["sparsity"]["total"]
    chosen = [timing for timing in record["timings"] if timing["chosen"]]
    # Of a net without zeros a warning of riemod.sparse speaks.
    if sparsity > 0 and chosen and all(timing["layout"] == "dense" for timing in chosen):
        lines.append(
            f"all layers stay dense, for no sparse layout is faster here at {100 * sparsity:.3g} % sparsity; "
            "larger layers, a higher sparsity or training with --blocks 32 may change that"
        )
    disk = record["bytes_on_disk"]
    if disk["after"] >= disk["before"]:
        lines.append(f"the file did not get smaller: {disk['before']:,} bytes before, {disk['after']:,} after")
    return lines


def analysis_table(name: str, record: dict[str, Any]) -> Table:
    """Show an analysis: verdict and ranks, for navigation position errors, tuning, angles and alignment, and points.

    Args:
        name: name of the run, for the title.
        record: contents of analysis.json.
    """
    title = f"{name}: {record['states']:,} states of {record['units']} units after {record['epochs']} epochs"
    table = new_table(title, "", "value", "unit or note")
    verdict = record["verdict"]
    add_row(table, "manifold of the hidden states", verdict["manifold"], "")
    if "arena" in record:
        arena = record["arena"]
        add_row(table, f"manifold of the arena ({arena['name']})", arena["manifold"], "")
        add_row(table, "verdict against the arena", arena["verdict"], "")
    for degree, p in verdict["p_values"].items():
        note = f"from {verdict['nulls'][degree]} nulls, Holm-corrected"
        add_row(table, f"p-value, degree {degree}", number(p), note)
    table.add_section()
    for key, rank in record["ranks"].items():
        add_row(table, key.replace("_", " "), number(rank), "directions")
    for index, correlation in enumerate(record.get("coordinates", {}).get("correlations") or (), 1):
        add_row(table, f"circular correlation with true angle {index}", f"{correlation:.3f}", "between 0 and 1")
    if (problem := record.get("coordinates", {}).get("problem")) is not None:
        add_row(table, "circular coordinates", "not found", problem)
    if "arena" in record:
        _add_navigation(table, record)
    if "points" in record:
        _add_points(table, record["points"])
    return table


def recording_table(name: str, record: dict[str, Any]) -> Table:
    """Show an analysis of a recording: verdict, p-values, what was left out, coordinates and tuning.

    Args:
        name: of the recording, for the title.
        record: contents of analysis.json.
    """
    tally, verdict = record["preparation"]["tally"], record["verdict"]
    title = f"{name}: {tally['points']:,} points of {tally['units_used']} units, {tally['seconds']:,.4g} s recorded"
    table = new_table(title, "", "value", "unit or note")
    add_row(table, "manifold of the population", verdict["manifold"], "")
    for part in record.get("parts", ()):
        what = "units that share coordinates" if part["module"] else "other units"
        if part["spacing"] is not None:
            what = f"grid cells, spacing {part['spacing']:.2f} m"
        found = "none" if part["verdict"] is None else part["verdict"]["manifold"]
        add_row(table, f"manifold of {len(part['units'])} {what}", found, part["problem"] or "")
    for degree, p in verdict["p_values"].items():
        note = f"from {verdict['nulls'][degree]} nulls, Holm-corrected"
        add_row(table, f"p-value, degree {degree}", number(p), note)
    for index, correlation in enumerate(record.get("coordinates", {}).get("correlations") or (), 1):
        note = "between 0 and 1, in time that was not fitted"
        add_row(table, f"circular correlation of angle {index} with head direction", f"{correlation:.3f}", note)
    if (problem := record.get("coordinates", {}).get("problem")) is not None:
        add_row(table, "circular coordinates", "not found", problem)
    table.add_section()
    for title, key, note in (
        ("units used", "units_used", f"of {tally['units']}"),
        ("silent units", "silent", "left out"),
        ("bursting units", "bursting", "left out"),
        ("untracked bins", "untracked", f"of {tally['bins']:,}, left out"),
        ("slow bins", "slow", "left out"),
        ("bins over the budget", "over_budget", "left out, evenly in time"),
        ("bins off the manifold", "outlying", "left out"),
        ("bins not drawn", "not_drawn", "left out, at random"),
    ):
        add_row(table, title, f"{tally[key]:,}", note)
    table.add_section()
    _add_torus(table, record.get("torus", {}), tally["units_used"])
    for over, entry in record["tuning"].items():
        bits = [value for value in entry["bits_per_spike"] if value is not None]
        if bits:
            add_row(table, f"information on {_OVER[over]}, median unit", f"{median(bits):.3f}", "bits/spike")
    return table


def _add_torus(table: Table, torus: dict[str, Any], units: int) -> None:
    """Add what the two angles of a torus say of the arena, if there are two."""
    if torus.get("problem") is not None:
        add_row(table, "angles in the arena", "not aligned", torus["problem"])
        return
    if not torus:
        return
    axes = torus["axes"]
    spacings = " and ".join(number(one) for one in axes["spacings"])
    note = f"m between fields along two axes, whose waves are {axes['between']:.0f} degrees apart"
    add_row(table, f"{axes['lattice']} lattice in the arena", spacings, note)
    for name, error in torus["decoding"].items():
        add_row(table, f"error of places modulo the lattice, {name.replace('_', ' ')}", number(error), "m")
    if "tuning" in torus:
        note = f"of {units}, by held-out likelihood"
        add_row(table, "units tuned to the torus more than to the arena", str(torus["tuning"]["units_on_torus"]), note)
    table.add_section()


def _add_navigation(table: Table, record: dict[str, Any]) -> None:
    table.add_section()
    for key, error in record["position"].items():
        add_row(table, _POSITION[key], number(error), "cm")
    tuning = record["tuning"]
    add_row(table, "spatially informative units", f"{tuning['informative']:.3f}", f"fraction, p <= {tuning['level']:g}")
    add_row(table, "silent units", str(tuning["silent"]), f"of {tuning['units']} units")
    table.add_section()
    alignment = record["alignment"]
    for pair in alignment["pairs"]:
        first, second = (_GEOMETRIES[pair[side]] for side in ("first", "second"))
        note = f"squared distance correlation, p = {number(pair['p_value'])}"
        add_row(table, f"{first} and {second}, {alignment['units']} units", f"{pair['distance_correlation']:.3f}", note)
    if alignment["problem"] is not None:
        add_row(table, "agreement of geometries", "not computed", alignment["problem"])


def _add_points(table: Table, points: dict[str, Any]) -> None:
    table.add_section()
    kind = "learned points" if points["learned"] else "fixed points"
    add_row(table, f"{kind}: spread on {points['manifold']}", f"{points['spread']:.3f}", "1 is uniform")
    left_out = f"{points['silent']} silent, {points['unconnected']} without incoming weights"
    add_row(table, f"{kind}: units left out", left_out, f"of {points['units']} units")
    agreement = points["agreement"]
    for name, test in agreement["with"].items():
        note = f"rank correlation of {agreement['units']} units, Mantel p = {number(test['p_value'])}"
        add_row(table, f"{kind} and {_AGREEMENT.get(name, name)}", f"{test['rank_correlation']:.3f}", note)
    if agreement["problem"] is not None:
        add_row(table, f"{kind}: agreement", "not computed", agreement["problem"])
    neutral = points["neutral"]
    title = f"manifold of the units on {neutral['space']}, by {neutral['of']}"
    if neutral["problem"] is not None:
        add_row(table, title, "no verdict", neutral["problem"])
        return
    add_row(table, title, neutral["manifold"], neutral["why"])
    add_row(table, "reason", "", neutral["reason"])
    for degree, p in neutral["p_values"].items():
        add_row(table, f"p-value of the units, degree {degree}", number(p), "Holm-corrected")


def suite_lines(suite: SuiteTable, name: str) -> list[Table | Text]:
    """Show one metric of a suite: a table of its cells, comparisons and the paper's numbers, and its notes.

    Args:
        suite: the table.
        name: of the suite and its preset, for the title.
    """
    header, lines, reasons = layout(suite)
    table = new_table(f"{name}: {suite.title}", *header)
    for line in lines:
        add_row(table, *line)
    return [table, *(plain(note) for note in (*reasons, *suite.notes))]


def _headline(record: dict[str, Any]) -> str:
    config = record["config"]
    arm = "no regularizer" if config["manifold"] == "none" else config["manifold"]
    if config["manifold"] != "none":
        arm += ", learned" if config["learn"] else ", fixed"
    origin = f", ticket of {record['ticket_of']}" if record["ticket_of"] else ""
    sparsity = f"{100 * record['sparsity']['total']:.4g} % sparse"
    return f"{record['task']}, preset {config['preset']}, {arm}, {sparsity}{origin}"
