"""What this machine has: its memory, and the devices that torch can compute on."""

import os
import sys
from pathlib import Path

import torch

from riemod._checks import shown

# What takes less is not compared with the memory: asking the system would take longer than most calls.
_SURELY_THERE = 1 << 26
_UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (1, "bytes"))
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def main_memory() -> int | None:
    """Return the bytes of main memory that this process may use at most, or None where the system does not say.

    In a container it is the container's limit, where there is one.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        limit = _CONTAINER_LIMIT.read_text().strip()
    except OSError:
        limit = ""
    return min(memory, int(limit)) if limit.isdecimal() else memory


def check_fits(name: str, value: int, least_bytes: int) -> None:
    """Check that what an argument asks for fits the main memory of this machine, before it is allocated.

    Args:
        name: of the argument.
        value: the argument, a size.
        least_bytes: what it takes at least.

    Raises:
        ValueError: it takes more.

    >>> check_fits("n", 10**12, 8 * 10**12)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: n must fit the ... of memory here, got 1000000000000: it would take 7.28 TiB
    """
    if least_bytes <= _SURELY_THERE:
        return
    memory = main_memory() or sys.maxsize
    if least_bytes > memory:
        raise ValueError(
            f"{name} must fit the {readable_bytes(memory)} of memory here, got {shown(value)}: "
            f"it would take {readable_bytes(least_bytes)}"
        )


def readable_bytes(count: int) -> str:
    """Return a number of bytes in the unit that suits it.

    >>> readable_bytes(3 * 2**29), readable_bytes(100)
    ('1.5 GiB', '100 bytes')
    """
    unit, name = next(entry for entry in _UNITS if count >= entry[0] or entry[0] == 1)
    return f"{count} bytes" if unit == 1 else f"{count / unit:,.3g} {name}" if count < 10**30 else f"over 10^17 {name}"


def device_memory(device: torch.device) -> int | None:
    """Return the bytes of memory of a device, or None where neither torch nor the system says."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return main_memory() if device.type == "cpu" else None


def device_names() -> list[str]:
    """Return the names of the devices that torch has here: cpu, and each accelerator with its number."""
    if not torch.accelerator.is_available():
        return ["cpu"]
    kind = torch.accelerator.current_accelerator()
    assert kind is not None
    return ["cpu", *(f"{kind.type}:{index}" for index in range(torch.accelerator.device_count()))]


def check_device(device: str) -> torch.device:
    """Return the device of that name.

    Raises:
        ValueError: torch has no such device here.

    >>> check_device("cpu")
    device(type='cpu')
    """
    names = device_names()
    try:
        found = torch.device(device)
        if str(found) in (*names, *(name.partition(":")[0] for name in names)) or str(found) == "cpu:0":
            return torch.empty(0, device=found).device
    except (RuntimeError, AssertionError, ValueError):
        pass
    raise ValueError(f"device must be one that torch has here ({', '.join(names)}), got {device[:60]!r}")


def check_place(device: object) -> None:
    """Raise a ValueError unless torch can put tensors on a device, given in any of torch's forms; None is right too."""
    try:
        torch.empty(0, device=device)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except Exception as error:
        raise ValueError(f"device must be one that torch has here, got {shown(device)}") from error
