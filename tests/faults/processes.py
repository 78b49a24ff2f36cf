"""Child processes that are forked, so that each has torch and riemod loaded at once."""

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

LONGEST = 120.0
_GENTLE = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class End:
    """Holds how a process ended: its exit status (negative for a signal) and its standard error."""

    status: int
    errors: str

    def problem(self, *allowed: int) -> str | None:
        """Say what is wrong with the end: another status, a traceback, or an error that is not one line."""
        last = self.errors.strip().splitlines()[-1:] or [""]
        if "Traceback" in self.errors:
            return f"traceback, status {self.status}: {last[0][:200]}"
        if self.status not in allowed:
            return f"status {self.status}, expected {' or '.join(map(str, allowed))}: {last[0][:200]}"
        lines = self.errors.strip().splitlines()
        if self.status > 0 and len(lines) != 1:
            return f"status {self.status} with {len(lines)} lines on standard error: {' | '.join(lines)[:200]}"
        return None


class Child:
    """Runs a function in a forked process, which ends with the status that a Python program would end with.

    Args:
        function: is called without arguments.
        folder: gets the file that holds standard error.
        output: what standard output goes to.
        before: is called before any signal can arrive.
    """

    def __init__(
        self,
        function: Callable[[], object],
        folder: Path,
        output: str = os.devnull,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._errors = folder / f"errors-{time.monotonic_ns()}"
        # A process that is killed at once opens no file.
        self._errors.touch()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that comes before the child is ready waits until it is.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _GENTLE)
        self.began = time.monotonic()
        with warnings.catch_warnings():
            # A test runner's threads wait for work, and hold no lock that the child needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            _be_the_child(function, self._errors, output, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def signal_after(self, seconds: float, number: signal.Signals) -> None:
        """Send a signal so many seconds after the start; a process that has ended gets none."""
        time.sleep(max(0.0, self.began + seconds - time.monotonic()))
        # The process is a zombie until it is waited for, so its number is not another's.
        os.kill(self.pid, number)

    def wait(self, longest: float = LONGEST) -> End:
        """Wait for the end; a process that takes longer is killed."""
        until = time.monotonic() + longest
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return End(os.waitstatus_to_exitcode(status), self._errors.read_text(errors="replace"))
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                return End(-signal.SIGKILL, f"killed: it did not end within {longest:g} s")
            time.sleep(0.002)


def _be_the_child(function: Callable[[], object], errors: Path, output: str, before: Callable[[], object]) -> None:
    """Run the function and end the process, whatever happens; what the parent had buffered is not written twice."""
    status = 1
    try:
        for descriptor, path in ((1, output), (2, errors)):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(file, descriptor)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        torch.set_num_threads(1)
        before()
        status = _status_of(function)
    except BaseException:
        traceback.print_exc()
    finally:
        # Whatever happens here, the child must not go on as its parent.
        with suppress(Exception):
            sys.stderr.flush()
        try:
            sys.stdout.flush()
        except Exception as error:
            # As Python itself does when it cannot write its last output.
            status = 120
            with suppress(OSError):
                os.write(2, f"Exception ignored: Traceback: {error}\n".encode())
        os._exit(status)


def _status_of(function: Callable[[], object]) -> int:
    """Run a function and return the exit status of a program that is only that function."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _GENTLE)
        try:
            function()
        finally:
            # What comes later would hit this file, not the library.
            signal.pthread_sigmask(signal.SIG_BLOCK, _GENTLE)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
