"""One page of some runs, with all that it needs inside, and the file that it is written to."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from plotly import graph_objects as go
from plotly.offline import get_plotlyjs

from riemod._files import write_atomically
from riemod.report.charts import bars_of, by_distance_of, matrix_of
from riemod.report.curves import curves_of
from riemod.report.facts import Facts
from riemod.report.notices import Notice, notices_of
from riemod.report.style import RUNS, THEMES
from riemod.report.summary import card_of, environment_of, numbers_of, options_of
from riemod.report.text import percent
from riemod.report.units import states_view, unit_view
from riemod.training import RunError

__all__ = ["check_page", "page_of", "write_page"]

_MARK = '<meta name="generator" content="riemod report">'
_ENDINGS = (".html", ".htm")
_START = 2048  # bytes in which the mark stands


def page_of(runs: Sequence[Facts]) -> tuple[str, list[Notice]]:
    """Return the page of some runs as HTML that loads nothing, and the remarks at its top.

    Args:
        runs: at least one, at most as many as there are styles.
    """
    figures: dict[str, go.Figure] = {}
    views: dict[str, dict[str, Any]] = {}

    def put(name: str, figure: go.Figure, data: dict[str, Any] | None = None) -> str:
        figures[name] = figure
        if data is not None:
            views[name] = data
        return name

    curves = [(curve, put(f"curve-{index}", curve.figure)) for index, curve in enumerate(curves_of(runs))]
    parts = []
    for index, run in enumerate(runs):
        arrays = None if run.analysis is None else run.analysis.arrays
        part: dict[str, Any] = {"run": run, "style": RUNS[index], "id": f"run-{index}"}
        if run.net is not None:
            matrix = matrix_of(run.net)
            part["matrix"] = put(f"matrix-{index}", matrix.figure), matrix.caption
            if run.net.points is not None:
                view = unit_view(run.net, run.arena, arrays)
                part["distance"] = put(f"distance-{index}", by_distance_of(run.net))
                part["units"] = put(f"units-{index}", view.figure, view.data), view
        if run.analysis is not None:
            part["bars"] = put(f"bars-{index}", bars_of(run.analysis))
        if arrays is not None:
            view = states_view(arrays)
            part["states"] = put(f"states-{index}", view.figure, view.data), view
        parts.append(part)
    notices = notices_of(runs)
    content = (
        _environment()
        .get_template("page.html")
        .render(
            mark=Markup(_MARK),
            version=version("riemod"),
            runs=runs,
            cards=[card_of(run, index) for index, run in enumerate(runs)],
            notices=notices,
            curves=curves,
            parts=parts,
            numbers=numbers_of(runs),
            options=options_of(runs),
            environment=environment_of(runs),
            figures={name: Markup(_safe(str(figure.to_json()))) for name, figure in figures.items()},
            views={name: _script(data) for name, data in views.items()},
            themes=_script(THEMES),
            style=_inside("style.css"),
            script=_inside("page.js"),
            plotly=Markup(get_plotlyjs()),
        )
    )
    return content, notices


def check_page(out: Path, overwrite: bool) -> None:
    """Check, before anything is read or drawn, that a page may be written.

    Args:
        out: file of the page; a page of an earlier report is replaced.
        overwrite: whether another file may be replaced.

    Raises:
        ValueError: if the file's name has another ending.
        RunError: if it is a folder, its folder is missing, or it is a file that is no report.
    """
    if out.suffix.lower() not in _ENDINGS:
        raise ValueError(f"out must end with {' or '.join(_ENDINGS)}, got {out}")
    if out.is_dir():
        raise RunError(f"out must be a file, got the folder {out}")
    if not out.parent.is_dir():
        raise RunError(f"out must be in a folder that exists, got {out}")
    if out.exists() and not overwrite:
        with out.open("rb") as file:
            start = file.read(_START)
        if _MARK.encode() not in start:
            raise RunError(f"out must not be a file of something else, got {out}: name another, or take --overwrite")


def write_page(out: Path, content: str) -> int:
    """Write a page, whole or not at all, and return its size in bytes.

    Args:
        out: file of the page.
        content: of `page_of`.
    """
    written = content.encode()
    write_atomically(out, written)
    return len(written)


def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = percent
    return environment


def _read(name: str) -> str:
    return files("riemod.report").joinpath("template", name).read_text(encoding="utf-8")


def _inside(name: str) -> Markup:
    return Markup(_read(name))


def _script(value: Any) -> Markup:
    return Markup(_safe(json.dumps(value, allow_nan=False)))


def _safe(text: str) -> str:
    """Return JSON that no text in it can end, where it stands in a page."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
