"""Ctrl-C (SIGINT) and SIGTERM in the command `riemod`: one line, a status, and nothing lost.

While the command imports its libraries there is nothing to lose, so a signal ends the process at once. Inside `raised`
a signal raises `Interrupted`, so that files are closed and locks released. A second signal, or one that arrives where
Python cannot raise, ends the process at once: for the run that is the same as a kill, after which it resumes.

`import riemod` in any other program changes no signal. This module imports nothing slow, and riemod imports it first.
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN = "interrupted: nothing was lost, give the same command again"
_SHOW_CURSOR = "\x1b[?25h"


class Interrupted(KeyboardInterrupt):
    """Reports that the process was sent SIGINT or SIGTERM."""


class _State:
    """What the handler knows."""

    def __init__(self) -> None:
        self.raises = False
        self.received: int | None = None
        self.advice: Callable[[], str] = lambda: AGAIN


_STATE = _State()


def advise(line: Callable[[], str]) -> None:
    """Set what to say when the process is interrupted, until the command ends.

    Args:
        line: returns it, such as "interrupted after 3 epochs: riemod resume runs/a"; it is called at the interrupt.
    """
    _STATE.advice = line


def advice() -> str:
    """Return what to say now."""
    with suppress(Exception):
        return _STATE.advice()
    return AGAIN


def received() -> int | None:
    """Return the number of the signal that arrived inside the last `raised`; None if there was none."""
    return _STATE.received


@contextmanager
def raised() -> Iterator[None]:
    """Raise `Interrupted` at SIGINT and SIGTERM inside the context, if it is entered in the main thread."""
    _STATE.received, _STATE.advice, _STATE.raises = None, (lambda: AGAIN), True
    before = _answer()
    hook = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: _unless_lost(unraisable, hook)
    try:
        yield
    finally:
        _STATE.raises = False
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def is_command() -> bool:
    """Return whether this process is `riemod` or `python -m riemod`, as far as can be seen while it imports riemod."""
    name = sys.argv[0] if sys.argv else ""
    if name == "-m":  # Python says so while it looks for the module to run.
        options = sys.orig_argv
        return ("-m", "riemod") in itertools.pairwise(options) or "-mriemod" in options
    return Path(name).stem == "riemod"


def _answer() -> dict[int, Any]:
    """Answer both signals from now on; return the handlers before. Ignored signals stay ignored, as under nohup."""
    before = {}
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if handler not in (None, signal.SIG_IGN):
            try:
                signal.signal(number, _on_signal)
            except ValueError:  # not the main thread
                break
            before[number] = handler
    return before


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _STATE.raises and _STATE.received is None:
        _STATE.received = number
        raise Interrupted
    _end(number)


def _unless_lost(unraisable: Any, hook: Callable[[Any], Any]) -> None:
    """End the process if the interrupt was raised where Python drops exceptions, as in a destructor."""
    if isinstance(unraisable.exc_value, Interrupted):
        _end(_STATE.received or signal.SIGINT)
    hook(unraisable)


def _end(number: int) -> NoReturn:
    with suppress(OSError, ValueError):
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), _SHOW_CURSOR.encode())  # The progress bar had hidden it.
    with suppress(OSError):
        os.write(2, f"riemod: {advice()}\n".encode())
    os._exit(128 + number)


if is_command():
    _answer()
