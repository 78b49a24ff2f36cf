"""Rows: what finished runs leave in a suite's folder, one file a run, and what statistics and tables read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from riemod._checks import check_type
from riemod._files import make_folder, write_json
from riemod._untrusted import one_line
from riemod.suites.errors import SuiteError
from riemod.suites.plan import PlannedRun, Suite
from riemod.training import RunDescription, RunFolder
from riemod.training.reading import read_record

RUNS = "runs"


class Row(NamedTuple):
    """Holds one finished run of a suite."""

    arm: str
    """Name of the arm; of a lottery ticket "ARM, GROUP"."""
    sparsity: float
    """At which the arm was run, a fraction of zeros."""
    seed: int
    metrics: dict[str, float]
    """Every metric of the record by name, in its unit; "lost", 1 or 0; and "wall_time", s."""


def cells(suite: Suite, folder: Path) -> Iterator[Row]:
    """Yield a row for every finished run of a suite, in the order of its arms, sparsities and seeds.

    Args:
        suite: from `load_suite`.
        folder: of its results: what `riemod bench --out` was given, or `benchmarks/records`.

    Raises:
        TypeError: for an argument of another type.
        SuiteError: if a record is damaged, or of another run than the suite plans under its name.
    """
    check_type("suite", suite, Suite, "a Suite, as load_suite returns it")
    check_type("folder", folder, Path, "a Path")
    arms = {arm: place for place, arm in enumerate(suite.arms)}
    for run in sorted(suite.runs, key=lambda run: (arms[run.arm], run.sparsity, run.seed)):
        record = read_row(suite, folder, run)
        if record is not None:
            metrics = {name: float(metric["value"]) for name, metric in record["metrics"].items()}
            extra = {"lost": float(suite.is_lost(record)), "wall_time": float(record["wall_time"]["value"])}
            yield Row(run.arm, run.sparsity, run.seed, metrics | extra)


def run_folder(folder: Path, run: PlannedRun) -> RunFolder:
    """Return the folder in which a run of a suite is trained."""
    return RunFolder(folder / RUNS / run.key)


def read_row(suite: Suite, folder: Path, run: PlannedRun) -> dict[str, Any] | None:
    """Return the record that a run left in a suite's folder; None if there is none.

    Raises:
        SuiteError: if it is damaged or of another run.
    """
    path = _row_file(folder, run)
    return _checked(suite, run, path) if path.is_file() else None


def keep_row(suite: Suite, folder: Path, run: PlannedRun) -> None:
    """Copy the record of a finished run into the suite's folder, with its place in the suite beside it.

    Raises:
        SuiteError: if the record is damaged or of another run.
    """
    record = _checked(suite, run, run_folder(folder, run).record_file)
    place = {
        "name": suite.name,
        "preset": suite.preset,
        "arm": run.arm,
        "sparsity": run.sparsity,
        "seed": run.seed,
        "key": run.key,
    }
    # Rows are given to others: they name no place on this machine, neither of the parent nor of a text.
    ticket_of = None if run.ticket is None else f"{RUNS}/{run.ticket.parent.key}"
    text = record["config"].get("data")
    config = record["config"] | ({} if text is None else {"data": Path(text).name})
    path = _row_file(folder, run)
    make_folder(path.parent)
    write_json(path, {"suite": place} | record | {"ticket_of": ticket_of, "config": config})


def _row_file(folder: Path, run: PlannedRun) -> Path:
    return folder / run.records / f"{run.name}.json"


def _checked(suite: Suite, run: PlannedRun, path: Path) -> dict[str, Any]:
    try:
        record = read_record(path)
        config = RunDescription.from_dict(record).config
    except (ValueError, TypeError) as error:
        raise SuiteError(f"{path} is damaged: {one_line(error)}") from error
    if other := run.check_record(record, config):
        raise SuiteError(
            f"{path} must be of the run that suite {suite.name!r} plans under that name, got {other}: name another "
            "folder"
        )
    return record
