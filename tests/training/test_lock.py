"""Two writers: the second is refused with the first one's name, and a lock whose process is gone is taken over."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from riemod.training import Run, RunError, RunFolder, load, lottery, save, train, train_replicas
from riemod.training import lock as locks
from riemod.training.checkpoint import Checkpoint
from riemod.training.lock import LOCK, Owner, hold, process_began
from tests.training.killing import Killed, stop_in

Begin = Callable[..., Run]
# Holds the lock of a folder until its standard input ends; it loads nothing else of riemod, so that it starts at once.
HOLDER = """
import importlib.util, sys, types
from pathlib import Path
for name in ("riemod", "riemod.training"):
    sys.modules[name] = types.ModuleType(name)
for name in ("errors", "lock"):
    path = Path(sys.argv[1]) / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"riemod.training.{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
if sys.argv[3] == "no flock":
    module.fcntl = None
with module.hold(Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder: Path, how: str = "flock") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of a folder."""
    room = str(Path(locks.__file__).parent)
    command = [sys.executable, "-c", HOLDER, room, str(folder), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(params=["flock", "no flock"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the system has locks of its own."""
    if request.param == "no flock":
        monkeypatch.setattr(locks, "fcntl", None)
    return request.param


def test_a_second_writer_is_refused_with_the_first_one_s_name(how: str, tmp_path: Path, begin: Begin):
    run = begin(tmp_path / "run")
    other = begin(tmp_path / "other")
    with held_elsewhere(run.folder.path, how) as process:
        name = rf"process {process.pid} on host '{socket.gethostname()}', since '\d{{4}}-"
        for write in (
            lambda: train(run),
            lambda: save(run),
            lambda: train(load(run.folder)),
            lambda: train_replicas([other, run]),
        ):
            with pytest.raises(RunError, match=name):
                write()
        assert load(run.folder).epoch == 0
        assert run.folder.read_metrics() == []
        assert json.loads((run.folder.path / LOCK).read_text())["pid"] == process.pid
    assert not (other.folder.path / LOCK).exists()
    train(run)
    assert not (run.folder.path / LOCK).exists()


def test_a_folder_in_which_a_run_is_being_made_is_taken(tmp_path: Path, begin: Begin):
    parent = begin(tmp_path / "parent")
    train(parent)
    (tmp_path / "run").mkdir()
    with held_elsewhere(tmp_path / "run"):
        with pytest.raises(RunError, match="run must have one writer"):
            begin(tmp_path / "run")
        with pytest.raises(RunError, match="run must have one writer"):
            lottery(parent, RunFolder(tmp_path / "run"))
    begin(tmp_path / "run2")
    assert not (tmp_path / "run" / "config.json").exists()


def test_the_lock_of_a_killed_process_is_taken_over(
    how: str, tmp_path: Path, begin: Begin, caplog: pytest.LogCaptureFixture
):
    run = begin(tmp_path / "run")
    with held_elsewhere(run.folder.path, how) as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(RunError, match=f"process {process.pid}"):
            train(run)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        # It is dead, but its parent has not asked for its status: the system still knows its number.
        assert process_began(process.pid) is None
        with caplog.at_level(logging.WARNING, "riemod"):
            train(run)
    assert [f"from process {process.pid} on host" in record.getMessage() for record in caplog.records] == [True]
    assert not list(run.folder.path.glob("*lock*"))


def test_a_later_process_of_the_same_number_is_not_the_owner(how: str, tmp_path: Path, begin: Begin):
    run = begin(tmp_path / "run")
    boot, ticks = str(process_began(os.getppid())).split()
    for began in (f"{boot} {int(ticks) - 1}", f"another-boot {ticks}"):
        owner = Owner(socket.gethostname(), os.getppid(), began, "2026-01-01")
        (run.folder.path / LOCK).write_text(json.dumps(owner._asdict()))
        save(run)
    owner = owner._replace(began=f"{boot} {ticks}")
    (run.folder.path / LOCK).write_text(json.dumps(owner._asdict()))
    with pytest.raises(RunError, match=rf"process {os.getppid()} .* since '2026-01-01'$"):
        save(run)


