"""A Dask cluster of separate processes: it trains a suite while a worker is killed; bad clusters are refused."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from riemod.suites import SuiteError, cells, load_suite
from riemod.suites.cluster import connect
from riemod.suites.rows import run_folder
from riemod.suites.runner import Progress, Report, run_suite
from riemod.training.lock import read_owner

Declare = Callable[..., Path]


@contextmanager
def started(*arguments: str, folder: Path, path: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Dask's command, without a dashboard, in a folder without a package of its own."""
    environment = os.environ | ({} if path is None else {"PYTHONPATH": str(path)})
    command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:], "--no-dashboard"]
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=null, stderr=null, env=environment, cwd=folder) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Path]:
    """The scheduler file of a scheduler in a process of its own."""
    file = tmp_path / "scheduler.json"
    address = ("--host", "127.0.0.1", "--port", "0")
    with started("scheduler", *address, "--scheduler-file", str(file), folder=tmp_path):
        end = time.monotonic() + 60
        while not file.exists() or not file.read_text().strip():
            assert time.monotonic() < end
            time.sleep(0.1)
        yield file


def worker(scheduler: Path, path: Path | None = None):
    one_thread = ("--nthreads", "1", "--no-nanny")
    return started("worker", "--scheduler-file", str(scheduler), *one_thread, folder=scheduler.parent, path=path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_cluster_trains_a_suite_and_one_of_its_workers_is_killed(declare: Declare, tmp_path: Path, scheduler: Path):
    path = declare(("batches_per_epoch = 4", "batches_per_epoch = 60"), ("epochs = 3", "epochs = 10"))
    path.write_text(path.read_text().split("[tickets")[0])
    suite, out = load_suite(path, "smoke"), tmp_path / "out"
    killed: list[int] = []
    with worker(scheduler) as first, worker(scheduler), connect(str(scheduler), patience=60) as cluster:

        def report(progress: Progress) -> None:
            owners = [read_owner(run_folder(out, run).path / "lock.json") for run in suite.runs]
            epochs = sum(len(run_folder(out, run).read_metrics()) for run in suite.runs)
            if not killed and epochs > 3 and first.pid in [owner.pid for owner in owners if owner is not None]:
                os.kill(first.pid, signal.SIGKILL)
                killed.append(first.pid)

        assert run_suite(suite, out, lambda: cluster.executor, cluster.jobs, report) == Report(6, 0, {})
        assert cluster.jobs() == 1
    assert killed
    assert len(list(cells(suite, out))) == 6
    for run in suite.runs:
        assert [row["epoch"] for row in run_folder(out, run).read_metrics()] == list(range(10))


def refused(address: str, message: str, patience: float) -> None:
    with pytest.raises(SuiteError, match=message), connect(address, patience):
        pass


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_worker_without_riemod_or_of_another_version_is_refused(tmp_path: Path, scheduler: Path):
    (tmp_path / "lacking" / "riemod").mkdir(parents=True)
    (tmp_path / "lacking" / "riemod" / "__init__.py").write_text("raise ImportError('no riemod here')\n")
    with worker(scheduler, tmp_path / "lacking"):
        refused(str(scheduler), r"must have riemod, got .*no riemod", 60)
    info = tmp_path / "older" / "riemod-0.0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: riemod\nVersion: 0.0.1\n")
    root = Path(__file__).parents[2]
    (tmp_path / "older" / "riemod").symlink_to(root / "riemod")
    with worker(scheduler, tmp_path / "older"):
        refused(str(scheduler), r"got riemod 0\.0\.1 in place of 0\.", 60)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_cluster_that_cannot_train_is_refused(scheduler: Path, tmp_path: Path):
    refused(str(scheduler), "has no workers after 1 s", 1)
    refused("tcp://127.0.0.1:9", r"'tcp://127\.0\.0\.1:9' does not answer", 1)


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SuiteError, match=r"pip install 'riemod\[cluster\]'"), connect("tcp://127.0.0.1:9"):
        pass


def test_a_scheduler_file_without_an_address_is_refused(tmp_path: Path):
    refused(str(tmp_path / "none.json"), r"none\.json' does not answer: .*No such file", 0.2)
    for number, text in enumerate(("", "[]", '{"address": 1}', '{"id": "x"}')):
        file = tmp_path / f"{number}.json"
        file.write_text(text)
        refused(str(file), rf"{number}\.json' does not answer: ", 0.0)
