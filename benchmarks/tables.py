"""Rebuild every table of docs/results.md, and every figure of a table, from the committed records.

The page says by comments where they stand:

    <!-- table SUITE PRESET METRIC ... -->    the tables of these metrics
    <!-- figure SUITE PRESET METRIC -->       the figure of one metric, in docs/_static/results
    <!-- legend -->                           what the columns are

Everything from such a comment to the next <!-- end --> is replaced; all else is written by hand.

python -m benchmarks.tables
"""

import functools
import re
from pathlib import Path

from PIL import Image

from riemod._files import make_folder, write_atomically
from riemod.cli.tables import metric_name
from riemod.suites import load_suite
from riemod.suites.figures import figure_digest, save_figure
from riemod.suites.formats import escape_markdown, to_markdown
from riemod.suites.report import tables_of
from riemod.suites.tables import LEGEND, SuiteTable

RECORDS = Path(__file__).parent / "records"
PAGE = Path(__file__).parents[1] / "docs" / "results.md"
FIGURES = PAGE.parent / "_static" / "results"
_BLOCK = re.compile(
    r"(?P<mark><!-- (?P<words>(?:table|figure|legend)[^>]*?) -->\n).*?(?P<end>^<!-- end -->$)", re.MULTILINE | re.DOTALL
)


def rebuilt(page: str) -> str:
    """Return the text of the page with every block made anew from the records.

    Raises:
        ValueError: a comment names no such suite, preset or metric, or has no end.
    """
    if len(re.findall(r"<!-- (?:table|figure|legend)", page)) != len(_BLOCK.findall(page)):
        raise ValueError("every <!-- table ... -->, <!-- figure ... --> and <!-- legend --> must have an <!-- end -->")
    return _BLOCK.sub(lambda found: f"{found['mark']}\n{_content(found['words'].split())}\n{found['end']}", page)


def figures(page: str) -> dict[Path, SuiteTable]:
    """Return what each figure of the page shows, by its file."""
    named = [found["words"].split()[1:] for found in _BLOCK.finditer(page) if found["words"].startswith("figure")]
    return {_file(*words): _table(*words) for words in named}


def is_current(path: Path, table: SuiteTable) -> bool:
    """Return whether a figure is there and shows the numbers of the table."""
    if not path.is_file():
        return False
    with Image.open(path) as image:
        return image.info.get("Shown") == figure_digest(table)


def main() -> None:
    """Rewrite the page and the figures whose numbers have changed."""
    page = PAGE.read_text(encoding="utf-8")
    new = rebuilt(page)
    if new != page:
        write_atomically(PAGE, new.encode())
        print(f"rewritten: {PAGE}")
    make_folder(FIGURES)
    for path, table in figures(new).items():
        if not is_current(path, table):
            save_figure(table, path)
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
    suite, preset, *metrics = rest
    return to_markdown([_table(suite, preset, metric) for metric in metrics])


def _file(suite: str, preset: str, metric: str) -> Path:
    return FIGURES / f"{suite}-{preset}-{metric}.png"


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
