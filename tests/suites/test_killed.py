"""Real processes that are really killed: no finished run and no committed epoch is lost, and workers do not live on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from riemod.suites import Suite, cells, load_suite
from riemod.suites.local import Processes, WorkerLost
from riemod.suites.rows import run_folder
from riemod.suites.runner import Progress, Report, run_suite
from riemod.training.lock import process_began, read_owner

Declare = Callable[..., Path]
EPOCHS, LONG = 6, 60


def test_a_worker_answers_and_hands_over_errors():
    with Processes(1) as executor:
        first, second = executor.submit(os.getpid), executor.submit(int, "x")
        assert first.result() != os.getpid()
        with pytest.raises(ValueError, match="invalid literal"):
            second.result()
        assert executor.submit(os.getpid).result() == first.result()
    assert process_began(first.result()) is None


@pytest.mark.slow
def test_a_killed_worker_fails_its_own_call_alone():
    with Processes(2) as executor:
        pids = [executor.submit(os.getpid) for _ in range(2)]
        assert all(pid.result() for pid in pids)
        killed = executor.submit(os.kill, 0, 0), executor.submit(_kill_self)
        assert killed[0].result() is None
        with pytest.raises(WorkerLost, match="its process ended with status -9"):
            killed[1].result()
        assert executor.submit(sum, (1, 2)).result() == 3


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def longer(declare: Declare) -> Path:
    """A declaration of two short runs, a longer one and a ticket."""
    path = declare(
        ("sparsities = [0.0, 0.5]", "sparsities = [0.5]"),
        ("batches_per_epoch = 4", "batches_per_epoch = 60"),
        ("epochs = 3", f"epochs = {EPOCHS}"),
        ("replicas = 3", "replicas = 1"),
        ("learn = true", f"learn = true, epochs = {LONG}"),
    )
    path.write_text(path.read_text().split("[tickets")[0] + '[tickets.lottery.arms]\n"none" = {}\n')
    return path


def trainers(suite: Suite, out: Path) -> dict[str, int]:
    """The process that trains each run now, by the run's key."""
    owners = {run.key: read_owner(run_folder(out, run).path / "lock.json") for run in suite.runs}
    return {key: owner.pid for key, owner in owners.items() if owner is not None}


def rows_of_metrics(suite: Suite, out: Path) -> dict[str, list[int]]:
    """The epochs in the metrics of each run that began."""
    return {run.key: [row["epoch"] for row in run_folder(out, run).read_metrics()] for run in suite.runs}


@pytest.mark.slow
def test_a_killed_worker_loses_no_epoch(longer: Path, tmp_path: Path):
    suite, out = load_suite(longer, "smoke"), tmp_path / "out"
    killed: list[tuple[str, list[str]]] = []

    def report(progress: Progress) -> None:
        for run in suite.runs if not killed else ():
            folder = run_folder(out, run)
            pid = trainers(suite, out).get(run.key)
            if len(folder.read_metrics()) >= 2 and not folder.record_file.is_file() and pid is not None:
                os.kill(pid, signal.SIGKILL)
                killed.append((run.key, folder.metrics_file.read_text().splitlines()[:2]))
                return

    assert run_suite(suite, out, lambda: Processes(2), lambda: 2, report) == Report(4, 0, {})
    ((key, before),) = killed
    folder = run_folder(out, next(run for run in suite.runs if run.key == key))
    assert folder.metrics_file.read_text().splitlines()[:2] == before
    assert_whole(suite, out)
    assert len(list(cells(suite, out))) == 4


def assert_whole(suite: Suite, out: Path) -> None:
    """Check that each run has a row of metrics for each of its epochs, in order."""
    expected = {run.key: list(range(run.config.training.epochs)) for run in suite.runs}
    assert rows_of_metrics(suite, out) == expected


def command(declaration: Path, out: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "riemod", "bench", str(declaration), "--preset", "smoke", "--jobs", "2"),
        *("--out", str(out)),
    ]


def wait_until(true: Callable[[], bool], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=str)
def test_a_killed_runner_loses_nothing_and_leaves_no_workers(number: signal.Signals, longer: Path, tmp_path: Path):
    suite, out = load_suite(longer, "smoke"), tmp_path / "out"
    rows = out / "tiny" / "smoke"
    with subprocess.Popen(command(longer, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as runner:
        learned = next(run for run in suite.runs if run.arm == "torus learned")
        wait_until(lambda: any(rows.glob("*.json")) and len(run_folder(out, learned).read_metrics()) > 1)
        workers = set(trainers(suite, out).values())
        runner.send_signal(number)
        _, errors = runner.communicate(timeout=600)
    assert runner.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    expected = "" if number == signal.SIGKILL else "riemod: interrupted: no finished run and no epoch is lost, "
    assert errors.startswith(expected)
    assert errors.count("\n") == bool(expected)
    wait_until(lambda: all(process_began(pid) is None for pid in workers))
    finished = {path: path.read_bytes() for path in rows.glob("*.json")}
    epochs = rows_of_metrics(suite, out)
    again = subprocess.run(command(longer, out), capture_output=True, text=True, check=True)
    assert f"{4 - len(finished)} runs trained, {len(finished)} were done before" in again.stdout
    assert {path: path.read_bytes() for path in finished} == finished
    assert_whole(suite, out)
    assert all(after[: len(epochs[key])] == epochs[key] for key, after in rows_of_metrics(suite, out).items())
    third = subprocess.run(command(longer, out), capture_output=True, text=True, check=True)
    assert "tiny smoke: all 4 runs were done before, nothing to do" in third.stdout


@pytest.mark.slow
def test_two_runners_on_one_folder_share_the_work(longer: Path, tmp_path: Path):
    suite, out = load_suite(longer, "smoke"), tmp_path / "out"
    runners = [subprocess.Popen(command(longer, out), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [runner.communicate(timeout=600)[0] for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0]
    assert all("0 failed" in output or "nothing to do" in output for output in outputs)
    assert_whole(suite, out)
    rows = [json.loads(path.read_text()) for path in (out / "tiny").rglob("*.json")]
    assert {row["suite"]["key"] for row in rows} == {run.key for run in suite.runs}
