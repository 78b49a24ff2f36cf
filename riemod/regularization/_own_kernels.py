"""Kernels of riemod's own laws, compiled ahead of time by another process, and kept in the user's cache.

A law is riemod's own if its manifold and inhibitors are classes of this package with plain numbers. A kernel then
depends on nothing but a text that names them, the source of this package, torch, the processor and the compiler. All of
these are in its key. Compiled anew it has the same bits, so it does not matter whether a cache holds it.
"""

import dataclasses
import hashlib
import logging
import pickle
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import torch
from torch import Tensor

from riemod import _ahead_of_time as ahead_of_time
from riemod._code_folder import find_code, own_folder, store_code, while_alone
from riemod._shared_kernel import SharedKernel
from riemod._untrusted import one_line
from riemod.regularization._tiles import KnownCosts, Law

_LOGGER = logging.getLogger(__name__)
_PACKAGE = Path(__file__).parents[1]
# What a tile's graph is made of, below the package.
_SOURCES = (
    "manifolds/*.py",
    "regularization/inhibitors/*.py",
    "regularization/_tiles.py",
    "regularization/_tile_compiler.py",
    "_ahead_of_time.py",
)
_COMPILING = Lock()
_SAID: set[str] = set()


class Recipe(NamedTuple):
    """Says what to compile; handed to the process that does it.

    Args:
        law: of the tile.
        weight_dtype: of the weight and its gradient.
        dtype: of the coordinates.
        compiler: path of the C++ compiler.
    """

    law: Law | KnownCosts
    weight_dtype: torch.dtype
    dtype: torch.dtype
    compiler: str


class OwnKernel:
    """Runs the tiles of one law by a library that was compiled ahead of time; threads may share it."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        weight, other = recipe.weight_dtype, recipe.dtype
        slopes = (other, other) if recipe.law.learn else ()
        dtypes = (weight, weight, other, other, other, torch.float64, *slopes)
        self._run = SharedKernel(path, dtypes)

    def __call__(self, block: Tensor, slope: Tensor, rows: Tensor, columns: Tensor, *others: Tensor) -> None:
        # The library goes over its operands as if they lay in one piece.
        target = slope if slope.is_contiguous() else torch.empty(slope.shape, dtype=slope.dtype)
        self._run(block.contiguous(), target, rows.contiguous(), columns.contiguous(), *others)
        if target is not slope:
            slope.copy_(target)


def text_of(law: Law | KnownCosts) -> str | None:
    """Return a text that laws with the same kernel share, in every process; None if a law is not riemod's own."""
    if ahead_of_time.refusal() is not None:
        return None
    try:
        return _text(law.key())
    except TypeError:
        return None


def _text(value: object) -> str:
    if value is None or type(value) in (bool, str):
        return repr(value)
    if type(value) in (int, float):
        # 10 and 10.0 are the same law.
        return repr(float(value))  # pyright: ignore[reportArgumentType]
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    kind = value if isinstance(value, type) else type(value)
    if kind.__module__.split(".")[0] != "riemod" or "<locals>" in kind.__qualname__:
        raise TypeError(f"{kind.__qualname__} is not riemod's own")
    name = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, type):
        return name
    if not dataclasses.is_dataclass(value):
        raise TypeError(f"{name} is not described by its fields")
    fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return f"{name}({', '.join(f'{name}={_text(number)}' for name, number in fields)})"


def own_kernel(law: Law | KnownCosts, text: str, weight_dtype: torch.dtype, dtype: torch.dtype) -> OwnKernel:
    """Return the kernel of one of riemod's own laws: from the user's cache, or else compiled and put there.

    Args:
        law: of the tile.
        text: of the law.
        weight_dtype: of the weight and its gradient.
        dtype: of the coordinates.

    Raises:
        Exception: it cannot be compiled or loaded.
    """
    compiler = ahead_of_time.compiler()
    key = "\n".join((text, f"{weight_dtype} {dtype}", _source_hash(), ahead_of_time.build_identity(compiler)))
    recipe = Recipe(law, weight_dtype, dtype, compiler)
    with _COMPILING:
        try:
            folder = own_folder()
        except OSError as error:
            _say(f"compiled kernels are not kept: {one_line(error)}")
            return _load(_compile(recipe), recipe)
        kernel = _find(folder, key, recipe)
        if kernel is not None:
            return kernel
        with while_alone(folder, key):
            # Another process may have compiled it meanwhile.
            kernel = _find(folder, key, recipe)
            if kernel is not None:
                return kernel
            content = _compile(recipe)
            try:
                path = store_code(folder, key, content)
            except OSError as error:
                _say(f"compiled kernels are not kept: {one_line(error)}")
                return _load(content, recipe)
        return OwnKernel(path, recipe)


def _find(folder: Path, key: str, recipe: Recipe) -> OwnKernel | None:
    path = find_code(folder, key)
    if path is None:
        return None
    try:
        return OwnKernel(path, recipe)
    except OSError as error:
        _say(f"compiled anew: {one_line(error)}")
        with suppress(OSError):
            path.unlink()
        return None


def _compile(recipe: Recipe) -> bytes:
    """Compile a library in a process whose settings are torch's own, whatever this process has set."""
    law = re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.4g}", str(recipe.law))
    _say(f"compiling the penalty's kernel for {law}, once on this machine; it takes about half a minute")
    with tempfile.TemporaryDirectory(prefix="riemod-", ignore_cleanup_errors=True) as folder:
        library = Path(folder) / "kernel.so"
        finished = subprocess.run(
            [sys.executable, "-m", "riemod.regularization._tile_compiler", str(library)],
            input=pickle.dumps(recipe),
            env=ahead_of_time.clean_environment(Path(folder)),
            cwd=folder,
            capture_output=True,
            check=False,
        )
        if finished.returncode != 0:
            lines = finished.stderr.decode(errors="replace").split("\n")
            raise RuntimeError(next((line for line in reversed(lines) if line.strip()), "the compiling process ended"))
        return library.read_bytes()


def _load(content: bytes, recipe: Recipe) -> OwnKernel:
    """Load a library that is not kept."""
    with tempfile.TemporaryDirectory(prefix="riemod-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "kernel.so"
        path.write_bytes(content)
        return OwnKernel(path, recipe)


@cache
def _source_hash() -> str:
    """Return a hash of the source that a tile's graph is made from."""
    paths = [path for pattern in _SOURCES for path in sorted(_PACKAGE.glob(pattern))]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


def _say(line: str) -> None:
    """Log what takes time or was not as it should be, each once in a process."""
    if line not in _SAID:
        _SAID.add(line)
        _LOGGER.warning(line)
