"""The figure of a suite: a dot plot of its table, and a mark in the file that says which numbers it shows."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from riemod._files import write_atomically
from riemod.plotting import Dots, Figure, draw_intervals
from riemod.suites.tables import SuiteTable

__all__ = ["digest_of", "figure_digest", "save_figure", "save_marked", "shown_numbers"]

_KEY = "Shown"


def save_figure(table: SuiteTable, path: Path, dpi: int = 150) -> None:
    """Draw a table as a PNG file, which also holds the digest of its numbers (`figure_digest`).

    Args:
        table: of one metric.
        path: of the file, which is replaced.
        dpi: dots an inch.

    Raises:
        OSError: the file cannot be written.
    """
    unit = "" if table.metric.unit == "1" else f", {table.metric.unit}"
    figure = draw_intervals(shown_numbers(table), f"{table.metric.label}{unit}", table.title)
    save_marked(figure, figure_digest(table), path, dpi)


def save_marked(figure: Figure, digest: str, path: Path, dpi: int) -> None:
    """Write a figure as a PNG file that holds the digest of its numbers as the text "Shown"."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, metadata={_KEY: digest, "Software": None})
    write_atomically(path, stream.getvalue())


def shown_numbers(table: SuiteTable) -> Mapping[str, list[Dots]]:
    """Return what the figure of a table shows: the lines of each panel, by its title.

    There is a panel for each sparsity, and one for each group of lottery tickets at it.
    """
    panels: dict[str, list[Dots]] = {}
    for entry in table.entries:
        cell = entry.cell
        name, _, group = cell.arm.partition(", ")
        line = Dots(
            name,
            cell.values,
            (cell.low, cell.high),
            control=name == table.control,
            paper=tuple(number.value for number in entry.published),
            fair=bool(entry.fair),
        )
        tickets = f", tickets: {group}" if group else ""
        panels.setdefault(f"{100 * cell.sparsity:g} % sparse{tickets}", []).append(line)
    return panels


def figure_digest(table: SuiteTable) -> str:
    """Return a digest of the numbers that the figure of a table shows, to six digits.

    A PNG file that `save_figure` wrote holds it as the text "Shown"; `PIL.Image.open(path).text` reads it.
    """
    shown = [
        f"{title} {line.name} {line.control} {line.fair} "
        + " ".join(f"{x:.6g}" for x in (*line.values, *line.interval, *line.paper))
        for title, lines in shown_numbers(table).items()
        for line in lines
    ]
    return digest_of([table.title, *table.metric, *shown])


def digest_of(lines: Sequence[str]) -> str:
    """Return the SHA-256 of lines of text, in hexadecimal digits."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
