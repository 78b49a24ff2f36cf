"""One page of finished or unfinished runs, to be opened in a browser, kept, printed or sent: `riemod report`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from riemod._checks import check_boolean, check_items, check_type
from riemod._machine import check_libraries
from riemod._untrusted import printable
from riemod.report.facts import Facts, gather, read_compression
from riemod.training import RunError, RunFolder

__all__ = ["write_report"]


def write_report(
    runs: Sequence[Path], out: Path, compressed: Sequence[Path] = (), overwrite: bool = False
) -> dict[str, Any]:
    """Write one HTML page of some runs, which loads nothing from elsewhere.

    It shows the verdict, errors beside levels to compare with, zeros and speed; curves of training; the units on their
    manifold, with tuning and strongest weights; the hidden weights in geometric order; bars beside those of null data;
    and configuration and environment. Verdict, bars and tuning are those that `riemod analyze` left in the run's
    folder. What a run lacks is said at the top of the page.

    Args:
        runs: folders of runs, at most six, finished or not.
        out: HTML file; a page of an earlier report is replaced.
        compressed: folders that `riemod compress` made of these runs, for their speed.
        overwrite: replace any file.

    Returns:
        The page's path, its size in bytes, the runs with their verdict and whether they are finished, and the remarks.

    Raises:
        RunError: if there is no run in a folder, its metrics or its record are damaged, a compressed net is of no run
            of the page, or out is another file or in no folder.
        ValueError: for no run, too many, or one twice, or an ending other than .html or .htm.
        ImportError: if plotly or jinja2 is not installed.
    """
    check_libraries("report", "report", "plotly", "jinja2")
    # plotly is slow to import, and only a page needs it.
    from riemod.report.page import check_page, page_of, write_page
    from riemod.report.style import MOST_RUNS

    paths = [check_type("runs", path, Path, "a list of Paths") for path in check_items("runs", runs, "a list of Paths")]
    if not 1 <= len(paths) <= MOST_RUNS:
        raise ValueError(f"runs must be from 1 to {MOST_RUNS}, got {len(paths)}")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError("runs must be different, got one twice")
    for path in paths:
        RunFolder(path).read_description()
    nets = check_items("compressed", compressed, "a list of Paths")
    nets = [check_type("compressed", path, Path, "a list of Paths") for path in nets]
    check_page(check_type("out", out, Path, "a Path"), check_boolean("overwrite", overwrite))
    facts = [gather(path, printable(name)) for path, name in zip(paths, _names(paths), strict=True)]
    _add_compressed(facts, nets)
    content, notices = page_of(facts)
    size = write_page(out, content)
    return {
        "page": str(out),
        "bytes": size,
        "runs": [_summary(run) for run in facts],
        "remarks": [notice._asdict() for notice in notices],
    }


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell them apart.

    >>> _names([Path("runs/a"), Path("runs/b")]), _names([Path("x/run"), Path("y/run")])
    (['a', 'b'], ['x/run', 'y/run'])
    """
    parts = [path.resolve().parts for path in paths]
    ends = (["/".join(part[-length:]) for part in parts] for length in range(1, max(map(len, parts)) + 1))
    return next(names for names in ends if len(set(names)) == len(names))


def _add_compressed(facts: Sequence[Facts], compressed: Sequence[Path]) -> None:
    """Give each record of a compressed net to the run that it is of."""
    for path in compressed:
        record = read_compression(path)
        owners = [run for run in facts if record["run"] == run.description.to_dict()]
        if not owners:
            raise RunError(f"compressed must be nets of these runs, got {path}, which is of another run")
        for run in owners:
            run.compression = record


def _summary(run: Facts) -> dict[str, Any]:
    analysis = None if run.analysis is None else run.analysis.record
    metrics = {} if run.record is None else run.record["metrics"]
    return {
        "run": str(run.path),
        "finished": run.record is not None,
        "epochs": len(run.rows),
        "verdict": None if analysis is None else analysis["verdict"]["manifold"],
        "sparsity": None if run.record is None else run.record["sparsity"]["total"],
        "metrics": metrics,
    }
