"""The first screen of a page: of each run the verdict, errors beside levels to compare with, zeros, speed; tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from riemod.report.facts import Facts
from riemod.report.levels import levels_of
from riemod.report.style import RUNS, RunStyle
from riemod.report.text import MISSING, amount, count, duration, p_value, percent, value
from riemod.tasks import task_class
from riemod.tasks.names import explained, metric_name

__all__ = ["Bar", "Card", "Group", "Speed", "card_of", "environment_of", "numbers_of", "options_of"]

# Beside a level that is further away, no bar would show how a net differs from the others.
_FAR = 4.0
_EXPLAINED = {
    "contractible": "That is a shape without holes, such as a disc or a ball.",
    "undecided": "Nothing that is known fits well enough; the reason is below.",
}


class Bar(NamedTuple):
    """Holds an error, and how long its bar is beside the others."""

    label: str
    text: str
    share: float
    """Of the longest bar, from 0 to 1."""
    is_net: bool


class Speed(NamedTuple):
    """Holds how fast something is."""

    name: str
    text: str
    """The number with its unit."""
    phrase: str
    """What follows the number in a sentence."""


@dataclass(frozen=True)
class Card:
    """Holds what a reader wants to know of a run first."""

    name: str
    style: RunStyle
    about: str
    state: str
    verdict: str | None
    """The manifold of the hidden states; None if the run was not analyzed."""
    verdict_notes: list[str]
    metric: str
    explained: str
    """What the metric measures."""
    bars: list[Bar]
    zeros: float | None
    speed: list[Speed]


class Group(NamedTuple):
    """Holds rows of a table that belong together."""

    title: str
    rows: list[tuple[str, list[str], bool]]
    """Name, one text a run, and whether these differ."""


@dataclass
class _Rows:
    rows: list[tuple[str, list[str], bool]] = field(default_factory=list)

    def add(self, name: str, cells: Sequence[str]) -> None:
        """Add a row, unless no run has anything in it."""
        if any(cell != MISSING for cell in cells):
            self.rows.append((name, list(cells), len(set(cells)) > 1))


def card_of(run: Facts, index: int) -> Card:
    """Return the card of a run.

    Args:
        run: what is known of it.
        index: of the run on the page.
    """
    config, (done, total) = run.config, run.epochs
    penalized = "no moduli penalty"
    if config["manifold"] != "none":
        penalized = f"points on {config['manifold']}, {'learned' if config['learn'] else 'fixed'}"
    origin = [f"ticket of {run.description.ticket_of}"] if run.description.ticket_of else []
    about = ", ".join(
        [run.description.task, f"preset {config['preset']}", penalized, f"seed {config['seed']}", *origin]
    )
    return Card(
        run.name,
        RUNS[index],
        about,
        f"{done} of {total} epochs" + ("" if run.record is not None else ", not finished"),
        *_verdict(run),
        *_error(run),
        run.record["sparsity"]["total"]
        if run.record is not None
        else run.rows[-1].get("sparsity")
        if run.rows
        else None,
        _speed(run),
    )


def numbers_of(runs: Sequence[Facts]) -> list[Group]:
    """Return all numbers of some runs, side by side: metrics, levels, zeros of each tensor, analysis, and speed.

    Args:
        runs: of the page.
    """
    records = [run.record or {} for run in runs]
    groups = []
    for title, part in (("Metrics on fresh data", "metrics"), ("Levels to compare with", "levels")):
        rows = _Rows()
        for key in _keys(record.get(part, {}) for record in records):
            entries = [record.get(part, {}).get(key) for record in records]
            rows.add(
                metric_name(key), [MISSING if one is None else amount(one["value"], one["unit"], 4) for one in entries]
            )
        groups.append(Group(title, rows.rows))
    rows = _Rows()
    for key in _keys(record.get("sparsity", {}) for record in records):
        rows.add(
            "all weights" if key == "total" else key, [percent(one.get("sparsity", {}).get(key)) for one in records]
        )
    groups.append(Group("Zeros among the weights", rows.rows))
    groups.append(Group("Analysis", _analysis_rows(runs)))
    rows = _Rows()
    rows.add("parameters", [count(record["parameters"]) if record else MISSING for record in records])
    speeds = [{speed.name: speed.text for speed in _speed(run)} for run in runs]
    for what in _keys(speeds):
        rows.add(what, [speed.get(what, MISSING) for speed in speeds])
    groups.append(Group("Size and speed", rows.rows))
    return [group for group in groups if group.rows]


def options_of(runs: Sequence[Facts]) -> list[Group]:
    """Return the configurations of some runs, option by option; those that differ come first.

    Args:
        runs: of the page.
    """
    rows, configs = _Rows(), [run.config for run in runs]
    rows.add("task", [run.description.task for run in runs])
    for key in _keys(configs):
        rows.add(
            f"--{key.replace('_', '-')}", [_option(config[key]) if key in config else MISSING for config in configs]
        )
    differ = [row for row in rows.rows if row[2]]
    same = [row for row in rows.rows if not row[2]]
    title = "All options" if len(runs) == 1 else "The same in all runs"
    return [group for group in (Group("Where the runs differ", differ), Group(title, same)) if group.rows]


def environment_of(runs: Sequence[Facts]) -> list[Group]:
    """Return where some runs were trained: versions, commit and machine.

    Args:
        runs: of the page.
    """
    records = [run.record or {} for run in runs]
    rows = _Rows()
    for key in _keys(record.get("versions", {}) for record in records):
        rows.add(key, [str(record.get("versions", {}).get(key, MISSING)) for record in records])
    rows.add("commit", [str(record.get("commit") or MISSING)[:12] for record in records])
    for key in _keys(record.get("machine", {}) for record in records):
        rows.add(key.replace("_", " "), [str(record.get("machine", {}).get(key) or MISSING) for record in records])
    rows.add("folder", [run.place for run in runs])
    return [Group("Where the runs were trained", rows.rows)]


def _verdict(run: Facts) -> tuple[str | None, list[str]]:
    if run.analysis is None:
        return None, []
    record = run.analysis.record
    verdict, arena = record["verdict"], record.get("arena")
    notes = [_EXPLAINED[verdict["manifold"]]] if verdict["manifold"] in _EXPLAINED else []
    if arena:
        notes.append("The arena is one too." if arena["verdict"] == "right" else f"The arena is: {arena['manifold']}.")
    named = {"1": "loops", "2": "voids"}
    tests = [f"{named.get(degree, degree)} p = {p_value(p)}" for degree, p in verdict["p_values"].items()]
    return verdict["manifold"], [*notes, f"Against data without holes: {', '.join(tests)}."]


def _error(run: Facts) -> tuple[str, str, list[Bar]]:
    """Return the task's main metric, what it measures, and the bars of the net and of what it can be compared with."""
    task = task_class(run.description.task)
    key, unit = task.primary_metric, task.units[task.primary_metric]
    found: list[tuple[str, float, bool]] = []
    if run.record is not None:
        metric = run.record["metrics"].get(key)
        found += [] if metric is None else [("this net", metric["value"], True)]
        found += [(level.who, level.value, False) for level in levels_of(run.record, key)]
    elif run.rows and f"eval_{key}" in run.rows[-1]:
        found.append(("this net so far", run.rows[-1][f"eval_{key}"], True))
    near = _FAR * max((number for _, number, is_net in found if is_net), default=0.0)
    found = [entry for entry in found if entry[1] <= near] or found
    longest = max((number for _, number, _ in found), default=0.0)
    bars = [Bar(label, amount(number, unit), number / longest if longest else 0.0, net) for label, number, net in found]
    return metric_name(key), explained(key), bars


