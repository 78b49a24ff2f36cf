"""Tables of a suite as Markdown, LaTeX (booktabs) and CSV."""

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence

from riemod._checks import check_text
from riemod.suites.published import POWER_OF_TWO, Published
from riemod.suites.statistics import control_of
from riemod.suites.tables import Entry, SuiteTable, decimals

__all__ = ["FORMATS", "escape_latex", "escape_markdown", "layout", "to_csv", "to_latex", "to_markdown"]

_NOTHING = "\N{EN DASH}"
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": r"$-$",
    _NOTHING: r"--",
    "³": r"$^3$",
}
_MARKDOWN = re.compile(r"([\\`*_|<>~#])")
_FIELDS = [
    "title",
    "arm",
    "sparsity",
    "metric",
    "unit",
    "n",
    "mean",
    "std",
    "low",
    "high",
    "lost",
    "collapsed",
    "values",
    "control",
    "pairs",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
    "p_corrected",
    "p_least",
    "could_have_shown",
    "paper",
    "paper_printed",
    "paper_std",
    "paper_unit",
    "paper_table",
    "fair",
    "why",
]


def escape_latex(text: str) -> str:
    r"""Escape every character that LaTeX would read as a command, and name those that its fonts lack.

    Line breaks and other control characters become spaces.

    >>> print(escape_latex("5 % of a_b & {c} ± 2"))
    5 \% of a\_b \& \{c\} $\pm$ 2
    """
    return "".join(_LATEX.get(char, char) for char in _plain(check_text("text", text)))


def escape_markdown(text: str) -> str:
    r"""Escape every character that Markdown would read as markup in a cell of a table.

    >>> print(escape_markdown("a|b *c*"))
    a\|b \*c\*
    """
    return _MARKDOWN.sub(r"\\\1", _plain(check_text("text", text)))


def layout(table: SuiteTable) -> tuple[list[str], list[list[str]], list[str]]:
    """Lay a table out as text.

    Returns:
        The header, the lines, and the numbered reasons why the paper's numbers are fair targets or not.
    """
    entries = table.entries
    compared = any(entry.comparison is not None for entry in entries)
    printed = any(entry.published for entry in entries)
    lost, collapsed = (any(getattr(e.cell, name) for e in entries) for name in ("lost", "collapsed"))
    header = ["arm", "sparsity", "n", *["lost"] * lost, *["collapsed"] * collapsed, _heading(table)]
    header += [f"less {table.control}", "p (Holm)", "could have shown"] if compared else []
    header += ["paper", "fair target"] if printed else []
    reasons: dict[str, int] = {}
    lines = []
    for entry in entries:
        cell = entry.cell
        line = [cell.arm, f"{100 * cell.sparsity:g} %", str(cell.n)]
        line += [str(cell.lost)] * lost + [str(cell.collapsed)] * collapsed + [_value(entry)]
        line += _comparison(entry, table.control) if compared else []
        line += _paper(entry, reasons) if printed else []
        lines.append(line)
    return header, lines, [f"({number}) {reason}" for reason, number in reasons.items()]


def to_markdown(tables: Sequence[SuiteTable]) -> str:
    """Render tables as Markdown, one a metric, each with its notes."""
    parts = []
    for table in tables:
        header, lines, reasons = layout(table)
        cells = [[escape_markdown(cell) for cell in line] for line in (header, *lines)]
        rule = ["---"] * len(header)
        text = "\n".join(f"| {' | '.join(line)} |" for line in (cells[0], rule, *cells[1:]))
        notes = [f"- {escape_markdown(note)}" for note in (*reasons, *table.notes)]
        parts.append(text + ("\n\n" + "\n".join(notes) if notes else ""))
    return "\n\n".join(parts) + "\n"


