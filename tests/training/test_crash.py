"""Killed at any moment, a run goes on to the bits of one that was never killed."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor

from riemod.cli.commands import main
from riemod.training import Run, RunDescription, RunFolder, load, lottery, start, train
from tests.training.killing import Killed

Bits = Callable[[Run], dict[str, Tensor]]
Same = Callable[[dict[str, Tensor], dict[str, Tensor]], bool]


class Killer:
    """Kills at the n-th moment at which the disk changes: before it does, or half done for what is no atomic change."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.moments = 0
        self.last: int | None = None
        for owner, name in ((Path, "replace"), (Path, "unlink"), (Path, "mkdir")):
            monkeypatch.setattr(owner, name, self._killing_before(getattr(owner, name)))
        for name in ("write_bytes", "write_text"):
            monkeypatch.setattr(Path, name, self._half_written_by(getattr(Path, name)))
        # The bytes of a file are written, but they have not all arrived.
        monkeypatch.setattr("os.fsync", self._half_written)
        append = RunFolder.append_metrics

        def half_a_row(folder: RunFolder, row: dict[str, Any]) -> None:
            if self._due():
                append(folder, row)
                row_length = len(folder.metrics_file.read_text().splitlines()[-1])
                os.truncate(folder.metrics_file, folder.metrics_file.stat().st_size - row_length // 2)
                raise Killed
            append(folder, row)

        monkeypatch.setattr(RunFolder, "append_metrics", half_a_row)

    def _due(self) -> bool:
        self.moments += 1
        return self.moments == self.last

    def _killing_before(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(path: Path, *arguments: Any, **options: Any) -> Any:
            if self._due():
                raise Killed
            return change(path, *arguments, **options)

        return changed

    def _half_written_by(self, write: Callable[[Path, Any], int]) -> Callable[[Path, Any], int]:
        def written(path: Path, content: Any) -> int:
            if self._due():
                write(path, content[: len(content) // 2])
                raise Killed
            return write(path, content)

        return written

    def _half_written(self, file: int) -> None:
        if self._due():
            # What is no new file is a folder, or a file of which an earlier part is safe on the disk.
            if Path(f"/proc/self/fd/{file}").readlink().suffix in (".partial", ".json"):
                os.ftruncate(file, os.fstat(file).st_size // 2)
            raise Killed


def run_to_the_end(folder: RunFolder, begin: Callable[[], Run]) -> Run:
    """What a user does after a kill: resume what is there, and begin what never was."""
    run = load(folder) if folder.config_file.is_file() else begin()
    train(run)
    return run


@pytest.mark.parametrize("kind", ["run", "ticket"])
def test_killed_at_every_moment_at_which_the_disk_changes(
    kind: str, tmp_path: Path, describe: Callable[..., RunDescription], bits: Bits, same: Same
):
    description = describe(epochs=2, batches_per_epoch=2)
    parent = start(RunFolder(tmp_path / "parent"), description)
    train(parent)

    def begin(folder: RunFolder) -> Run:
        return start(folder, description) if kind == "run" else lottery(load(parent.folder), folder)

    whole = begin(RunFolder(tmp_path / "whole"))
    train(whole)
    expected, rows = bits(whole), whole.folder.metrics_file.read_bytes()
    moment = 0
    while True:
        moment += 1
        folder = RunFolder(tmp_path / f"killed-{moment}")
        with pytest.MonkeyPatch.context() as patch:
            killer = Killer(patch)
            killer.last = moment
            try:
                train(begin(folder))
            except Killed:
                # And twice more, on the way back: at the same number of changes, and at fewer.
                for second in (moment, 1 + moment // 2):
                    killer.moments, killer.last = 0, second
                    with contextlib.suppress(Killed):
                        run_to_the_end(folder, lambda folder=folder: begin(folder))
            else:
                break
        run = run_to_the_end(folder, lambda folder=folder: begin(folder))
        assert same(bits(load(folder)), expected), moment
        assert same(bits(run), expected), moment
        assert len(list(folder.checkpoint.iterdir())) == 2, moment
        assert not [path for path in folder.path.rglob("*") if path.name.endswith(".partial")], moment
        assert folder.metrics_file.read_bytes() == rows, moment
        assert folder.read_record()["metrics"] == whole.folder.read_record()["metrics"], moment
    # Two files and a sweep for each of three checkpoints, two rows, the config and the record, at the least.
    assert moment > 20


def command(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "riemod", *arguments, "--quiet"], stderr=subprocess.PIPE)


def kill_after(process: subprocess.Popen[bytes], folder: RunFolder, rows: int, seconds: float) -> bool:
    """SIGKILL that long after the run has so many rows; False if it was done before."""
    while process.poll() is None and (not folder.config_file.is_file() or len(folder.read_metrics()) < rows):
        time.sleep(0.002)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    return process.returncode == -signal.SIGKILL


def options(task: str) -> list[str]:
    arm = ["--preset", "smoke", "--manifold", "torus", "--learn", "--sparsity", "0.9"]
    return ["train", task, *arm, "--seed", "0", "--threads", "1"]


@pytest.fixture
def command_line() -> Iterator[None]:
    """The command line in this process: tyro puts its own marks where values are missing, which no type allows."""
    threads = torch.get_num_threads()
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def reference(tmp_path: Path, command_line: None) -> Callable[[str], RunFolder]:
    """The run that nobody killed."""

    def make(task: str) -> RunFolder:
        main([*options(task), "--out", str(tmp_path / "whole"), "--quiet"])
        return RunFolder(tmp_path / "whole")

    return make


def kill_once(task: str, folder: RunFolder, moments: random.Random) -> None:
    """Leave a killed run in the folder, its process shot at a random moment of its first four epochs."""
    for _ in range(10):
        process = command(*options(task), "--out", str(folder.path))
        if kill_after(process, folder, moments.randrange(5), moments.uniform(0, 0.15)):
            assert not folder.record_file.exists()
            return
        shutil.rmtree(folder.path)
    pytest.fail("the run was always done before it could be killed")


def assert_same_end(folder: RunFolder, whole: RunFolder, bits: Bits, same: Same) -> None:
    assert same(bits(load(folder)), bits(load(whole)))
    assert folder.metrics_file.read_bytes() == whole.metrics_file.read_bytes()
    ours, theirs = folder.read_record(), whole.read_record()
    assert ours["metrics"] == theirs["metrics"]
    assert ours["sparsity"] == theirs["sparsity"]


def test_a_killed_process_is_resumed_to_the_same_bits(
    tmp_path: Path, reference: Callable[[str], RunFolder], bits: Bits, same: Same
):
    whole, folder = reference("navigation"), RunFolder(tmp_path / "killed")
    kill_once("navigation", folder, random.Random(0))
    process = command("resume", str(folder.path))
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    assert_same_end(folder, whole, bits, same)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["adding", "navigation"])
def test_five_processes_killed_at_random_and_again_while_resuming(
    task: str, tmp_path: Path, reference: Callable[[str], RunFolder], bits: Bits, same: Same
):
    whole, moments = reference(task), random.Random(1)
    for number in range(5):
        folder = RunFolder(tmp_path / f"killed-{number}")
        kill_once(task, folder, moments)
        done = len(folder.read_metrics())
        kill_after(command("resume", str(folder.path)), folder, done + moments.randrange(2), moments.uniform(0, 0.3))
        process = command("resume", str(folder.path))
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
        assert_same_end(folder, whole, bits, same)


@pytest.mark.slow
def test_a_killed_ticket_is_resumed_to_the_same_bits(
    tmp_path: Path, reference: Callable[[str], RunFolder], bits: Bits, same: Same
):
    parent, whole, folder = reference("adding"), RunFolder(tmp_path / "ticket"), RunFolder(tmp_path / "killed")
    main(["lottery", str(parent.path), "--out", str(whole.path), "--quiet"])
    moments = random.Random(2)
    for _ in range(3):
        process = command("lottery", str(parent.path), "--out", str(folder.path))
        kill_after(process, folder, moments.randrange(5), moments.uniform(0, 0.1))
        main(["resume", str(folder.path), "--quiet"])
        assert_same_end(folder, whole, bits, same)
        shutil.rmtree(folder.path)
