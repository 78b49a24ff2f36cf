"""Processes of this machine as an executor of `concurrent.futures`; one that is killed fails its own call alone."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

_Result = TypeVar("_Result")
_SPAWN = multiprocessing.get_context("spawn")


class WorkerLost(RuntimeError):
    """Reports a worker process that ended before it gave an answer."""


class Processes(Executor):
    """Runs calls in worker processes that are spawned when they are first needed, one call at a time in each.

    A worker that is killed fails the call that it was at, by a `WorkerLost`, and the next call gets a new worker.
    (`ProcessPoolExecutor` fails all calls then, and takes no more.) A worker whose parent is killed ends at once.

    Args:
        jobs: number of processes.
    """

    def __init__(self, jobs: int) -> None:
        self._threads = ThreadPoolExecutor(jobs)
        self._local = threading.local()
        self._workers: list[_Worker] = []

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:
        return self._threads.submit(self._call, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers: after their last call, or at once if `wait` is False."""
        if not wait:
            self._threads.shutdown(wait=False, cancel_futures=True)
            for worker in self._workers:
                worker.kill()
        self._threads.shutdown(wait=True, cancel_futures=cancel_futures)
        for worker in self._workers:
            worker.kill()

    def _call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        worker: _Worker | None = getattr(self._local, "worker", None)
        if worker is None or not worker.is_alive:
            worker = self._local.worker = _Worker()
            self._workers.append(worker)
        return worker.call(function, args, kwargs)


class _Worker:
    """Holds one spawned process, and the pipe to it."""

    def __init__(self) -> None:
        self._connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            self._connection.send((function, args, kwargs))
            succeeded, value = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join()
            raise WorkerLost(f"its process ended with status {self._process.exitcode}") from error
        if succeeded:
            return value
        raise value

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _serve(connection: Connection) -> None:
    """Answer calls until the other end of the pipe is closed."""
    # Ctrl-C reaches the whole group of processes; the parent decides what becomes of this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            function, args, kwargs = connection.recv()
        except EOFError:
            return
        try:
            answer = True, function(*args, **kwargs)
        except Exception as error:
            answer = False, error
        connection.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    # A run resumes from its last checkpoint: there is nothing to clean up.
    os._exit(1)
