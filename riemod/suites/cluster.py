"""A Dask cluster as an executor: its workers train the runs, in a folder that all hosts share (extra `cluster`)."""

import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from riemod._untrusted import one_line
from riemod.suites.errors import SuiteError
from riemod.suites.work import differing, versions

_PATIENCE = 20.0  # seconds for the scheduler to answer, and for a first worker to come
_TICK = 0.1  # seconds between two looks at a scheduler file


class Cluster(NamedTuple):
    """Holds a connection to a cluster."""

    executor: Executor
    jobs: Callable[[], int]
    """Returns how many workers there are at the moment, at least 1."""


@contextmanager
def connect(address: str, patience: float = _PATIENCE) -> Iterator[Cluster]:
    """Connect to the scheduler of a Dask cluster, and check its workers, before anything is trained.

    Args:
        address: as the scheduler prints it, such as "tcp://10.0.0.1:8786", or the path of its scheduler file.
        patience: how long to wait for the scheduler, and then for a first worker, seconds.

    Raises:
        SuiteError: if the extra is not installed, the scheduler does not answer, no worker comes, or one has no riemod
            or other versions than this process, or the scheduler file holds no address.
    """
    if importlib.util.find_spec("distributed") is None:
        raise SuiteError("scheduler needs dask.distributed: pip install 'riemod[cluster]' brings it")
    from distributed import Client

    place = _address_in(Path(address), patience) if address.endswith(".json") else address
    try:
        client: Any = Client(place, timeout=patience, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise SuiteError(f"scheduler {address!r} does not answer: {one_line(error)}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=patience)
        except TimeoutError:
            raise SuiteError(f"scheduler {address!r} has no workers after {patience:g} s: start some") from None
        try:
            answers = client.run(versions, on_error="return")
        except Exception as error:  # A worker that cannot even read the question.
            raise SuiteError(
                f"each worker of {address!r} must have riemod, got {type(error).__name__}: {one_line(error)}"
            ) from error
        _check_workers(answers)
        yield Cluster(client.get_executor(pure=False), lambda: max(1, len(client.nthreads())))


def _address_in(file: Path, patience: float) -> str:
    """Return the address in a scheduler file, which the scheduler may still be about to write."""
    end = time.monotonic() + patience
    while True:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(content, dict) and isinstance(content.get("address"), str):
                return content["address"]
            problem = "it holds no address"
        except (OSError, ValueError) as error:
            problem = one_line(error)
        if time.monotonic() >= end:
            raise SuiteError(f"scheduler {str(file)!r} does not answer: {problem}")
        time.sleep(_TICK)


def _check_workers(answers: dict[str, object]) -> None:
    for worker, answer in answers.items():
        if isinstance(answer, Exception):
            raise SuiteError(f"worker {worker} must have riemod, got {type(answer).__name__}: {one_line(answer)}")
        assert isinstance(answer, dict)
        if own := differing(versions(), answer):
            raise SuiteError(f"worker {worker} must have the versions of the runner, got {own}")
