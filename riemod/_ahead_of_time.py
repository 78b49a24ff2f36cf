"""Compiles functions of tensors ahead of time, by AOTInductor, for one thread of this processor.

`torch.compile` needs dynamo in every process, which takes seconds before the first result. A shared library of
AOTInductor's needs it once. Private names of torch that are read: `torch._inductor.aoti_compile_and_package`, which
torch documents, and Inductor's settings. `_shared_kernel.py` runs what is compiled here.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["build_identity", "clean_environment", "compiler", "refusal", "shared_library", "switched_off"]

# The first release that this was tested with.
_LEAST_TORCH = (2, 13)
# Settings of the user's that would change a kernel, or that slow its compilation down.
_FOREIGN_SETTINGS = ("TORCH", "PYTORCH_", "AOT", "OMP_", "GOMP_", "MKL_", "KMP_")


@cache
def refusal() -> str | None:
    """Say why kernels cannot be compiled ahead of time here, whatever they compute; None if they can."""
    release = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2] if part.isdecimal())
    if sys.platform != "linux":
        return f"kernels are compiled ahead of time on Linux alone, this is {sys.platform}"
    if release < _LEAST_TORCH:
        least = ".".join(map(str, _LEAST_TORCH))
        return f"kernels are compiled ahead of time by torch {least} and later, this is {torch.__version__}"
    return None


def switched_off() -> list[str]:
    """Return the names of the environment's variables that switch torch's compilers off, and so riemod's kernels."""
    return [name for name in ("TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE") if os.environ.get(name) == "1"]


def compiler() -> str:
    """Return the path of the C++ compiler that Inductor would take, `CXX` or g++.

    Raises:
        RuntimeError: there is none.
    """
    path = shutil.which(os.environ.get("CXX") or "g++")
    if path is None:
        raise RuntimeError("there is no C++ compiler: neither CXX nor g++ names one")
    return path


def build_identity(compiler_path: str) -> str:
    """Return what a kernel's bits depend on besides its source: torch, the processor, and the compiler.

    Raises:
        OSError: the compiler does not run.
    """
    told = subprocess.run([compiler_path, "--version"], capture_output=True, text=True, check=False, timeout=60)
    if told.returncode != 0:
        raise OSError(f"{compiler_path} --version ended with status {told.returncode}")
    return "\n".join(
        (
            f"torch {torch.__version__} {torch.version.git_version}",
            f"processor {_processor()}",
            f"vectors {os.environ.get('ATEN_CPU_CAPABILITY', '')}",
            f"compiler {told.stdout.strip()}",
        )
    )


@cache
def _processor() -> str:
    """Return the machine, the processor's name, and what it can do: kernels are compiled for exactly that."""
    wanted, found = ("model name", "flags", "Features", "CPU part"), {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in wanted:
            found.setdefault(name.strip(), value.strip())
    return hashlib.sha256(repr((platform.machine(), sorted(found.items()))).encode()).hexdigest()


def clean_environment(scratch: Path) -> dict[str, str]:
    """Return the environment for a process that compiles: this one's, without settings that would change a kernel.

    Args:
        scratch: an empty folder of the user's alone, where Inductor keeps what it writes on the way.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_SETTINGS)}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(scratch),
        "TMPDIR": str(scratch),
    }


def shared_library(
    function: Callable[..., None], operands: Sequence[Tensor], sizes: Sequence[Sequence[str]], compiler_path: str
) -> bytes:
    """Compile a function into a shared library for one thread of this processor; it takes about half a minute.

    Call it in a process with `clean_environment`: Inductor's settings are the process's.

    Args:
        function: of tensors on the CPU; it returns nothing and writes its results in place.
        operands: contiguous tensors like those that it will be called with.
        sizes: a name for each dimension of each operand; equal names are equal sizes, which may differ from call to
            call, and a number is always the same.
        compiler_path: of the C++ compiler.

    Returns:
        The content of the library.

    Raises:
        Exception: whatever torch raises where it cannot trace or compile the function.
    """
    from torch._inductor import config
    from torch.fx.experimental.proxy_tensor import make_fx

    # torch.export does not trace torch.func.vjp, but traces what make_fx makes of it.
    traced = make_fx(function, tracing_mode="symbolic")(*operands)
    named = {name: torch.export.Dim(name, min=1) for shape in sizes for name in shape if not name.isdecimal()}
    dynamic = tuple({axis: named[name] for axis, name in enumerate(shape) if name in named} for shape in sizes)
    program = torch.export.export(_Program(traced), tuple(operands), dynamic_shapes=(dynamic,), strict=False)
    settings: dict[str, Any] = {"cpp.threads": 1, "cpp.cxx": (None, compiler_path)}
    if hasattr(config.aot_inductor, "precompile_headers"):
        # Precompiled headers take a third of the time, and are used once.
        settings["aot_inductor.precompile_headers"] = False
    with tempfile.TemporaryDirectory() as folder:
        package = torch._inductor.aoti_compile_and_package(
            program,
            package_path=str(Path(folder) / "kernel.pt2"),
            inductor_configs=settings,
        )
        return _library_in(Path(package))


class _Program(nn.Module):
    """Wraps a traced function as the module that `torch.export` takes."""

    def __init__(self, traced: Callable[..., Any]) -> None:
        super().__init__()
        self._traced = traced

    def forward(self, *operands: Tensor) -> Any:
        return self._traced(*operands)


def _library_in(package: Path) -> bytes:
    """Return the one shared library of a package that has no other parts to run."""
    with zipfile.ZipFile(package) as archive:
        libraries = [name for name in archive.namelist() if name.endswith(".so")]
        # Operators that the library does not contain are called by name, by a part of torch that is not loaded here.
        others = [name for name in archive.namelist() if name.endswith(("extern_nodes.json", ".cubin", ".blob"))]
        if len(libraries) != 1 or any(archive.getinfo(name).file_size > 2 for name in others):
            raise RuntimeError(f"a kernel must be one shared library, got {', '.join(libraries + others) or 'none'}")
        return archive.read(libraries[0])
