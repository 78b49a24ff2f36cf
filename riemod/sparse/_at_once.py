"""Runs a whole sequence through a recurrent layer in one call, where steps are so short that Python's part is most.

One step of 512 neurons at 90 % sparsity takes 3 to 30 us; torch's operations of a step, called one by one, take as
long before any of them computes. `scan.cpp` has the loop over steps, for one thread. It is compiled once on a machine,
in about a second, and kept in the user's cache. It runs small layers without gradients; whether it does depends on
sizes and on whether there is a compiler, never on time or the cache.
"""

import ctypes
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from riemod import _ahead_of_time as ahead_of_time
from riemod._code_folder import find_code, own_folder, store_code, while_alone
from riemod._torch import inside_export, inside_torch_func
from riemod._untrusted import one_line
from riemod.sparse.layouts import BlockMatrix, CSRMatrix, StoredMatrix

__all__ = ["is_possible", "is_small", "scan", "widened"]

# More entries are worth several threads, and more sequences the vectors of torch's own products.
LARGEST_COUNT, LARGEST_BATCH = 1 << 20, 16
_LANES = (1, 8, 16)
_BLOCK_SIZES = (16, 32, 64)
_CELLS = {"RNN_RELU": 0, "RNN_TANH": 1, "GRU": 2, "LSTM": 3}
# The source has its own vectors: the compiler's make the gathers of single entries two to three times slower.
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-tree-vectorize", "-fno-tree-slp-vectorize", "-fPIC", "-shared")
_LOGGER = logging.getLogger(__name__)


def is_possible() -> bool:
    """Tell whether anything may run in one call here and now: without gradients, transforms, tracing and autocast."""
    if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return False
    return not (inside_export() or torch.compiler.is_compiling() or inside_torch_func())


def is_small(batch: int, *matrices: StoredMatrix) -> bool:
    """Tell whether a layer is one that runs in one call, where that `is_possible`.

    Args:
        batch: number of sequences.
        matrices: the hidden ones of its layers and directions.
    """
    return 1 <= batch <= LARGEST_BATCH and all(map(_is_taken, matrices)) and _function() is not None


def _is_taken(matrix: StoredMatrix) -> bool:
    values = matrix.values
    plain = values.device.type == "cpu" and values.dtype == torch.float32 and values.is_contiguous()
    known = isinstance(matrix, CSRMatrix) or (isinstance(matrix, BlockMatrix) and matrix.size in _BLOCK_SIZES)
    return known and plain and values.numel() <= LARGEST_COUNT


def widened(state: Float[Tensor, "... batch"]) -> Float[Tensor, "... lanes"]:
    """Return a copy in one piece with zeros for the sequences that are missing to the next width of the loop."""
    missing = next(lanes for lanes in _LANES if lanes >= state.shape[-1]) - state.shape[-1]
    return pad(state, (0, missing)) if missing else state.clone(memory_format=torch.contiguous_format)


def scan(
    mode: str,
    hidden: StoredMatrix,
    given: Float[Tensor, "steps rows lanes"],
    bias: Float[Tensor, "n lanes"] | None,
    first: tuple[Float[Tensor, "n lanes"], ...],
    backward: bool,
) -> tuple[Float[Tensor, "steps n lanes"], tuple[Float[Tensor, "n lanes"], ...]]:
    """Run one layer in one direction; call it where it `is_possible` and the layer `is_small`.

    All tensors are contiguous, float32 and on the CPU.

    Args:
        mode: of the layer: "RNN_TANH", "RNN_RELU", "GRU" or "LSTM".
        hidden: W_hh.
        given: W_ih x and the biases that are added to it.
        bias: of a GRU, what is added to its new gate's part of W_hh h.
        first: the state before the first step; an LSTM's memory is overwritten.
        backward: whether to begin with the last step.

    Returns:
        The states of all steps, and the state after the last one.

    Raises:
        ValueError: an index of the matrix lies outside of it.
    """
    function = _function()
    assert function is not None
    steps, rows, lanes = given.shape
    n = hidden.shape[1]
    states, memory = given.new_empty(steps, n, lanes), first[-1]
    if isinstance(hidden, BlockMatrix):
        size, where, columns = hidden.size, hidden.block_rows, hidden.block_columns
    else:
        assert isinstance(hidden, CSRMatrix)
        size, where, columns = 0, hidden.row_starts, hidden.columns
    added = memory if bias is None else bias
    tensors = (where, columns, hidden.values, given, added, first[0], memory, states)
    pointers = [tensor.data_ptr() for tensor in tensors]
    status = function(_CELLS[mode], lanes, backward, steps, rows, n, size, len(hidden.values), *pointers)
    if status == 1:
        raise ValueError(f"the indices of a {type(hidden).__name__} must lie in {hidden.shape}, got others")
    if status != 0:
        raise RuntimeError(f"the loop over steps ended with status {status}")
    last = states[0 if backward else -1].clone()
    return states, (last,) if mode != "LSTM" else (last, memory)


@cache
def _function() -> Callable[..., int] | None:
    """Return the compiled loop; None, with one line in the log, where there can be none."""
    try:
        function = _library().riemod_scan
    except Exception as error:  # Whatever stops the compiler, torch's operations have the answer.
        _LOGGER.info("recurrent layers run step by step: %s", one_line(error))
        return None
    pointer, number, count = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    function.argtypes = (number, number, number, *[count] * 5, *[pointer] * 8)
    function.restype = number
    return function


def _library() -> ctypes.CDLL:
    if sys.platform != "linux":
        raise RuntimeError(f"the loop is compiled on Linux alone, this is {sys.platform}")
    if off := ahead_of_time.switched_off():
        raise RuntimeError(f"{off[0]} is set")
    compiler = ahead_of_time.compiler()
    source = files("riemod.sparse").joinpath("scan.cpp").read_bytes()
    key = "\n".join((source.decode(), *_FLAGS, ahead_of_time.build_identity(compiler)))
    with tempfile.TemporaryDirectory(prefix="riemod-", ignore_cleanup_errors=True) as scratch:
        try:
            return ctypes.CDLL(str(_kept(key, source, compiler, Path(scratch))))
        except OSError as error:
            _LOGGER.warning("the compiled loop over steps is not kept: %s", one_line(error))
            return ctypes.CDLL(str(_compiled(source, compiler, Path(scratch))))


def _kept(key: str, source: bytes, compiler: str, scratch: Path) -> Path:
    """Return the library in the user's cache, compiled if it is not there."""
    folder = own_folder()
    with while_alone(folder, key):
        path = find_code(folder, key)
        return path or store_code(folder, key, _compiled(source, compiler, scratch).read_bytes())


def _compiled(source: bytes, compiler: str, scratch: Path) -> Path:
    text, library = scratch / "scan.cpp", scratch / "scan.so"
    text.write_bytes(source)
    command = [compiler, *_FLAGS, str(text), "-o", str(library)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"{compiler} ended with status {finished.returncode}: {one_line(finished.stderr)}")
    return library
