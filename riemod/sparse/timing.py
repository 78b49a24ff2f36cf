"""Time alternatives in turn, in one process."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

__all__ = ["median_seconds"]

_ROUNDS = 7
# A round repeats calls that are shorter, so that reading the clock does not count.
_SHORTEST = 1e-3


@torch.no_grad()
def median_seconds(alternatives: Mapping[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Return the median seconds of each alternative, after a warm-up.

    The alternatives run in turn, so that a slow moment of the machine affects all of them.

    Args:
        alternatives: functions to run without gradients, by name.
        device: synchronized before the clock is read, if it is a GPU.

    >>> sorted(median_seconds({"one": lambda: sum(range(10)), "two": lambda: None}, torch.device("cpu")))
    ['one', 'two']
    """
    repeats = {name: max(1, int(_SHORTEST / (_seconds(run, 1, device) + 1e-9))) for name, run in alternatives.items()}
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(_ROUNDS):
        for name, run in alternatives.items():
            times[name].append(_seconds(run, repeats[name], device))
    return {name: statistics.median(values) for name, values in times.items()}


def _seconds(run: Callable[[], object], repeats: int, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    _wait(device)
    return (time.perf_counter() - start) / repeats


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
