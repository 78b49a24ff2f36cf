"""Two ways to the same result timed in one process, turn by turn; a record for each row, and one table of all."""

import gc
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

RECORDS = Path(__file__).parents[1] / "records" / "speed"
ROUNDS = 15


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    lower: float
    median: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least two values."""
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


@dataclass(frozen=True)
class Result:
    """One row: a number that should be at most its target.

    Args:
        name: of the row and of its record.
        value: the number, the median of its rounds where it is measured in rounds.
        unit: of value and target: "x" for a ratio of times, else MiB and the like.
        target: the largest value that meets it.
        against: what `ours` is compared with, as a user would write it; or what the number is.
        spread: of the rounds, in the unit.
        seconds: medians and quartiles of both sides.
        notes: whatever else was measured, by name.
    """

    name: str
    value: float
    unit: str
    target: float
    against: str
    spread: Spread | None = None
    seconds: Mapping[str, Spread] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the number is at most its target."""
        return self.value <= self.target


def compare(
    name: str,
    ours: Callable[[], object],
    baseline: Callable[[], object],
    target: float,
    against: str,
    rounds: int = ROUNDS,
    notes: Mapping[str, Any] | None = None,
) -> Result:
    """The ratio of times, ours over the baseline's: both warmed up, then in turn, medians of all rounds.

    Args:
        name: of the row.
        ours: one run of riemod's side.
        baseline: one run of what it is compared with.
        target: the largest ratio that meets it; 1 / 30 stands for "30 times faster".
        against: what the baseline is.
        rounds: how often each side runs.
        notes: kept in the record.
    """
    return compare_several({name: ours}, baseline, {name: target}, against, rounds, notes)[name]


def compare_several(
    ours: Mapping[str, Callable[[], object]],
    baseline: Callable[[], object],
    targets: Mapping[str, float],
    against: str,
    rounds: int = ROUNDS,
    notes: Mapping[str, Any] | None = None,
) -> dict[str, Result]:
    """Several ratios to one baseline, which takes its turn once a round; the rest as `compare`.

    Args:
        ours: one run of riemod's side, by the name of the row.
        baseline: one run of what they are compared with.
        targets: the largest ratio of each row that meets it.
        against: what the baseline is.
        rounds: how often each side runs.
        notes: kept in each record.
    """
    sides = {**ours, "baseline": baseline}
    for _ in range(2):
        for run in sides.values():
            run()
    times: dict[str, list[float]] = {side: [] for side in sides}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for side, run in sides.items():
                times[side].append(timed(run))
    finally:
        gc.enable()
    base = times.pop("baseline")
    results: dict[str, Result] = {}
    for name, own in times.items():
        seconds = {"ours": Spread.of(own), "baseline": Spread.of(base)}
        ratio = seconds["ours"].median / seconds["baseline"].median
        spread = Spread.of([mine / other for mine, other in zip(own, base, strict=True)])
        results[name] = Result(name, ratio, "x", targets[name], against, spread, seconds, notes or {})
    return results


def timed(run: Callable[[], object]) -> float:
    """Seconds of one run, the GPU's work included."""
    _wait()
    start = time.perf_counter()
    run()
    _wait()
    return time.perf_counter() - start


def median_time(run: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median time of some rounds after a warm-up, in seconds."""
    run()
    return statistics.median(timed(run) for _ in range(rounds))


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the code."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    return {
        "processor": processor,
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def save(result: Result, records: Path) -> None:
    """Write `records/<name>.json`."""
    records.mkdir(parents=True, exist_ok=True)
    content = {**asdict(result), "met": result.met, "machine": machine()}
    (records / f"{result.name}.json").write_text(json.dumps(content, indent=2) + "\n")


def show(results: Sequence[Result]) -> None:
    """Print one table."""
    table = Table("row", "value", "quartiles", "target", "met", "against", title=_title())
    for result in results:
        spread = result.spread
        table.add_row(
            result.name,
            _number(result.value, result.unit),
            f"{spread.lower:.3g} - {spread.upper:.3g}" if spread else "",
            f"<= {_number(result.target, result.unit)}",
            "yes" if result.met else "NO",
            result.against,
        )
    Console(width=None if Console().is_terminal else 140).print(table)


def _title() -> str:
    about = machine()
    return f"{about['processor']}, {about['threads']} threads, torch {about['torch']}"


def _number(value: float, unit: str) -> str:
    if unit == "x" and value < 0.2:
        return f"{value:.3g} x (1/{1 / value:.0f})"
    return f"{value:.3g} {unit}"


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
