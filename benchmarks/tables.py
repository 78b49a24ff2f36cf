"""Rebuild every table of docs/results.md, and every figure of a table, from the committed records.

The page says by comments where they stand:

    <!-- table SUITE PRESET METRIC ... -->    the tables of these metrics
    <!-- figure SUITE PRESET METRIC -->       the figure of one metric, in docs/_static/results
    <!-- frontier SUITE PRESET -->            error against measured costs: the table and its figure
    <!-- legend -->                           what the columns are

Everything from such a comment to the next <!-- end --> is replaced; all else is written by hand.

python -m benchmarks.tables
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from riemod._files import make_folder, write_atomically
from riemod.cli.frontier import error_label
from riemod.cli.tables import metric_name
from riemod.suites import load_suite
from riemod.suites.figures import figure_digest, save_figure
from riemod.suites.formats import escape_markdown, to_markdown
from riemod.suites.frontier import FrontierLine, frontier, frontier_digest, frontier_table, save_frontier
from riemod.suites.report import tables_of
from riemod.suites.tables import LEGEND, SuiteTable

RECORDS = Path(__file__).parent / "records"
PAGE = Path(__file__).parents[1] / "docs" / "results.md"
FIGURES = PAGE.parent / "_static" / "results"
_MARK = r"<!-- (?P<words>(?:table|figure|frontier|legend)[^>]*?) -->"
_BLOCK = re.compile(rf"(?P<mark>{_MARK}\n).*?(?P<end>^<!-- end -->$)", re.MULTILINE | re.DOTALL)


def rebuilt(page: str) -> str:
    """Return the text of the page with every block made anew from the records.

    Raises:
        ValueError: a comment names no such suite, preset or metric, or has no end.
    """
    if len(re.findall(_MARK, page)) != len(_BLOCK.findall(page)):
        raise ValueError("every comment that names a table, figure, frontier or legend must have an <!-- end -->")
    return _BLOCK.sub(lambda found: f"{found['mark']}\n{_content(found['words'].split())}\n{found['end']}", page)


class Figure(NamedTuple):
    """Holds a figure of the page."""

    digest: str
    """Of the numbers that it must show."""
    save: Callable[[Path], None]
    """Draws it to a file."""


def figures(page: str) -> dict[Path, Figure]:
    """Return the figures of the page, by file."""
    found: dict[Path, Figure] = {}
    for block in _BLOCK.finditer(page):
        kind, *words = block["words"].split()
        if kind == "figure":
            table = _table(*words)
            found[_file(*words)] = Figure(figure_digest(table), functools.partial(save_figure, table))
        elif kind == "frontier":
            shown = _frontier(*words)
            suite, preset = words
            found[_file(suite, preset, "frontier")] = Figure(
                frontier_digest(*shown), functools.partial(save_frontier, *shown)
            )
    return found


def is_current(path: Path, figure: Figure) -> bool:
    """Return whether a figure is there and shows its numbers."""
    if not path.is_file():
        return False
    with Image.open(path) as image:
        return image.info.get("Shown") == figure.digest


def main() -> None:
    """Rewrite the page and the figures whose numbers have changed."""
    page = PAGE.read_text(encoding="utf-8")
    new = rebuilt(page)
    if new != page:
        write_atomically(PAGE, new.encode())
        print(f"rewritten: {PAGE}")
    make_folder(FIGURES)
    for path, figure in figures(new).items():
        if not is_current(path, figure):
            figure.save(path)
            print(f"drawn: {path}")


def _content(words: list[str]) -> str:
    kind, *rest = words
    if kind == "legend":
        return "".join(f"- {escape_markdown(line)}\n" for line in LEGEND)
    if kind == "figure":
        suite, preset, metric = rest
        table = _table(suite, preset, metric)
        file = _file(suite, preset, metric).relative_to(PAGE.parent).as_posix()
        return f"![{escape_markdown(table.title)}: {table.metric.label}]({file})\n"
    if kind == "frontier":
        suite, preset = rest
        lines, label, title = _frontier(suite, preset)
        file = _file(suite, preset, "frontier").relative_to(PAGE.parent).as_posix()
        return f"![{escape_markdown(title)}]({file})\n\n{frontier_table(lines, label)}"
    suite, preset, *metrics = rest
    return to_markdown([_table(suite, preset, metric) for metric in metrics])


def _file(suite: str, preset: str, metric: str) -> Path:
    return FIGURES / f"{suite}-{preset}-{metric}.png"


def _frontier(suite: str, preset: str) -> tuple[list[FrontierLine], str, str]:
    """Return the lines of a frontier, the label of the error, and the title."""
    chosen = load_suite(suite, preset)
    return frontier(chosen, RECORDS), error_label(chosen), chosen.title


def _table(suite: str, preset: str, metric: str) -> SuiteTable:
    tables = {table.metric.name: table for table in _tables(suite, preset)}
    if metric not in tables:
        raise ValueError(f"metric of {suite} must be one of {', '.join(tables)}, got {metric!r}")
    return tables[metric]


@functools.lru_cache
def _tables(suite: str, preset: str) -> list[SuiteTable]:
    return tables_of(load_suite(suite, preset), RECORDS, metric_name)


if __name__ == "__main__":
    main()
