"""What a page shows of one run: what its folder holds, read once and checked, and what is missing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from riemod._untrusted import Amount, DamagedFile, Share, check_shape, one_line, parse_json, printable, read_bytes
from riemod.inspection.navigation import NavigationArena, arena_of
from riemod.inspection.stored import Stored, read_analysis
from riemod.report.net import Net, net_of
from riemod.training import CheckpointError, RunDescription, RunError, RunFolder, load
from riemod.training.compression import RECORD
from riemod.training.reading import RECORD_FILE

__all__ = ["Facts", "gather", "read_compression"]


class _Sides(TypedDict):
    before: Amount
    after: Amount


class _Compression(TypedDict):
    run: dict[str, Any]
    sparsity: dict[str, Share]
    seconds_a_batch: _Sides
    bytes_on_disk: _Sides


@dataclass
class Facts:
    """Holds what is known of a run; whatever its folder lacks is None."""

    name: str
    path: Path
    description: RunDescription
    rows: list[dict[str, Any]]
    """Of metrics.jsonl, one an epoch."""
    record: dict[str, Any] | None
    """Of a finished run."""
    analysis: Stored | None = None
    arena: NavigationArena | None = None
    net: Net | None = None
    compression: dict[str, Any] | None = None
    problems: list[tuple[str, str]] = field(default_factory=list)
    """What could not be read, and why; and the command that helps, or nothing."""

    @property
    def epochs(self) -> tuple[int, int]:
        """How many epochs were trained, and how many the run has."""
        return len(self.rows), self.description.config.training.epochs

    def add_problem(self, text: str, command: str = "") -> None:
        """Add something that could not be read, and the command that helps."""
        self.problems.append((text, command))

    @property
    def place(self) -> str:
        """The path, as it can be shown."""
        return printable(str(self.path))

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, by the names of its options."""
        return self.description.config.to_dict()


def gather(path: Path, name: str) -> Facts:
    """Read the folder of a run.

    What a page can do without, such as the checkpoint or the analysis, may be missing or damaged: the facts say so.

    Args:
        path: folder of the run.
        name: of the run on the page.

    Raises:
        RunError: if there is no run of this version, or its metrics or its record are damaged.
    """
    folder = RunFolder(path)
    description, rows = folder.read_description(), folder.read_metrics()
    record = folder.read_record() if folder.record_file.is_file() else None
    facts = Facts(name, path, description, rows, record)
    again = f"riemod analyze {facts.place}"
    try:
        facts.analysis = read_analysis(path / "analysis")
    except (RunError, OSError) as error:
        facts.add_problem(f"the analysis cannot be shown: {one_line(error)}", again)
    if facts.analysis is not None and facts.analysis.problem is not None:
        facts.add_problem(f"bars and tuning are not shown: {facts.analysis.problem}", again)
    if not folder.has_checkpoint:
        facts.add_problem("points and weights are not shown: the run has no checkpoint")
        return facts
    try:
        run = load(folder)
    except (RunError, CheckpointError, ValueError, OSError, ImportError, MemoryError) as error:
        facts.add_problem(f"points and weights are not shown: {one_line(error)}")
        return facts
    facts.arena = arena_of(run.task)
    arrays = None if facts.analysis is None else facts.analysis.arrays
    if facts.analysis is not None and arrays is not None and not _fits(facts, run.config.to_dict()):
        facts.add_problem("bars and tuning are not shown: the analysis does not fit the net", again)
        arrays, facts.analysis = None, Stored(facts.analysis.record, None, "the analysis does not fit the net")
    facts.net = net_of(run, facts.arena, arrays)
    return facts


def read_compression(path: Path) -> dict[str, Any]:
    """Read the record of a compressed net.

    Args:
        path: a folder that `riemod compress` made.

    Raises:
        RunError: if there is none, or it is damaged.
    """
    file = path / RECORD
    if not file.is_file():
        raise RunError(f"compressed must be folders that riemod compress made, got {path}, which has no {RECORD}")
    try:
        record = parse_json(read_bytes(file, RECORD_FILE))
        check_shape(record, _Compression)
    except DamagedFile as error:
        raise RunError(f"{file} is damaged: {error}") from error
    return record


def _fits(facts: Facts, config: dict[str, Any]) -> bool:
    """Return whether the tuning of an analysis is of a net of this size, in this arena."""
    assert facts.analysis is not None
    arrays, arena = facts.analysis.arrays, facts.arena
    if arrays is None or arrays.units is None or arrays.rates is None or arrays.places is None:
        return True
    if arena is None or arrays.rates.shape[1] != len(arena.bins.centers):
        return False
    same = arrays.places.shape[1] == arena.bins.centers.shape[1]
    return same and bool(((arrays.units >= 0) & (arrays.units < config["hidden_size"])).all())
