"""Shares bands of tiles among threads, each band on one thread from its first tile to its last.

Threads meet once, at the end. A core that another process takes costs its share of the bands, and no more: where each
tile is split among threads that wait for one another, all wait for the slowest after every tile.
"""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

__all__ = ["BANDS", "run_bands"]

# The number of bands never depends on that of the threads, so that sums are added up in the same order.
BANDS = 32

_LOCK = Lock()
_POOLS: dict[int, ThreadPoolExecutor] = {}


def run_bands(work: Callable[[int], None], count: int, threads: int) -> None:
    """Call work(0), ..., work(count - 1) on that many threads, this one among them; each takes the next that is left.

    Args:
        work: releases the GIL for most of its time. Threads other than this one run it with gradients enabled.
        count: of the bands.
        threads: how many at most.

    Raises:
        Exception: what one of the calls raised, once no thread is at work any more.
    """
    left = itertools.count()

    def take() -> None:
        while (band := next(left)) < count:
            work(band)

    helpers = min(threads, count) - 1
    if helpers <= 0:
        take()
        return
    futures = [_pool(threads).submit(take) for _ in range(helpers)]
    try:
        take()
    finally:
        # What is queued behind the work of other callers has nothing left to do.
        running = [future for future in futures if not future.cancel()]
        errors = [error for error in (future.exception() for future in running) if error is not None]
    if errors:
        raise errors[0]


def _pool(threads: int) -> ThreadPoolExecutor:
    with _LOCK:
        if threads not in _POOLS:
            _POOLS[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="riemod")
        return _POOLS[threads]


# A forked process has no threads but the one that forked it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOLS.clear)
