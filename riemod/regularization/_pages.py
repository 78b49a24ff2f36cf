"""Memory for large gradients: a fresh one costs more in page faults than the penalty costs in arithmetic."""

import ctypes
import sys

import torch
from torch import Tensor

# Above 32 MiB glibc takes every allocation anew from the system; below it hands out pages that are there already.
_MAPPED_FROM = 1 << 25
_HUGE_PAGES, _PAGE = 14, 4096


def fresh_like(tensor: Tensor) -> Tensor:
    """`torch.empty_like`; where it takes fresh pages on Linux, huge ones if the system gives them on request."""
    fresh = torch.empty_like(tensor)
    if sys.platform == "linux" and fresh.device.type == "cpu" and fresh.nbytes > _MAPPED_FROM:
        first = -(-fresh.data_ptr() // _PAGE) * _PAGE
        length = fresh.data_ptr() + fresh.nbytes - first
        # Advice: where it is not taken, nothing changes.
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), _HUGE_PAGES)
    return fresh
