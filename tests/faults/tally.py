"""What a section of the faults tried, and what failed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import riemod

PACKAGE = Path(riemod.__file__).parent


@dataclass(frozen=True)
class Failure:
    """Holds one fault: what was done, what came of it, and the file that has to be mended, if it is known."""

    input: str
    outcome: str
    file: str = "?"


@dataclass
class Tally:
    """Counts what was tried in one section, and keeps its failures.

    Args:
        section: the section's name in the table.
    """

    section: str
    tried: int = 0
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def record(self, tried: str, outcome: str | None, file: str = "?") -> None:
        """Count one attempt; an outcome that is not None says how it failed."""
        self.tried += 1
        if outcome is not None:
            self.failures.append(Failure(tried, outcome, file))

    def lines(self) -> Iterator[str]:
        """Yield the failures, grouped by the file that has to be mended."""
        files = Counter(failure.file for failure in self.failures)
        for file, count in files.most_common():
            yield f"{self.section}: {file} ({count})"
            for failure in self.failures:
                if failure.file == file:
                    yield f"    {failure.input}"
                    yield f"        {failure.outcome}"


Section = Callable[[int, int], Tally]
"""Takes the number of attempts and the seed."""


def table(tallies: Iterable[Tally]) -> str:
    """Return the tallies as a table, with a line for their sum, and the notes and failures below it."""
    tallies = list(tallies)
    rows = [
        (tally.section, tally.tried, tally.tried - len(tally.failures), len(tally.failures), round(tally.seconds))
        for tally in tallies
    ]
    rows.append(("all", *(sum(row[column] for row in rows) for column in (1, 2, 3, 4))))
    lines = [f"{'':<12}{'tried':>8}{'survived':>10}{'failed':>8}{'seconds':>9}"]
    widths = (8, 10, 8, 9)
    for name, *row in rows:
        lines.append(f"{name:<12}" + "".join(f"{value:>{width}}" for value, width in zip(row, widths, strict=True)))
    lines += [f"{tally.section}: {note}" for tally in tallies for note in tally.notes]
    lines += [line for tally in tallies for line in tally.lines()]
    return "\n".join(lines)


def riemod_file(traceback: TracebackType | None) -> str:
    """Return the innermost file of the library in a traceback, relative to the repository."""
    found = "?"
    while traceback is not None:
        file = Path(traceback.tb_frame.f_code.co_filename)
        if file.is_relative_to(PACKAGE):
            found = f"riemod/{file.relative_to(PACKAGE)}"
        traceback = traceback.tb_next
    return found
