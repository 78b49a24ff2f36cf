"""Runs tiles in the fastest form that their law has: compiled ahead of time, by `torch.compile`, or eagerly.

The form depends on the law, the device, torch and whether there is a compiler; never on time, or on what a cache
holds, so that a resumed run has the same bits.

- On the CPU, laws that are made of riemod's own manifolds and inhibitors are compiled ahead of time, once on a machine
  (`_own_kernels.py`).
- Other laws, and all laws on a GPU, go through `torch.compile`, which looks at each call whether a user's function
  still depends on the same values.
- Where there is no compiler, a law cannot be traced, or torch's compilers are switched off, tiles run eagerly, with the
  same results up to rounding and one note in the log.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from riemod._ahead_of_time import switched_off
from riemod._torch import import_inductor, with_own_code
from riemod.manifolds.base import Manifold
from riemod.regularization import _own_kernels as own_kernels
from riemod.regularization._tiles import KnownCosts, Law, pull_by_autograd, tile
from riemod.regularization.inhibitors import CostLaw

# Smaller weights are not worth a compiled kernel. Only sizes decide, so that a resumed run has the same bits.
COMPILED_FROM = 1 << 14
_KEPT_KERNELS = 64
_LOGGER = logging.getLogger(__name__)

# Kernels by what they depend on; None where compilation failed.
_KERNELS: dict[Any, Callable[..., None] | None] = {}
_NOTED: set[str] = set()


class Tile:
    """Computes tiles of one law; called with the operands of `tile` after its first two.

    Args:
        law: what a pair costs.
        compiled: whether to run a kernel if there can be one.
        weight_dtype: of the weight and its gradient.
        dtype: of the coordinates.
        device: of the tile.
    """

    def __init__(
        self,
        law: Law | KnownCosts,
        compiled: bool,
        weight_dtype: torch.dtype,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._law = law
        self._key = _kernel_key(law, weight_dtype, dtype, device) if compiled else None
        self._kernel = None if self._key is None else _kernel(self._key, law, weight_dtype, dtype, device)
        self.threads = isinstance(self._kernel, own_kernels.OwnKernel)
        """Whether several threads may compute tiles at the same time, each of them on one core."""

    def __call__(self, *operands: Tensor) -> None:
        if self.threads:
            assert self._kernel is not None
            self._kernel(*operands)
            return
        if self._kernel is not None:
            try:
                self._kernel(*operands)
                return
            except Exception as error:  # Whatever stops the compiler, the eager tile has the answer, or the error.
                _KERNELS[self._key] = self._kernel = None
                _note(type(error).__name__, " ".join(str(error).split())[:200])
        tile(self._law, pull_by_autograd, *operands)


def prepare(manifold: Manifold, inhibitor: CostLaw, dtype: torch.dtype = torch.float32) -> bool:
    """Compile a law's kernels for the CPU, for learned and for fixed points, or find them compiled.

    Returns:
        Whether there are any now; if not, a line in the log says why.
    """
    laws = (Law(manifold, inhibitor, 1.0, True), Law(manifold, inhibitor, 1.0, False), KnownCosts(1.0))
    return all(Tile(law, True, dtype, dtype, torch.device("cpu")).threads for law in laws)


def _kernel_key(law: Law | KnownCosts, weight_dtype: torch.dtype, dtype: torch.dtype, device: torch.device) -> Any:
    """Return the key of this law's kernel, or None if it has none."""
    key = law.key()
    if key is None:
        _note(str(law), "no tile_key")
        return None
    try:
        hash(key)
    except TypeError as error:
        _note(str(law), str(error))
        return None
    return (key, weight_dtype, dtype, device.type)


def _kernel(
    key: Any, law: Law | KnownCosts, weight_dtype: torch.dtype, dtype: torch.dtype, device: torch.device
) -> Callable[..., None] | None:
    if key not in _KERNELS:
        while len(_KERNELS) >= _KEPT_KERNELS:
            del _KERNELS[next(iter(_KERNELS))]
        text = own_kernels.text_of(law) if device.type == "cpu" else None
        if text is None:
            _KERNELS[key] = _by_torch_compile(law.own())
        elif off := switched_off():
            _KERNELS[key] = None
            _note(f"{off[0]}=1", "compilers are switched off", logging.INFO)
        else:
            try:
                _KERNELS[key] = own_kernels.own_kernel(law, text, weight_dtype, dtype)
            except Exception as error:  # As above.
                _KERNELS[key] = None
                _note(type(error).__name__, " ".join(str(error).split())[:200])
    return _KERNELS[key]


def _by_torch_compile(law: Law | KnownCosts) -> Callable[..., None]:
    def kernel(*operands: Tensor) -> None:
        tile(law, torch.func.vjp, *operands)  # pyright: ignore[reportArgumentType]

    import_inductor()
    return torch.compile(with_own_code(kernel), dynamic=True, fullgraph=True)


def _note(what: str, reason: str, level: int = logging.WARNING) -> None:
    """Log why tiles are not compiled, once for each kind of error and each law."""
    if what not in _NOTED:
        _NOTED.add(what)
        _LOGGER.log(level, "the penalty runs without a compiled kernel, several times slower: %s: %s", what, reason)
