"""The command `riemod doctor`: what is installed here, what this machine has, and what would be slow on it."""

import getpass
import importlib.metadata
import os
import re
import shutil
import sysconfig
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from riemod._ahead_of_time import switched_off
from riemod._machine import device_memory, device_names, free_memory, main_memory, readable_bytes
from riemod.cli.cells import add_row, new_table
from riemod.cli.console import open_console, print_json
from riemod.cli.doctor_notes import notes_on
from riemod.training import environment

_LIBRARIES = ("torch", "numpy", "scipy", "geoopt", "geomstats", "safetensors", "matplotlib")
_FOR_DEVELOPERS = ("dev", "docs")
_REQUIREMENT = re.compile(r"""([\w.-]+).*;.*\bextra == ["']([\w-]+)["']""")


def doctor(json: bool = False) -> None:
    """Print what is installed, what this machine has, and what would be slow on it and why.

    Args:
        json: Print all of it as JSON.

    Examples:
        riemod doctor
        riemod doctor --json
    """
    found = examine()
    if json:
        print_json(found)
        return
    console = open_console()
    console.print(_table(found))
    for line in found["notes"] or ["nothing here would be slow for a reason that can be mended"]:
        console.print(f"- {line}", markup=False, highlight=False)


def examine() -> dict[str, Any]:
    """Return versions, machine, devices, compiler, cache and extras, and notes on what would be slow.

    Sizes are in bytes. What the system does not say is None.
    """
    here = environment()
    found = {
        "versions": here["versions"] | {name: _version(name) for name in _LIBRARIES},
        "commit": here["commit"],
        "machine": here["machine"]
        | {"cpu_capability": torch.backends.cpu.get_cpu_capability()}
        | {"memory": main_memory(), "memory_free": free_memory(), "disk_free": shutil.disk_usage(Path.cwd()).free},
        "devices": [_device(name) for name in device_names()],
        "compiler": _compiler(),
        "cache": _cache(),
        "extras": _extras(),
    }
    return found | {"notes": notes_on(found)}


def _version(name: str) -> str | None:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return None


def _device(name: str) -> dict[str, Any]:
    device = torch.device(name)
    model = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"name": name, "model": model, "memory": device_memory(device)}


def _compiler() -> dict[str, Any]:
    """Return what Inductor needs to compile the penalty's kernels for a CPU."""
    asked = os.environ.get("CXX")
    names = [asked] if asked else ["g++", "clang++", "c++"]
    path = next((path for name in names if (path := shutil.which(name))), None)
    headers = (Path(sysconfig.get_path("include")) / "Python.h").is_file()
    return {"path": path, "python_headers": headers, "switched_off_by": switched_off()}


def _cache() -> dict[str, Any]:
    """Return the folder where Inductor keeps kernels from one process to the next."""
    with suppress(KeyError, OSError):  # a user without a name
        user = re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())  # as torch names its default
        default = Path(tempfile.gettempdir()) / f"torchinductor_{user}"
        folder = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or default)
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return {"folder": str(folder), "bytes": size, "writable": os.access(existing, os.W_OK)}
    return {"folder": None, "bytes": None, "writable": False}


def _extras() -> dict[str, dict[str, Any]]:
    """Return the optional extras of riemod, and which of their packages are missing."""
    extras: dict[str, dict[str, Any]] = {}
    for requirement in importlib.metadata.requires("riemod") or []:
        match = _REQUIREMENT.match(requirement)
        if match is None or match[2] in _FOR_DEVELOPERS:
            continue
        missing = extras.setdefault(match[2], {"installed": True, "missing": []})["missing"]
        if _version(match[1]) is None:
            missing.append(match[1])
    for extra in extras.values():
        extra["installed"] = not extra["missing"]
    return extras


def _table(found: dict[str, Any]) -> Table:
    machine, compiler, cache = found["machine"], found["compiler"], found["cache"]
    table = new_table("riemod doctor", "what", "found")
    for name, version in found["versions"].items():
        add_row(table, name, version or "not installed")
    if found["commit"]:
        add_row(table, "commit", found["commit"][:12])
    table.add_section()
    add_row(table, "system", f"{machine['system']}, {machine['architecture']}, {machine['cpu_capability']}")
    add_row(table, "threads", f"{machine['threads']} on {machine['cores']} cores")
    add_row(table, "memory", f"{_bytes(machine['memory_free'])} free of {_bytes(machine['memory'])}")
    add_row(table, "disk here", f"{_bytes(machine['disk_free'])} free")
    for device in found["devices"]:
        model = f"{device['model']}, " if device["model"] else ""
        add_row(table, "device", f"{device['name']}: {model}{_bytes(device['memory'])}")
    table.add_section()
    headers = "with" if compiler["python_headers"] else "without"
    add_row(table, "C++ compiler", f"{compiler['path'] or 'none'}, {headers} Python's headers")
    state = "writable" if cache["writable"] else "not writable"
    add_row(table, "kernel cache", f"{cache['folder']}, {_bytes(cache['bytes'])}, {state}")
    table.add_section()
    for name, extra in found["extras"].items():
        state = "installed" if extra["installed"] else f"not installed: {', '.join(extra['missing'])}"
        add_row(table, f"extra {name}", state)
    return table


def _bytes(count: int | None) -> str:
    return "unknown" if count is None else readable_bytes(count)
