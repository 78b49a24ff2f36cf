"""Curves of training: one figure for each number that epochs have, with all runs in it."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from plotly import graph_objects as go

from riemod.report.facts import Facts
from riemod.report.levels import levels_of
from riemod.report.style import REFERENCE, RUNS
from riemod.report.text import amount, unit_of
from riemod.tasks import task_class
from riemod.tasks.names import explained, metric_name

__all__ = ["Curve", "curves_of"]

_TRAINED = {"loss": "train_loss"}
_PLAIN = {
    "penalty": ("moduli penalty", "what distance costs, as the loss counts it"),
    "sparsity": ("zeros among the weights", "share of the weights that were pruned"),
    "learning_rate": ("learning rate", ""),
}
# A reference level that is further up would press the curves together.
_FAR = 1.5


class Curve(NamedTuple):
    """Holds a figure of training."""

    key: str
    title: str
    caption: str
    figure: go.Figure


def curves_of(runs: Sequence[Facts]) -> list[Curve]:
    """Draw every number that the epochs of some runs have.

    The first is the task's main metric. Lines are of fresh data, dotted ones of training data; levels to compare with
    are dashed.

    Args:
        runs: at most as many as there are styles.
    """
    main = [f"eval_{task_class(run.description.task).primary_metric}" for run in runs]
    keys = list(dict.fromkeys(key for run in runs for row in run.rows for key in row))
    shown = [key for key in keys if key not in ("epoch", *_TRAINED.values()) and not _is_flat_zero(runs, key)]
    shown.sort(key=lambda key: (key not in main, not key.startswith("eval_"), key == "sparsity"))
    return [_curve(runs, key) for key in shown]


def _curve(runs: Sequence[Facts], key: str) -> Curve:
    metric = key.removeprefix("eval_")
    unit = next((u for run in runs if (u := task_class(run.description.task).units.get(metric))), "1")
    title, caption = _PLAIN.get(
        key, (metric_name(metric) if metric != key else key.replace("_", " "), explained(metric))
    )
    share = key == "sparsity" or unit == "fraction"
    factor, axis = (100.0, "%") if share else (1.0, unit_of(unit))
    figure = go.Figure(layout=_layout(metric.endswith("loss")))
    largest, passed = 0.0, []
    for run, style in zip(runs, RUNS, strict=False):
        for name, dash in ((key, "solid"), (_TRAINED.get(metric, ""), "dot")):
            pairs = [
                (row["epoch"] + 1, factor * row[name]) for row in run.rows if math.isfinite(row.get(name, math.nan))
            ]
            if not pairs:
                continue
            largest = max(largest, *(y for _, y in pairs))
            figure.add_scatter(**_line(run.name, pairs, dash, name == key), legendgroup=run.name)
            figure.data[-1].update(line_color=style.color, marker_color=style.color, marker_symbol=style.symbol)
            figure.data[-1].hovertemplate = _hover(run.name, axis, name)
    for label, level in _levels(runs, metric).items():
        if largest == 0 or factor * level <= _FAR * largest:
            figure.add_scatter(**_level(_plain(label), factor * level, max(run.epochs[1] for run in runs), axis))
            passed.append(f"{label} ({amount(level, unit)})")
    if passed:
        caption = f"{caption}; dashed: {', '.join(passed)}".removeprefix("; ")
    return Curve(key, f"{title}, {axis}" if axis else title, caption, figure)


def _layout(is_loss: bool) -> dict[str, Any]:
    return {
        "template": "none",
        "height": 250,
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "epoch"}, "rangemode": "tozero"},
        "yaxis": {"rangemode": "normal" if is_loss else "tozero"},
    }


def _line(name: str, pairs: list[tuple[float, float]], dash: str, marked: bool) -> dict[str, Any]:
    return {
        "x": [x for x, _ in pairs],
        "y": [y for _, y in pairs],
        "name": name,
        "mode": "lines+markers" if marked and len(pairs) <= 60 else "lines",
        "line": {"dash": dash, "width": 2},
        "marker": {"size": 7},
    }


def _hover(run: str, unit: str, name: str) -> str:
    which = ", training data" if name.startswith("train_") else ""
    return f"%{{y:.4g}} {unit}{which}<br>epoch %{{x}}<extra>{_plain(run)}</extra>"


def _level(label: str, level: float, epochs: int, unit: str) -> dict[str, Any]:
    return {
        "x": [0, epochs],
        "y": [level, level],
        "mode": "lines",
        "line": {"dash": "dash", "width": 1.5, "color": REFERENCE},
        "name": label,
        "hovertemplate": f"{label}: %{{y:.4g}} {unit}<extra></extra>",
    }


def _levels(runs: Sequence[Facts], metric: str) -> dict[str, float]:
    """Return the levels of a metric that all runs with a record share, by what reaches them."""
    found: dict[str, set[float]] = {}
    for run in runs:
        for level in levels_of(run.record, metric):
            found.setdefault(level.who, set()).add(level.value)
    return {who: values.pop() for who, values in found.items() if len(values) == 1}


def _is_flat_zero(runs: Sequence[Facts], key: str) -> bool:
    return not any(row.get(key) for run in runs for row in run.rows)


def _plain(text: str) -> str:
    """Return a text without the tags and places that plotly would read in it."""
    return text.replace("%{", "% {").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
