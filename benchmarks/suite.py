"""Many runs of one task: arms by seeds by sparsities, two at a time, resumable, each leaving a small record."""

import itertools
import json
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from scipy import stats


@dataclass(frozen=True)
class Suite:
    """What a suite runs, and what counts as a lost run.

    Args:
        name: folder of its runs and records.
        task: as `riemod train` names it.
        options: of every run.
        arms: options of each arm, by name.
        sparsities: each arm is run at.
        seeds: each arm is run with.
        metrics: in the table, with their units.
        lost_level: a run whose first metric is above this level of its record has learned nothing of use.
    """

    name: str
    task: str
    options: tuple[str, ...]
    arms: dict[str, tuple[str, ...]]
    sparsities: tuple[float, ...]
    seeds: tuple[int, ...]
    metrics: dict[str, str]
    lost_level: str

    def runs(self) -> dict[str, list[str]]:
        """The command line of every run, by its name; seeds outermost, so that a part of the suite is balanced."""
        return {
            f"{arm.replace(' ', '-')}-{100 * sparsity:g}-seed{seed}": [
                *("train", self.task, *self.options, *self.arms[arm]),
                *("--sparsity", str(sparsity), "--seed", str(seed)),
            ]
            for seed, sparsity, arm in itertools.product(self.seeds, self.sparsities, self.arms)
        }


def run_suite(suite: Suite, runs: Path, records: Path, jobs: int = 2) -> None:
    """Run what has no record yet, `jobs` processes at a time, one thread each.

    Args:
        suite: what to run.
        runs: folder of the runs; killed ones in it are resumed.
        records: folder of the records; a run that has one is not run again.
        jobs: processes at a time.
    """
    records.mkdir(parents=True, exist_ok=True)
    waiting = {name: command for name, command in suite.runs().items() if not (records / f"{name}.json").is_file()}
    running: dict[str, subprocess.Popen[bytes]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            name = next(iter(waiting))
            command, folder = waiting.pop(name), runs / suite.name / name
            if (folder / "config.json").is_file():
                arguments = ["resume", str(folder)]
            else:
                arguments = [*command, "--out", str(folder), "--threads", "1"]
            running[name] = subprocess.Popen([sys.executable, "-m", "riemod", *arguments, "--quiet"])
        time.sleep(0.5)
        for name, process in list(running.items()):
            if process.poll() is not None:
                del running[name]
                record = runs / suite.name / name / "record.json"
                if process.returncode == 0 and record.is_file():
                    shutil.copy(record, records / f"{name}.json")
                print(f"{name}: {'done' if process.returncode == 0 else f'failed ({process.returncode})'}", flush=True)


def read_records(suite: Suite, records: Path) -> dict[tuple[str, float], list[dict[str, Any]]]:
    """The records there are, by arm and sparsity, in the order of the seeds."""
    found: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for sparsity, arm in itertools.product(suite.sparsities, suite.arms):
        paths = [records / f"{arm.replace(' ', '-')}-{100 * sparsity:g}-seed{seed}.json" for seed in suite.seeds]
        found[arm, sparsity] = [json.loads(path.read_text()) for path in paths if path.is_file()]
    return found


def print_table(suite: Suite, records: Path) -> None:
    """Mean, standard deviation and 95 % interval (Student's t) of every metric, and how many runs were lost."""
    columns = [f"{name}, {unit}" for name, unit in suite.metrics.items()]
    table = Table("arm", "sparsity", "n", *columns, "hidden sparsity", "lost", "time, s", title=suite.name)
    for (arm, sparsity), found in read_records(suite, records).items():
        if not found:
            continue
        cells = [summary([record["metrics"][name]["value"] for record in found]) for name in suite.metrics]
        first = next(iter(suite.metrics))
        lost = sum(record["metrics"][first]["value"] > record["levels"][suite.lost_level]["value"] for record in found)
        hidden = statistics.mean(record["sparsity"]["rnn.weight_hh_l0"] for record in found)
        seconds = statistics.mean(record["wall_time"]["value"] for record in found)
        table.add_row(arm, f"{sparsity:.0%}", str(len(found)), *cells, f"{hidden:.1%}", str(lost), f"{seconds:.0f}")
    Console(width=160).print(table)


def summary(values: list[float]) -> str:
    """Mean ± standard deviation and the 95 % interval of the mean by Student's t; the value alone if there is one.

    >>> summary([1.0, 2.0, 3.0])
    '2 ± 1 [-0.484, 4.48]'
    """
    if len(values) < 2:
        return f"{values[0]:.3g}"
    mean, std = statistics.mean(values), statistics.stdev(values)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * std / len(values) ** 0.5
    return f"{mean:.3g} ± {std:.2g} [{mean - half:.3g}, {mean + half:.3g}]"
