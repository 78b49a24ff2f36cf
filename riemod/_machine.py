"""What this machine has: its memory, and the devices that torch can compute on."""

import os
from pathlib import Path

import torch

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
