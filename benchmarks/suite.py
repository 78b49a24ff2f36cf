"""Many runs of one task: arms by sparsities by seeds, resumable, each leaving a small record."""

import itertools
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.intervals import student_interval
from riemod.tasks import RunConfig, task_class
from riemod.training import Run, RunDescription, RunFolder, load, start, train_replicas

Record = dict[str, Any]
RECORDS = Path(__file__).parent / "records"


@dataclass(frozen=True)
class Suite:
    """What a suite runs, and what counts as a lost run.

    Args:
        name: folder of its runs and records.
        task: as `riemod train` names it.
        preset: that every run starts from.
        options: of every run, in place of the preset's.
        arms: options of each arm, by name.
        sparsities: each arm is run at.
        seeds: each arm is run with.
        metrics: in the table, with their units.
        hidden: the recurrent matrix whose sparsity is in the table.
        lost: whether a record is of a run that learned nothing of use.
    """

    name: str
    task: str
    preset: str
    options: Mapping[str, Any]
    arms: Mapping[str, Mapping[str, Any]]
    sparsities: tuple[float, ...]
    seeds: tuple[int, ...]
    metrics: Mapping[str, str]
    hidden: str
    lost: Callable[[Record], bool]

    def configs(self) -> dict[str, RunConfig]:
        """The configuration of every run, by its name; seeds outermost, so that a part of the suite is balanced."""
        preset = task_class(self.task).presets[self.preset]
        return {
            run_name(arm, sparsity, seed): preset.replace(
                **self.options, **self.arms[arm], sparsity=sparsity, seed=seed
            )
            for seed, sparsity, arm in itertools.product(self.seeds, self.sparsities, self.arms)
        }

    @property
    def records(self) -> Path:
        """The folder of the committed records."""
        return RECORDS / self.name


def run_name(arm: str, sparsity: float, seed: int) -> str:
    """The name of a run's folder and record.

    >>> run_name("torus learned", 0.9, 1)
    'torus-learned-90-seed1'
    """
    return f"{arm.replace(' ', '-')}-{100 * sparsity:g}-seed{seed}"


def run_processes(suite: Suite, runs: Path, jobs: int = 2) -> None:
    """Run what has no record yet, `jobs` processes at a time, one thread each.

    Args:
        suite: what to run.
        runs: folder of the runs; killed ones in it are resumed.
        jobs: processes at a time.
    """
    suite.records.mkdir(parents=True, exist_ok=True)
    waiting = {name: config for name, config in suite.configs().items() if not _record_file(suite, name).is_file()}
    running: dict[str, subprocess.Popen[bytes]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            name = next(iter(waiting))
            config, folder = waiting.pop(name), RunFolder(runs / suite.name / name)
            if not folder.config_file.is_file():
                folder.create(RunDescription(suite.task, config.replace(threads=1), None))
            command = [sys.executable, "-m", "riemod", "resume", str(folder.path), "--quiet"]
            running[name] = subprocess.Popen(command)
        time.sleep(0.5)
        for name, process in list(running.items()):
            if process.poll() is not None:
                del running[name]
                _keep_record(suite, name, runs / suite.name / name)
                print(f"{name}: {'done' if process.returncode == 0 else f'failed ({process.returncode})'}", flush=True)


def run_together(
    suite: Suite, runs: Path, threads: int, begin: Callable[[str, RunConfig, RunFolder], Run] | None = None
) -> None:
    """Run what has no record yet, all of it side by side in this process.

    Args:
        suite: what to run, of a task that trains replicas.
        runs: folder of the runs; killed ones in it go on.
        threads: CPU threads.
        begin: makes a new run from its name and config in a folder; None for one with a fresh draw of the weights.
    """
    torch.set_num_threads(threads)
    suite.records.mkdir(parents=True, exist_ok=True)
    members: dict[str, Run] = {}
    for name, config in suite.configs().items():
        folder = RunFolder(runs / suite.name / name)
        if _record_file(suite, name).is_file():
            continue
        if folder.config_file.is_file():
            members[name] = load(folder)
        elif begin is not None:
            members[name] = begin(name, config, folder)
        else:
            members[name] = start(folder, RunDescription(suite.task, config, None))
    if not members:
        return
    began, first = time.perf_counter(), []

    def report(step: int, total: int, row: dict[str, float]) -> None:
        first.append(step)
        rate = (step - first[0]) / (time.perf_counter() - began)
        print(f"{suite.name}: {step} of {total} steps, {rate:.0f} a second, epoch {row['epoch']}", flush=True)

    try:
        train_replicas(list(members.values()), report)
    finally:
        for name, run in members.items():
            _keep_record(suite, name, run.folder.path)


def read_records(suite: Suite) -> dict[tuple[str, float], list[Record]]:
    """The records there are, by arm and sparsity, in the order of the seeds."""
    found: dict[tuple[str, float], list[Record]] = {}
    for sparsity, arm in itertools.product(suite.sparsities, suite.arms):
        paths = [_record_file(suite, run_name(arm, sparsity, seed)) for seed in suite.seeds]
        found[arm, sparsity] = [json.loads(path.read_text()) for path in paths if path.is_file()]
    return found


def print_table(suite: Suite) -> None:
    """Mean, standard deviation and 95 % interval (Student's t) of every metric, and how many runs were lost."""
    columns = [f"{name}, {unit}" for name, unit in suite.metrics.items()]
    table = Table("arm", "sparsity", "n", *columns, "hidden zeros", "lost", "time, s", title=suite.name)
    for (arm, sparsity), found in read_records(suite).items():
        if not found:
            continue
        cells = [summary([record["metrics"][name]["value"] for record in found]) for name in suite.metrics]
        lost = sum(suite.lost(record) for record in found)
        # Records of version 0.1.0's first days have the masks' sparsity alone.
        hidden = statistics.mean(record.get("zeros", record["sparsity"])[suite.hidden] for record in found)
        seconds = statistics.mean(record["wall_time"]["value"] for record in found)
        table.add_row(arm, f"{sparsity:.0%}", str(len(found)), *cells, f"{hidden:.1%}", str(lost), f"{seconds:.0f}")
    Console(width=180).print(table)


def main(run: Callable[[int], None], suites: Sequence[Suite]) -> None:
    """Run what is missing on as many threads or processes as the command line says, or 2, and print the tables.

    With `--table` it only prints.

    Args:
        run: runs the suites on that many.
        suites: whose tables are printed.
    """
    if "--table" not in sys.argv:
        run(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    for suite in suites:
        print_table(suite)


def summary(values: list[float]) -> str:
    """Median (largest), mean ± standard deviation and 95 % interval of the mean by Student's t; one value as it is.

    >>> summary([1.0, 2.0, 3.0])
    '2 (3), 2 ± 1 [-0.484, 4.48]'
    """
    if len(values) < 2:
        return f"{values[0]:.3g}"
    (mean, half), std = student_interval(values), statistics.stdev(values)
    middle = f"{statistics.median(values):.3g} ({max(values):.3g})"
    return f"{middle}, {mean:.3g} ± {std:.2g} [{mean - half:.3g}, {mean + half:.3g}]"


def _record_file(suite: Suite, name: str) -> Path:
    return suite.records / f"{name}.json"


def _keep_record(suite: Suite, name: str, run: Path) -> None:
    record = RunFolder(run).record_file
    if record.is_file():
        shutil.copy(record, _record_file(suite, name))
