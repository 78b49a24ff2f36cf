"""Cells and rows of tables: numbers and texts as the terminal shows them.

Texts come from files that anyone may have changed: they are shown without the markup and the control characters that a
terminal would act on.
"""

from rich.table import Column, Table
from rich.text import Text

from riemod._untrusted import printable

_SIGNIFICANT = 4
_LONGEST = 500


def new_table(title: str, *columns: str) -> Table:
    """Return a table with that title and these headings."""
    return Table(
        *(Column(plain(column)) for column in columns),
        title=plain(title, style="table.title"),
        title_justify="left",
        caption_justify="left",
    )


def add_row(table: Table, *cells: str) -> None:
    """Add a row of texts to a table."""
    table.add_row(*(plain(cell) for cell in cells))


def add_captions(table: Table, lines: list[str]) -> None:
    """Put lines below a table, each of them a remark on its numbers."""
    table.caption = plain("\n".join(lines), lines=True) if lines else None


def number(value: float | None) -> str:
    """Return a number as text; nothing for one that is missing.

    >>> number(0.123456), number(12), number(None)
    ('0.1235', '12', '')
    """
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.{_SIGNIFICANT}g}"


def unit_of(unit: str) -> str:
    """Return the unit for a reader: a record's "1" stands for a number without one."""
    return "" if unit == "1" else unit


def plain(content: str, style: str = "", lines: bool = False) -> Text:
    """Return a text that the terminal shows as it is, without markup and control characters, cut at 500 letters."""
    cut = content[: _LONGEST + 1]
    shown = "\n".join(map(printable, cut.split("\n"))) if lines else printable(cut)
    return Text(shown if len(content) <= _LONGEST else f"{shown[:_LONGEST]}...", style=style)
