"""Time alternatives in turn, in one process."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

from riemod._checks import check_function, check_mapping, check_repeats, check_type, shown, takes

__all__ = ["median_seconds", "paired_seconds"]

_ROUNDS = 7
# A round repeats calls that are shorter, so that reading the clock does not count.
_SHORTEST = 1e-3


def median_seconds(alternatives: Mapping[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Return the median seconds of each alternative, after a warm-up.

    The alternatives run in turn, so that a slow moment of the machine affects all of them.

    Args:
        alternatives: functions to run without gradients, by name.
        device: synchronized before the clock is read, if it is a GPU.

    >>> sorted(median_seconds({"one": lambda: sum(range(10)), "two": lambda: None}, torch.device("cpu")))
    ['one', 'two']
    """
    return {name: statistics.median(times) for name, times in paired_seconds(alternatives, device, _ROUNDS).items()}


@torch.no_grad()
def paired_seconds(
    alternatives: Mapping[str, Callable[[], object]], device: torch.device, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each alternative in each round, after a warm-up; all of them run in turn in every round.

    Entry i of every list was measured in round i: compare alternatives by the ratios of a round.

    Args:
        alternatives: functions to run without gradients, by name.
        device: synchronized before the clock is read, if it is a GPU.
        rounds: number of rounds, >= 1.

    Raises:
        TypeError: an alternative is not a function without arguments, or the device is no `torch.device`.
        ValueError: `rounds` is not an integer from 1 to 10^9.

    >>> times = paired_seconds({"one": lambda: sum(range(10)), "two": lambda: None}, torch.device("cpu"), rounds=3)
    >>> [len(times[name]) for name in ("one", "two")]
    [3, 3]
    """
    check_repeats("rounds", rounds)
    check_type("device", device, torch.device, "a torch.device")
    what = "a mapping from name to a function without arguments"
    for name, run in check_mapping("alternatives", alternatives, what).items():
        if not takes(check_function(f"alternatives[{name!r}]", run)):
            raise TypeError(f"alternatives[{name!r}] must take no arguments, got {shown(run)}")
    repeats = {name: max(1, int(_SHORTEST / (_seconds(run, 1, device) + 1e-9))) for name, run in alternatives.items()}
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(rounds):
        for name, run in alternatives.items():
            times[name].append(_seconds(run, repeats[name], device))
    return times


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
