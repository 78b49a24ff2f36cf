"""What `riemod doctor` says of a machine: what would be slow or fail there, why, and what to do."""

import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import torch

from riemod._machine import readable_bytes

_LITTLE = 2**31  # bytes
_EAGER = "the penalty of layers with 128 neurons or more is not compiled and runs slower"
_LARGE = "the presets of the paper's size take days on a CPU"
_NEEDED_BY = {
    "topology": "riemod analyze, riemod demo and riemod.topology need it: ",
    "report": "riemod report needs it: ",
}


def notes_on(found: dict[str, Any]) -> list[str]:
    """Return one line for each thing that would be slow or fail on a machine.

    Args:
        found: what `riemod.cli.doctor.examine` found there.
    """
    return [*_compilation(found), *_devices(found), *_resources(found["machine"]), *_extras(found["extras"])]


def _compilation(found: dict[str, Any]) -> Iterator[str]:
    compiler, cache = found["compiler"], found["cache"]
    if compiler["switched_off_by"]:
        yield f"{compiler['switched_off_by'][0]}=1 switches torch.compile off: {_EAGER}"
    elif compiler["path"] is None:
        wanted = os.environ.get("CXX")
        why = f"the compiler that CXX names, {wanted}, is not there" if wanted else "there is no C++ compiler"
        yield f"{why}: {_EAGER}; install g++ or clang++"
    elif not compiler["python_headers"]:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        yield f"Python.h is missing: {_EAGER}; install the headers of Python {version} (often called python3-dev)"
    if not cache["writable"]:
        why = f"the kernel cache {cache['folder']} cannot be written"
        yield f"{why}: every process compiles its kernels anew, for seconds; set TORCHINDUCTOR_CACHE_DIR"


def _devices(found: dict[str, Any]) -> Iterator[str]:
    if len(found["devices"]) > 1:
        kind = found["devices"][1]["name"].partition(":")[0]
        yield f"a run trains on the CPU unless it is told otherwise: --device {kind}"
    elif torch.version.cuda is not None:
        yield f"torch is built for CUDA {torch.version.cuda}, but finds no GPU or no driver: {_LARGE}"
    elif shutil.which("nvidia-smi"):
        yield f"there is an NVIDIA driver, but torch is built without CUDA: {_LARGE}; install a torch for CUDA"
    else:
        yield f"there is no GPU: {_LARGE}"


def _resources(machine: dict[str, Any]) -> Iterator[str]:
    threads, cores, memory = machine["threads"], machine["cores"] or machine["threads"], machine["memory_free"]
    if threads > cores:
        yield f"torch uses {threads} threads on {cores} cores, which slows all of them: set OMP_NUM_THREADS={cores}"
    elif threads < cores:
        more = "--threads raises that for a run, which pays for layers of many hundred neurons"
        yield f"torch uses {threads} of {cores} cores: {more}"
    if memory is not None and memory < _LITTLE:
        yield f"{readable_bytes(memory)} of memory are free: large runs and analyses may swap, or be killed"
    if machine["disk_free"] < _LITTLE:
        yield f"{readable_bytes(machine['disk_free'])} of the disk here are free: large checkpoints may not fit"


def _extras(extras: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name, extra in extras.items():
        if not extra["installed"]:
            lacks = f"the extra {name} is not installed ({', '.join(extra['missing'])} missing)"
            yield f"{lacks}: {_NEEDED_BY.get(name, '')}pip install 'riemod[{name}]'"
