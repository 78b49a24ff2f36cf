"""Ctrl-C and SIGTERM, at any moment: one line that says how to go on, a defined status, and nothing lost."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from riemod import _signals
from riemod.training import RunFolder, load, train

SMALL = ["--preset", "smoke", "--hidden-size", "8", "--batch-size", "8", "--evaluation-batches", "2", "--threads", "1"]
LONG = ["--epochs", "100", "--batches-per-epoch", "4", "--tail-epochs", "1", "--manifold", "none", "--sparsity", "0.5"]
# A shell that starts jobs in the background may ignore SIGINT, and a child inherits that.
ATTENTIVE = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
os.execv(sys.executable, [sys.executable, "-m", "riemod", *sys.argv[1:]])
"""
AGAIN = rf"riemod: {_signals.AGAIN}"


def command(*arguments: str) -> subprocess.Popen[str]:
    options = [sys.executable, "-c", ATTENTIVE, *arguments, "--quiet"]
    return subprocess.Popen(options, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_until(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    while process.poll() is None and not happened():
        time.sleep(0.001)


def answers(process: subprocess.Popen[str]) -> bool:
    """Whether a process has a handler for SIGTERM, which no program of Python has from the start."""
    try:
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
    except OSError:
        return False
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def end(process: subprocess.Popen[str], number: int) -> str:
    """Send a signal; return the one line that the process leaves."""
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert out == ""
    assert errors.count("\n") == 1
    return errors.strip()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see when a process answers signals")
@pytest.mark.parametrize(
    ("number", "seconds"),
    [
        (signal.SIGINT, 0.0),
        (signal.SIGINT, 0.8),
        (signal.SIGTERM, 0.4),
        *(
            pytest.param(number, tenths / 10, marks=pytest.mark.slow)
            for number in (signal.SIGINT, signal.SIGTERM)
            for tenths in range(1, 40, 3)
        ),
    ],
)
def test_in_the_first_seconds(number: int, seconds: float, tmp_path: Path):
    process = command("train", "adding", *SMALL, *LONG, "--out", str(tmp_path / "run"))
    wait_until(process, lambda: answers(process))
    time.sleep(seconds)
    line = end(process, number)
    if (tmp_path / "run" / "config.json").exists():
        assert line.endswith(f"riemod resume {tmp_path / 'run'}")
    else:
        assert line == AGAIN


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_run_that_was_interrupted_again_and_again_ends_with_the_same_bits(number: int, tmp_path: Path):
    folder, whole = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "whole")
    moments: list[Callable[[], bool]] = [
        folder.config_file.exists,
        lambda: folder.has_checkpoint,
        lambda: len(folder.read_metrics()) >= 1,
        lambda: len(folder.read_metrics()) >= 9,
    ]
    arguments = ["train", "adding", *SMALL, *LONG, "--out", str(folder.path)]
    for moment in moments:
        process = command(*arguments)
        wait_until(process, moment)
        line = end(process, number)
        epochs = len(folder.read_metrics())
        assert line == f"riemod: interrupted after {epochs} epochs: riemod resume {folder.path}"
        assert not (folder.path / "lock.json").exists()
        arguments = ["resume", str(folder.path)]
    train(load(folder))
    whole.create(folder.read_description())
    train(load(whole))
    assert folder.metrics_file.read_bytes() == whole.metrics_file.read_bytes()
    assert folder.read_record()["metrics"] == whole.read_record()["metrics"]


def test_replicas_that_were_interrupted_all_go_on(tmp_path: Path):
    out = tmp_path / "runs"
    process = command("train", "adding", *SMALL, *LONG, "--replicas", "3", "--out", str(out))
    wait_until(process, (out / "seed2" / "config.json").exists)
    line = end(process, signal.SIGINT)
    folders = [str(out / f"seed{seed}") for seed in range(3)]
    assert re.fullmatch(rf"riemod: interrupted after \d+ epochs: riemod resume {' '.join(folders)}", line)
    done = subprocess.run(
        [sys.executable, "-m", "riemod", "resume", *folders, "--quiet"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with _signals.raised():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_raised_inside_alone(number: int):
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("the tests were started with this signal ignored, as under nohup")
    handlers = [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook]
    with pytest.raises(_signals.Interrupted), _signals.raised():
        signal.raise_signal(number)
    assert _signals.received() == number
    assert [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook] == handlers


LOST = """
import signal
from riemod import _signals
class Deaf:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
with _signals.raised():
    _signals.advise(lambda: "interrupted here")
    deaf = Deaf()
    {how}
    print("went on")
"""


@pytest.mark.parametrize("how", ["del deaf", "try: signal.raise_signal(15)\n    except BaseException: del deaf"])
def test_where_python_drops_exceptions_and_at_the_second_signal_the_process_ends(how: str):
    done = subprocess.run([sys.executable, "-c", LOST.format(how=how)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "riemod: interrupted here\n")


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("-m", ["python", "-m", "riemod", "show"], True),
        ("-m", ["python", "-mriemod"], True),
        ("-m", ["python", "-m", "pytest", "-k", "riemod"], False),
        ("/usr/bin/riemod", ["python", "/usr/bin/riemod"], True),
        ("train.py", ["python", "train.py"], False),
        ("", ["python"], False),
    ],
)
def test_only_the_command_answers_signals_while_it_imports(
    name: str, options: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "argv", [name])
    monkeypatch.setattr(sys, "orig_argv", options)
    assert _signals.is_command() is expected
