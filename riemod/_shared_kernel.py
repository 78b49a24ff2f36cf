"""Runs shared libraries of AOTInductor's without Python's lock, so that threads run them side by side.

torch's own loader holds the lock while a library runs. The C functions that are called here are AOTInductor's
interface (`torch/csrc/inductor/aoti_runtime/interface.h` and `aoti_torch/c/shim.h`), which torch keeps stable;
riemod runs a library by the torch that compiled it.
"""

import ctypes
import math
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["SharedKernel"]


class SharedKernel:
    """Runs a shared library that `shared_library` compiled; threads may call it at the same time.

    Args:
        path: of the library. It is code: the caller vouches for it.
        dtypes: of the tensors that it is called with.

    Raises:
        OSError: the library cannot be loaded, or has not the functions of one of AOTInductor's.
    """

    def __init__(self, path: Path, dtypes: Sequence[torch.dtype]) -> None:
        pointer, count, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int32
        numbers = ctypes.POINTER(ctypes.c_int64)
        # What is short keeps Python's lock.
        library, quick = ctypes.CDLL(str(path)), ctypes.PyDLL(str(path))
        try:
            make = library.AOTInductorModelContainerCreateWithDevice
            self._run = library.AOTInductorModelContainerRun
            # The library is linked to torch, and so has torch's functions too.
            self._tensor = quick.aoti_torch_create_tensor_from_blob
            self._dtypes = [getattr(quick, f"aoti_torch_dtype_{str(dtype).split('.')[1]}")() for dtype in dtypes]
            self._cpu = quick.aoti_torch_device_type_cpu()
        except AttributeError as error:
            raise OSError(f"{path.name} is no library of AOTInductor's: {error}") from error
        make.argtypes = (pointer, count, ctypes.c_char_p, ctypes.c_char_p)
        self._run.argtypes = (pointer, pointer, count, pointer, count, pointer, pointer)
        self._tensor.argtypes = (pointer, ctypes.c_int64, numbers, numbers, ctypes.c_int64, *[number] * 3, pointer)
        self._container = pointer()
        status = make(ctypes.byref(self._container), max(os.cpu_count() or 1, torch.get_num_threads()), b"cpu", None)
        if status != 0:
            raise OSError(f"{path.name} cannot be set up, status {status}")
        # torch ends the process if it is handed another number.
        found = (count(), count())
        library.AOTInductorModelContainerGetNumInputs(self._container, ctypes.byref(found[0]))
        library.AOTInductorModelContainerGetNumOutputs(self._container, ctypes.byref(found[1]))
        if (found[0].value, found[1].value) != (len(dtypes), 1):
            raise OSError(f"{path.name} must take {len(dtypes)} tensors and return nothing, got another function")
        self._handles = ctypes.c_void_p * len(dtypes)

    def __call__(self, *operands: Tensor) -> None:
        """Run it on contiguous tensors of the dtypes that it was compiled for, which are not checked.

        Raises:
            RuntimeError: it failed.
        """
        handles = self._handles()
        for index, (operand, dtype) in enumerate(zip(operands, self._dtypes, strict=True)):
            # The library lets go of its operands, which Python's own tensors allow under the lock alone.
            sizes, strides = _layout(operand.shape)
            place = ctypes.addressof(handles) + index * ctypes.sizeof(ctypes.c_void_p)
            where = operand.data_ptr()
            self._must(self._tensor(where, len(operand.shape), sizes, strides, 0, dtype, self._cpu, -1, place))
        # The library takes the handles over.
        # A function that returns nothing has one result all the same, no tensor.
        nothing = ctypes.c_void_p()
        self._must(self._run(self._container, handles, len(handles), ctypes.byref(nothing), 1, None, None))

    @staticmethod
    def _must(status: int) -> None:
        if status != 0:
            raise RuntimeError(f"a compiled kernel ended with status {status}")


@lru_cache(maxsize=256)
def _layout(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the sizes and the strides of a contiguous tensor as C arrays."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    numbers = ctypes.c_int64 * len(shape)
    return numbers(*shape), numbers(*strides)
