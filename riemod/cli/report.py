"""The command `riemod report RUN [RUN ...]`: one page of runs, to be opened in a browser."""

import sys
from pathlib import Path

from riemod.cli.arguments import RunPaths
from riemod.cli.console import note, print_json, show_stages

_PAGE = "report.html"


def report(
    runs: RunPaths,
    out: Path | None = None,
    compressed: tuple[Path, ...] = (),
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Write one HTML page of up to six runs, side by side, with no need of a network: verdict, errors, curves, weights.

    The verdict, the bars and the tuning of units are those of `riemod analyze`: analyze a run first to see them.
    The figures turn, zoom, print, and answer to the keyboard.

    Args:
        runs: Folder of a run, or folders of several, finished or not.
        out: HTML file, replaced if it is an earlier report; None for report.html in the folder of a single run.
        compressed: Folders that riemod compress made of these runs, for their speed.
        overwrite: Replace a file that is no report.
        json: Print the page's path, its size, the runs and the remarks on them as JSON.

    Examples:
        riemod report runs/a
        riemod report runs/a runs/b --out compared.html
        riemod report runs/demo/on-the-torus --compressed runs/demo/compressed --out torus.html --json
    """
    paths = list(runs)
    if not paths:
        raise ValueError("RUN must name at least one run's folder, got none")
    if out is None and len(paths) > 1:
        raise ValueError(f"--out must name the page of several runs, such as {_PAGE}, got none")
    # scikit-learn, matplotlib and plotly are slow to import.
    from riemod.report import write_report

    with show_stages() as stage:
        stage("reading runs and drawing")
        written = write_report(paths, paths[0] / _PAGE if out is None else out, compressed, overwrite)
    if json:
        print_json(written)
        return
    for remark in written["remarks"]:
        about = "" if len(remark["runs"]) == len(paths) else f"{', '.join(remark['runs'])}: "
        note(about + remark["text"] + (f": {remark['command']}" if remark["command"] else ""))
    sys.stdout.write(f"{written['page']}\n")
