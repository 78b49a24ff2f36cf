"""What a run needs of memory at least, from its configuration alone, before anything is built or written."""

from collections.abc import Sequence
from typing import NamedTuple

from riemod._machine import readable_bytes

FLOAT = 4  # bytes


class Need(NamedTuple):
    """Holds a lower bound on the memory that a part of a run takes, and the numbers of the run that it follows."""

    part: str
    numbers: dict[str, int]
    least_bytes: int


def bytes_per_weight(optimizer: str) -> int:
    """Return the bytes that a weight takes in training: itself, its gradient, and Adam's two moments."""
    return FLOAT * (4 if optimizer == "adam" else 2)


def check_memory(needs: Sequence[Need], memory: int | None, runs: int = 1) -> None:
    """Check that runs fit a memory.

    Args:
        needs: of one run.
        memory: in bytes; None where it is not known, and nothing is checked.
        runs: how many runs take it side by side.

    Raises:
        ValueError: a part, or all parts together, take more. The message names the numbers that the largest part
            follows.
    """
    if memory is None or not needs:
        return
    total, largest = runs * sum(need.least_bytes for need in needs), max(needs, key=lambda need: need.least_bytes)
    if total <= memory:
        return
    numbers = ({"replicas": runs} if runs > 1 else {}) | largest.numbers
    got = ", ".join(f"{name}={value}" for name, value in numbers.items())
    raise ValueError(
        f"{' x '.join(numbers)} must fit the {readable_bytes(memory)} of memory here, got {got}: "
        f"{largest.part} alone would take {readable_bytes(runs * largest.least_bytes)}"
    )