def _speed(run: Facts) -> list[Speed]:
    found = []
    if run.record is not None:
        seconds, steps = run.record["wall_time"]["value"], run.description.config.training.steps
        found.append(Speed("training time", duration(seconds), "to train"))
        if seconds > 0:
            found.append(Speed("training steps", f"{value(steps / seconds)} per second", "of training steps"))
    if run.compression is not None:
        times, sizes = run.compression["seconds_a_batch"], run.compression["bytes_on_disk"]
        if times["after"] > 0:
            faster = f"{times['before'] / times['after']:.2f} times as fast"
            found.append(Speed("forward pass, once compressed", faster, "once compressed"))
            both = f"{duration(times['before'])} → {duration(times['after'])}"
            found.append(Speed("forward pass of a batch, before and after", both, "a batch"))
        if sizes["before"] > 0:
            share = percent(sizes["after"] / sizes["before"])
            found.append(Speed("size on disk, once compressed", f"{share} of before", "of the size on disk"))
    return found


def _analysis_rows(runs: Sequence[Facts]) -> list[tuple[str, list[str], bool]]:
    rows = _Rows()
    records = [{} if run.analysis is None else run.analysis.record for run in runs]

    def each(read: Callable[[dict[str, Any]], str | None]) -> list[str]:
        return [read(record) or MISSING if record else MISSING for record in records]

    rows.add("manifold of the hidden states", each(lambda record: record["verdict"]["manifold"]))
    rows.add("manifold of the arena", each(lambda record: record.get("arena", {}).get("manifold")))
    for degree, name in (("1", "loops"), ("2", "voids")):
        rows.add(f"p-value of {name}", each(lambda record, d=degree: p_value(record["verdict"]["p_values"].get(d))))
    rows.add("states analyzed", each(lambda record: count(record["states"])))
    rows.add("units that tell the place", each(lambda record: percent(record.get("tuning", {}).get("informative"))))
    rows.add(
        "position error, read from the nearest state",
        each(lambda record: amount(record.get("position", {}).get("nearest_state"), "cm")),
    )
    rows.add("spread of the points (1 is uniform)", each(lambda record: value(record.get("points", {}).get("spread"))))
    for name in ("tuning", "preferred places", "weights"):
        rows.add(
            f"agreement of points and {name}, rank correlation", each(lambda record, n=name: _agreement(record, n))
        )
    return rows.rows


def _agreement(record: dict[str, Any], name: str) -> str | None:
    test = record.get("points", {}).get("agreement", {}).get("with", {}).get(name)
    if not isinstance(test, dict):
        return None
    return f"{value(test.get('rank_correlation'))} (p = {p_value(test.get('p_value'))})"


def _option(setting: Any) -> str:
    if setting is None or isinstance(setting, bool):
        return {None: "none", True: "yes", False: "no"}[setting]
    return f"{setting:g}" if isinstance(setting, float) else str(setting)


def _keys(mappings: Any) -> list[str]:
    """Return the keys of several mappings, each once, in order."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))
