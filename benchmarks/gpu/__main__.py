"""Tests marked `cuda`, the speed rows of a GPU, and then navigation at the paper's scale, for nine minutes at most.

python -m benchmarks.gpu
python -m benchmarks.gpu --dry
"""

import json
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

from benchmarks.gpu.navigation import train_until
from benchmarks.gpu.rows import DRY, GROUPS, Scale
from benchmarks.speed.harness import Result, machine, save, show

ROOT = Path(__file__).parents[2]
SECONDS = 530.0
# What is left to a stage that begins late.
_LEAST = 20.0


@dataclass(frozen=True)
class Options:
    """How to run.

    Args:
        dry: go through every line on the CPU, with small sizes, and keep nothing.
        seconds: for all of it.
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
    end = time.monotonic() + options.seconds
    if options.dry:
        with tempfile.TemporaryDirectory() as folder:
            status = run(DRY, end, Path(folder) / "records", Path(folder) / "runs")
    else:
        status = run(Scale(), end, options.records, options.runs)
    raise SystemExit(status)


def run(scale: Scale, end: float, records: Path, runs: Path) -> int:
    """Run the tests, then the rows, then navigation until the end; return the number of stages that failed."""
    console = Console(stderr=True)
    console.print("tests ...")
    failed = int(run_tests(scale, end) != 0)
    results: list[Result] = []
    for name, rows in GROUPS.items():
        if time.monotonic() > end - _LEAST:
            console.print(f"{name}: no time left")
            continue
        console.print(f"{name} ...")
        try:
            found = rows(scale)
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
    records.mkdir(parents=True, exist_ok=True)
    content = {"arms": arms, "machine": machine()}
    (records / "navigation.json").write_text(json.dumps(content, indent=2) + "\n")
    for arm in arms:
        console.print(f"{arm['arm']}: {arm['epochs']} of {arm['of']} epochs in {arm['seconds']:.0f} s")
    return failed


def run_tests(scale: Scale, end: float) -> int:
    """Run the tests marked `cuda`; return pytest's status."""
    environment = {**os.environ, "RIEMOD_GPU_TESTS": scale.device}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "tests/cuda"]
    try:
        left = max(end - time.monotonic(), 1.0)
        return subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=left).returncode
    except subprocess.TimeoutExpired:
        return 1


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
