"""The command `riemod table SUITE`: what the finished runs of a suite show, beside the paper's numbers."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from riemod._files import make_folder, write_atomically
from riemod.suites import load_suite
from riemod.suites.formats import FORMATS
from riemod.suites.report import save_figures, tables_of
from riemod.suites.tables import LEGEND
from riemod.tasks.names import metric_name


def print_table(
    suite: Annotated[str, tyro.conf.Positional],
    preset: str = "cpu",
    records: Path = Path("benchmarks/records"),
    out: Path | None = None,
    format: Literal["markdown", "csv", "latex"] = "markdown",
) -> None:
    """Print the table of a suite's finished runs: intervals, tests against its control, and the paper's numbers.

    Args:
        suite: Name of a suite, or the path of a TOML file.
        preset: Scale of the runs: smoke, cpu or paper, as far as the suite has them.
        records: Folder of the results, as `riemod bench --out` was given.
        out: File for the table; the figure of each metric goes beside it as a PNG file. None prints the table only.
        format: Format of the table; LaTeX needs the package booktabs.

    Examples:
        riemod table adding --preset smoke --records runs/bench
        riemod table navigation --format latex --out tables/navigation.tex
    """
    chosen = load_suite(suite, preset)
    tables = tables_of(chosen, records, metric_name)
    text = FORMATS[format](tables)
    if format == "markdown":
        text = f"# {chosen.title} ({preset})\n\n{text}\n" + "".join(f"- {line}\n" for line in LEGEND)
    elif format == "latex":
        text = "".join(f"% {line}\n" for line in LEGEND) + text
    if out is None:
        sys.stdout.write(text)
        return
    if out.is_dir():
        raise ValueError(f"out must be a file, got the folder {out}")
    make_folder(out.parent)
    figures = save_figures(tables, out.with_suffix(""))
    write_atomically(out, text.encode())
    sys.stdout.write("".join(f"{path}\n" for path in (out, *figures)))
