"""What this machine has: its memory, and the devices that torch can compute on."""

import importlib.util
import os
import sys
from pathlib import Path

import torch

from riemod._checks import did_you_mean, shown

# What takes less is not compared with the memory: asking the system would take longer than most calls.
_SURELY_THERE = 1 << 26
_UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (1, "bytes"))
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
_CONTAINER_USE = Path("/sys/fs/cgroup/memory.current")
_MEMORY = Path("/proc/meminfo")


def main_memory() -> int | None:
    """Return the bytes of main memory that this process may use at most, or None where the system does not say.

    In a container it is the container's limit, where there is one.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    limit = _whole_number(_CONTAINER_LIMIT)
    return memory if limit is None else min(memory, limit)


def free_memory() -> int | None:
    """Return the bytes of main memory that a process could take now without swapping, or None if the system is silent.

    In a container it is what is left to the container's limit, where that is less.
    """
    try:
        lines = dict(line.split(":") for line in _MEMORY.read_text().splitlines())
        free = 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError, IndexError):
        return None
    limit, used = _whole_number(_CONTAINER_LIMIT), _whole_number(_CONTAINER_USE)
    return free if limit is None or used is None else min(free, max(limit - used, 0))


def _whole_number(path: Path) -> int | None:
    """Return the number in a file of the system, or None if there is none."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


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
    got = f"got {device[:60]!r}{_device_hint(device, names)}"
    raise ValueError(f"device must be one that torch has here ({', '.join(names)}), {got}")


def is_device_of_another_machine(device: str) -> bool:
    """Return whether torch knows the device by name, and has none of it here.

    >>> is_device_of_another_machine("cpu"), is_device_of_another_machine("typewriter")
    (False, False)
    """
    try:
        kind = torch.device(device).type
    except RuntimeError:
        return False
    try:
        check_device(device)
    except ValueError:
        return kind in ("cuda", "mps", "xpu")
    return False


def _device_hint(device: str, names: list[str]) -> str:
    """Return what to say of a device that is not there: the accelerator's name, or why there is none."""
    kind = device.casefold().partition(":")[0]
    if kind not in ("gpu", "cuda"):
        return did_you_mean([device], names)
    if len(names) > 1:
        return f": did you mean {names[1]}?"
    why = "this torch is built without it" if torch.version.cuda is None else "torch finds no GPU or no driver"
    return f": a GPU's name is cuda, but {why}"


def check_place(device: object) -> None:
    """Raise a ValueError unless torch can put tensors on a device, given in any of torch's forms; None is right too."""
    try:
        torch.empty(0, device=device)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except Exception as error:
        raise ValueError(f"device must be one that torch has here, got {shown(device)}") from error


def check_libraries(who: str, extra: str, *modules: str) -> None:
    """Raise an ImportError that says how to install an extra, unless its modules are there; none is imported.

    Args:
        who: what needs them, for the message.
        extra: of riemod, which installs them.
        modules: names that are imported.

    >>> check_libraries("this", "topology", "json", "no_such_module")
    Traceback (most recent call last):
    ImportError: this needs no_such_module: pip install 'riemod[topology]' brings it
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"{who} needs {', '.join(missing)}: pip install 'riemod[{extra}]' brings it")
