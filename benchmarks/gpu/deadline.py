"""A time limit for whatever runs in the main thread."""

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class TimeIsUp(Exception):
    """Ends what runs when its time is up."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise a `TimeIsUp` in the main thread once the time is over, if the context is not left before.

    Python raises it between two of its instructions: a call into a library ends first.

    Args:
        seconds: for all that runs inside; if it is not positive, nothing does, and if it is infinite, all does.
    """

    def end(*_: object) -> None:
        raise TimeIsUp

    if seconds <= 0:
        raise TimeIsUp
    if math.isinf(seconds):
        yield
        return
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
