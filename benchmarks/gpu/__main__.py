"""Tests marked `cuda`, the speed rows of a GPU, and then navigation at the paper's scale, for nine minutes at most.

python -m benchmarks.gpu
python -m benchmarks.gpu --dry
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console

from benchmarks.gpu.deadline import TimeIsUp, within
from benchmarks.gpu.navigation import train_until
from benchmarks.gpu.rows import DRY, GROUPS, Scale
from benchmarks.speed.harness import Result, machine, save, show

ROOT = Path(__file__).parents[2]
SECONDS = 530.0


@dataclass(frozen=True)
class Options:
    """How to run.

    Args:
        dry: go through every line on the CPU, with small sizes, and keep nothing.
        seconds: for all of it; a dry run, which may have to compile kernels for the CPU, has as long as it needs.
        records: where the records go.
        runs: folder of navigation's runs, which go on where they stopped.
    """

    dry: bool = False
    seconds: float = SECONDS
    records: Path = ROOT / "benchmarks" / "records" / "gpu"
    runs: Path = ROOT / "runs" / "gpu"


def main(options: Options) -> None:
    """Run the stages; a row that fails is told, and the others run."""
    if not (options.dry or torch.cuda.is_available()):
        raise SystemExit("make gpu needs a CUDA device; make gpu DRY=1 goes through it on the CPU")
    end = time.monotonic() + (math.inf if options.dry else options.seconds)
    if options.dry:
        with tempfile.TemporaryDirectory() as folder:
            status = run(DRY, end, Path(folder) / "records", Path(folder) / "runs")
    else:
        status = run(Scale(), end, options.records, options.runs)
    raise SystemExit(status)


def run(scale: Scale, end: float, records: Path, runs: Path) -> int:
    """Run the tests, then the rows that have no record yet, then navigation; return the number of failures.

    Each stage ends when its time is up, whatever it is at: what it has not kept by then is lost, and nothing else.
    """
    console = Console(stderr=True)
    failed, results = 0, list[Result]()
    console.print("tests ...")
    try:
        with within(min(scale.tests_seconds, end - time.monotonic())):
            failed += run_tests(scale) != 0
    except TimeIsUp:
        failed += 1
        console.print("tests: not finished in their time")
    for name, rows in GROUPS.items():
        if list(records.glob(f"{name}*.json")):
            console.print(f"{name}: measured before; remove {records} to measure again")
            continue
        console.print(f"{name} ...")
        try:
            with within(min(scale.rows_seconds, end - time.monotonic())):
                found = rows(scale)
        except TimeIsUp:
            console.print(f"{name}: not finished in its time")
            continue
        except Exception as error:
            failed += 1
            console.print(f"{name} failed: {type(error).__name__}: {error}")
            continue
        for result in found:
            save(result, records)
        results += found
    if results:
        show(results)
    console.print("navigation at the paper's scale ...")
    changes = {"device": scale.device}
    if scale.device == "cpu":
        changes |= {"epochs": 1, "batches_per_epoch": 2, "evaluation_batches": 1, "dense_epochs": 0, "tail_epochs": 0}
    arms = train_until(end, runs, "smoke" if scale.device == "cpu" else "paper", changes)
    if arms:
        records.mkdir(parents=True, exist_ok=True)
        content = {"arms": arms, "machine": machine()}
        (records / "navigation.json").write_text(json.dumps(content, indent=2) + "\n")
    for arm in arms:
        console.print(f"{arm['arm']}: {arm['epochs']} of {arm['of']} epochs in {arm['seconds']:.0f} s")
    return failed


def run_tests(scale: Scale) -> int:
    """Run the tests marked `cuda`; return pytest's status."""
    environment = {**os.environ, "RIEMOD_GPU_TESTS": scale.device}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "tests/cuda"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