def test_the_lock_of_another_host_is_left_to_the_user(how: str, tmp_path: Path, begin: Begin):
    run = begin(tmp_path / "run")
    path = run.folder.path / LOCK
    path.write_text(json.dumps(Owner("elsewhere", 1, None, "2026-01-01")._asdict()))
    message = rf"process 1 on host 'elsewhere', since '2026-01-01'; if that process is gone, remove {path}"
    with pytest.raises(RunError, match=message):
        train(run)
    path.unlink()
    train(run)


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", "null", "\x00" * 9000, '{"host": 1, "pid": "x", "began": 3, "since": null}', "[" * 5000]
)
def test_a_damaged_lock_that_no_process_holds_is_taken_over(
    content: str, tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
):
    run = begin(tmp_path / "run")
    monkeypatch.setattr(locks, "_PATIENCE", 0.0)
    (run.folder.path / LOCK).write_text(content)
    with monkeypatch.context() as patch:
        patch.setattr(locks, "fcntl", None)
        with pytest.raises(RunError, match=r"it is trained by another process; if that process is gone, remove"):
            save(run)
    save(run)
    assert not (run.folder.path / LOCK).exists()


def test_a_thread_holds_it_several_times_and_another_thread_not_at_all(tmp_path: Path):
    errors: list[str] = []

    def other() -> None:
        try:
            with hold(tmp_path):
                pass
        except RunError as error:
            errors.append(str(error))

    with hold(tmp_path), hold(tmp_path / "."):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(errors) == 1
    assert f"second thread of process {os.getpid()}" in errors[0]
    assert list(tmp_path.iterdir()) == []
    other()
    assert len(errors) == 1


def test_a_run_that_stopped_leaves_no_lock(tmp_path: Path, begin: Begin):
    run = begin(tmp_path / "run")
    with pytest.raises(Killed):
        train(run, stop_in(1))
    assert not (run.folder.path / LOCK).exists()


def test_a_run_that_was_trained_on_since_it_was_loaded_is_refused(tmp_path: Path, begin: Begin):
    run = begin(tmp_path / "run")
    late = load(run.folder)
    with pytest.raises(Killed):
        train(run, stop_in(1))
    rows = run.folder.read_metrics()
    for go_on in (train, lambda run: train_replicas([run])):
        with pytest.raises(RunError, match=r"was trained on since this run was loaded: load it again"):
            go_on(late)
    assert run.folder.read_metrics() == rows
    assert train(load(run.folder))["metrics"]


def test_a_lock_that_cannot_be_written_is_no_lock(tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch):
    run = begin(tmp_path / "run")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            train(run)
    assert not (run.folder.path / LOCK).exists()
    train(run)


def test_what_a_kill_left_beside_the_checkpoint_goes_when_the_run_is_loaded(tmp_path: Path, begin: Begin):
    run = begin(tmp_path / "run")
    train(run)
    old = run.folder.checkpoint / "0123456789abcdef.safetensors"
    old.write_bytes(b"old")
    with held_elsewhere(run.folder.path):
        load(run.folder)
        assert old.exists()  # a process that trains the run may be writing it
    load(run.folder)
    assert not old.exists()
    assert len(list(run.folder.checkpoint.iterdir())) == 2


def test_a_reader_follows_a_checkpoint_that_is_replaced_meanwhile(
    tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
):
    run = begin(tmp_path / "run")
    read, late = Checkpoint._read, load(run.folder)

    def replaced_before(checkpoint: Checkpoint, path: Path) -> None:
        monkeypatch.setattr(Checkpoint, "_read", read)
        late.seconds += 1.0
        save(late)
        read(checkpoint, path)

    monkeypatch.setattr(Checkpoint, "_read", replaced_before)
    assert load(run.folder).seconds == 1.0
