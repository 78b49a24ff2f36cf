"""The moments at which a process changes a folder on the disk, whatever functions it does that with."""

import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from riemod.training import RunFolder

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")

Act = Callable[[int], None]
"""Called with a moment's number, from 1."""


def kill_at(moment: int) -> Act:
    """Return what ends the process by SIGKILL at that moment."""

    def act(number: int) -> None:
        if number == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def watch(folder: Path, act: Act, halve: bool = True) -> None:
    """Call `act` at each moment, in this process and for good; call it in a forked process alone.

    Moments are: before a file in the folder is opened for writing, renamed, removed or made; when its bytes were
    written, but only half of them have arrived (`halve` cuts the file before the call and mends it after); after it
    took its final name; and when half a row of metrics has arrived.

    Args:
        folder: changes elsewhere are no moments.
        act: is called with the moment's number.
        halve: whether files are cut; for an `act` that kills.
    """
    count = 0
    inside = False

    def reach() -> None:
        nonlocal count, inside
        if not inside:
            count += 1
            inside = True
            try:
                act(count)
            finally:
                inside = False

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        # The third argument of "open" has the flags.
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
            return
        if Path(os.fsdecode(arguments[0])).is_relative_to(folder):
            reach()

    fsync, replace, append = os.fsync, os.replace, RunFolder.append_metrics

    def half_arrived(file: Any) -> None:
        number = file if isinstance(file, int) else file.fileno()
        path = Path(os.readlink(f"/proc/self/fd/{number}"))
        if halve and path.is_file() and path.is_relative_to(folder):
            content = path.read_bytes()
            appends = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_APPEND
            # Of a file that is appended to, only the last line is on its way.
            on_its_way = len(content.splitlines(keepends=True)[-1]) if appends and content else len(content)
            os.ftruncate(number, len(content) - (on_its_way + 1) // 2)
            reach()
            # A write to a file that is appended to goes to its end, wherever it is sent.
            os.ftruncate(number, 0)
            os.pwrite(number, content, 0)
        else:
            reach()
        fsync(file)

    def replaced(*arguments: Any, **options: Any) -> None:
        replace(*arguments, **options)
        reach()

    def half_a_row(self: RunFolder, row: dict[str, Any]) -> None:
        append(self, row)
        if halve:
            content = self.metrics_file.read_bytes()
            length = len(content.splitlines()[-1])
            os.truncate(self.metrics_file, len(content) - length // 2)
            reach()
            self.metrics_file.write_bytes(content)

    sys.addaudithook(audit)
    os.fsync, os.replace = half_arrived, replaced
    RunFolder.append_metrics = half_a_row