def to_latex(tables: Sequence[SuiteTable]) -> str:
    """Render tables as LaTeX, one float a metric; the document needs the package booktabs."""
    parts = []
    for table in tables:
        header, lines, reasons = layout(table)
        caption = " ".join([f"{table.title}: {_heading(table)}.", *reasons, *table.notes])
        # A leading bracket would be read as an option of the line break before it.
        rows = [" & ".join(escape_latex(cell) for cell in line) for line in (header, *lines)]
        rows = [f"{{}}{row} \\\\" if row.startswith("[") else f"{row} \\\\" for row in rows]
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"  \centering",
                    rf"  \caption{{{escape_latex(caption)}}}",
                    rf"  \begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
                    r"    \toprule",
                    f"    {rows[0]}",
                    r"    \midrule",
                    *(f"    {row}" for row in rows[1:]),
                    r"    \bottomrule",
                    r"  \end{tabular}",
                    r"\end{table}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def to_csv(tables: Sequence[SuiteTable]) -> str:
    """Render tables as CSV, one line a cell of any metric, numbers at full precision and empty where there is none."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_FIELDS)
    for table in tables:
        for entry in table.entries:
            record = _record(table, entry)
            values = [record.get(field, "") for field in _FIELDS]
            writer.writerow([_plain(value) if isinstance(value, str) else value for value in values])
    return stream.getvalue()


FORMATS: Mapping[str, Callable[[Sequence[SuiteTable]], str]] = {
    "markdown": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
}
"""The function of each format, by name."""


def _plain(text: str) -> str:
    """Return the text with a space for every line break and control character."""
    return "".join(char if char.isprintable() else " " for char in text)


def _heading(table: SuiteTable) -> str:
    return table.metric.label if table.metric.unit == "1" else f"{table.metric.label}, {table.metric.unit}"


def _value(entry: Entry) -> str:
    cell, places = entry.cell, decimals(entry.cell)
    if cell.n == 1:
        return _number(cell.mean, places)
    if cell.n == 2:
        return f"{_number(cell.mean, places)} ({', '.join(_number(value, places) for value in cell.values)})"
    return f"{_number(cell.mean, places)} ± {_number(cell.std, places)} {_interval(cell.low, cell.high, places)}"


def _comparison(entry: Entry, control: str) -> list[str]:
    comparison, places = entry.comparison, decimals(entry.cell)
    if comparison is None:
        return ["control" if entry.cell.arm == control_of(entry.cell.arm, control) else "", "", ""]
    if not comparison.pairs:
        return ["no common seed", "", ""]
    interval = "" if math.isnan(comparison.low) else " " + _interval(comparison.low, comparison.high, places)
    p = comparison.corrected
    detectable = comparison.detectable
    return [
        f"{_number(comparison.difference, places)}{interval}",
        "< 0.001" if p < 0.001 else f"{p:.2g}",
        _NOTHING if math.isnan(detectable) else _significant(detectable),
    ]


def _paper(entry: Entry, reasons: dict[str, int]) -> list[str]:
    if not entry.published:
        return [_NOTHING, ""]
    numbers = "; ".join(_printed(number) for number in entry.published)
    marks = ", ".join(f"({reasons.setdefault(reason, len(reasons) + 1)})" for reason in entry.why)
    return [numbers, f"{'yes' if entry.fair else 'no'} {marks}"]


def _printed(number: Published) -> str:
    if number.unit == POWER_OF_TWO:
        return f"{number.value:.0f} (Table {number.table}, printed {number.mean:.2f} ± {number.std:.2f})"
    places = 3 if number.unit == "1" else 2
    return f"{number.mean:.{places}f} ± {number.std:.{places}f} (Table {number.table})"


def _interval(low: float, high: float, places: int) -> str:
    return f"[{_number(low, places)}, {_number(high, places)}]"


def _significant(value: float) -> str:
    """Return two significant digits, without an exponent.

    >>> _significant(127.9), _significant(0.01234), _significant(0.0)
    ('130', '0.012', '0')
    """
    if value == 0:
        return "0"
    places = 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):.{max(0, places)}f}"


def _number(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.removeprefix("-")


def _record(table: SuiteTable, entry: Entry) -> dict[str, object]:
    cell, comparison, published = entry.cell, entry.comparison, entry.published
    record: dict[str, object] = {
        "title": table.title,
        "arm": cell.arm,
        "sparsity": cell.sparsity,
        "metric": cell.metric,
        "unit": table.metric.unit,
        "n": cell.n,
        "mean": cell.mean,
        "std": cell.std,
        "low": cell.low,
        "high": cell.high,
        "lost": cell.lost,
        "collapsed": cell.collapsed,
        "values": " ".join(map(repr, cell.values)),
        "control": table.control,
    }
    if comparison is not None:
        record |= {
            "pairs": comparison.pairs,
            "difference": comparison.difference,
            "difference_low": comparison.low,
            "difference_high": comparison.high,
            "p_value": comparison.p_value,
            "p_corrected": comparison.corrected,
            "p_least": comparison.least,
            "could_have_shown": comparison.detectable,
        }
    if published:
        record |= {
            "paper": " ".join(repr(number.value) for number in published),
            "paper_printed": " ".join(repr(number.mean) for number in published),
            "paper_std": " ".join(repr(number.std) for number in published),
            "paper_unit": published[0].unit,
            "paper_table": " ".join(str(number.table) for number in published),
            "fair": "yes" if entry.fair else "no",
            "why": " ".join(entry.why),
        }
    return {key: "" if isinstance(value, float) and math.isnan(value) else value for key, value in record.items()}
