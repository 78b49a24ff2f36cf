"""The names of torch that are not public and that riemod cannot do without, each behind one guarded function.

Every function falls back to the slower, safe answer where a torch release no longer has the name that it reads, so that
riemod then computes the same numbers, only with more work. The note in each docstring says why there is no public way.

One private name is overridden where its class stands: `Module._apply`, by `ModuliRegularizer` (forgets costs that it
keeps) and by `RunningCorrelations` (keeps its sums in float64). `Module.to` and its relatives have no public hook. If
torch gives up the name, these overrides no longer run: kept costs are then told apart by address and version alone, and
the sums take the dtype of the module.
"""

import contextlib
import functools
import importlib
import itertools
import types
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor

__all__ = [
    "SemiStructuredLimits",
    "backward_number",
    "graph_is_kept",
    "import_inductor",
    "inside_export",
    "inside_torch_func",
    "outside_graphs",
    "semi_structured_limits",
    "takes_scaled_gradients",
    "uncoalesced_parts",
    "version_of",
    "with_own_code",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_UNKNOWN_VERSIONS = itertools.count(start=-2, step=-1)


def inside_torch_func() -> bool:
    """Tell whether a transform of `torch.func` (grad, vmap, ...) is running.

    Reads `torch._C._functorch.peek_interpreter_stack`. No public name tells this. Without the name the answer
    is True: no compiled kernel, no kept cost and no memory of a saved gradient is then used.
    """
    peek = getattr(getattr(torch._C, "_functorch", None), "peek_interpreter_stack", None)
    return peek is None or peek() is not None


def inside_export() -> bool:
    """Tell whether a model is being exported or traced for inference: `torch.export`, ONNX, `torch.jit.trace`.

    Reads `torch.compiler.is_exporting`, which is public from torch 2.7 on. In torch 2.6, what compiles without dynamo
    is `torch.export` with `strict=False`, the default of later releases; `strict=True` looks like `torch.compile`.

    >>> inside_export()
    False
    """
    compiler = torch.compiler
    if hasattr(compiler, "is_exporting"):
        exporting = compiler.is_exporting()
    else:
        exporting = compiler.is_compiling() and not compiler.is_dynamo_compiling()
    return torch.jit.is_tracing() or exporting  # pyright: ignore[reportPrivateImportUsage]


def graph_is_kept() -> bool:
    """Tell whether the backward pass that is running keeps its graph (`retain_graph=True`); call it in a `backward`.

    Reads `torch._C._autograd._get_current_graph_task_keep_graph`. No public name tells a backward of `retain_graph`.
    Without the name the answer is True: a saved gradient is then copied instead of being scaled in place.
    """
    keeps = getattr(getattr(torch._C, "_autograd", None), "_get_current_graph_task_keep_graph", None)
    return keeps is None or bool(keeps())


def backward_number() -> int:
    """Return a number that tells the backward pass that is running from others; -1 outside of one.

    Reads `torch._C._current_graph_task_id`, as `torch.autograd.graph` does. No public name tells backward passes apart.
    Without the name the answer is -1: two penalties on one weight are then noticed by what is in its gradient.
    """
    current = getattr(torch._C, "_current_graph_task_id", None)
    return -1 if current is None else current()


def version_of(tensor: Tensor) -> int:
    """Return a number that changes with every in-place write to the tensor, except writes through `.data`.

    Reads `Tensor._version`, the counter with which autograd finds tensors that were changed between forward and
    backward. Autograd's documentation describes the counter, but no public name reads it. Without the name every call
    returns a new negative number, so a cache that compares versions never holds.

    Raises:
        RuntimeError: the tensor was made in inference mode and has no counter.

    >>> tensor = torch.zeros(2)
    >>> before = version_of(tensor)
    >>> _ = tensor.add_(1)
    >>> version_of(tensor) != before, version_of(tensor) == version_of(tensor.detach())
    (True, True)
    """
    version = getattr(tensor, "_version", None)
    return next(_UNKNOWN_VERSIONS) if version is None else version


def takes_scaled_gradients(optimizer: torch.optim.Optimizer) -> bool:
    """Tell whether `torch.amp.GradScaler` leaves it to an optimizer to unscale its gradients, as with `fused=True`.

    Reads `Optimizer._step_supports_amp_scaling`, as `GradScaler.step` does. No public name tells this. Without the name
    the answer is False, which is also the scaler's.

    >>> takes_scaled_gradients(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1))
    False
    """
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False))


def uncoalesced_parts(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices (dimensions, k) and values (k, ...) of a sparse COO tensor; they share its memory.

    Reads `Tensor._indices` and `Tensor._values`, which torch's page on sparse tensors names for tensors that are not
    coalesced, such as the gradients of `Embedding(sparse=True)`. The public `indices` and `values` refuse these, and
    `coalesce` returns another tensor. Without the names this raises an AttributeError.

    >>> tensor = torch.sparse_coo_tensor([[1, 1]], [2.0, 3.0], (3,), check_invariants=True)
    >>> [part.tolist() for part in uncoalesced_parts(tensor)]
    [[[1, 1]], [2.0, 3.0]]
    """
    return tensor._indices(), tensor._values()


class SemiStructuredLimits(NamedTuple):
    """Holds the sizes that torch's 2:4 backend asks for: rows and columns are multiples of these."""

    backend: str
    rows: int
    columns: int


def semi_structured_limits(dtype: torch.dtype) -> SemiStructuredLimits:
    """Return the limits of the 2:4 backend that torch would choose now for weights of that dtype.

    Reads `SparseSemiStructuredTensor._FORCE_CUTLASS` and `_DTYPE_SHAPE_CONSTRAINTS`. torch checks the limits itself,
    but on a CUDA device only and with an error that names no argument. Without the names there are no limits here, and
    torch's own error is the one that a caller sees.

    >>> semi_structured_limits(torch.float16).rows > 0
    True
    """
    from torch.sparse import (
        SparseSemiStructuredTensor,
        SparseSemiStructuredTensorCUSPARSELT,
        SparseSemiStructuredTensorCUTLASS,
    )

    forced = getattr(SparseSemiStructuredTensor, "_FORCE_CUTLASS", False)
    backend = SparseSemiStructuredTensorCUTLASS if forced else SparseSemiStructuredTensorCUSPARSELT
    limits = getattr(backend, "_DTYPE_SHAPE_CONSTRAINTS", {}).get(dtype)
    if limits is None:
        return SemiStructuredLimits(backend.__name__, 1, 1)
    return SemiStructuredLimits(backend.BACKEND, limits.sparse_min_rows, limits.sparse_min_cols)


def import_inductor() -> None:
    """Import Inductor, which `torch.compile` would import at its first call, without the warnings of that import.

    Names the module `torch._inductor.compile_fx`. The import warns of torch's own deprecations; under an error filter
    these would make the first compilation fail. Without the module nothing is imported, and `torch.compile` imports
    what it needs.
    """
    with warnings.catch_warnings(), contextlib.suppress(ImportError):
        warnings.simplefilter("ignore")
        importlib.import_module("torch._inductor.compile_fx")


def with_own_code(function: _Function) -> _Function:
    """Return the same function with a code object of its own, so that `torch.compile` counts its recompilations apart.

    `torch.compile` limits recompilations for each code object, which all closures of one definition share. There is no
    public limit for each function. If torch counts otherwise one day, the copy does no harm.

    >>> def scaled(by):
    ...     return with_own_code(lambda x: by * x)
    >>> scaled(2)(3), scaled(2).__code__ is scaled(2).__code__
    (6, False)
    """
    code = function.__code__.replace()
    own = types.FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    own.__kwdefaults__ = function.__kwdefaults__
    return own  # pyright: ignore[reportReturnType]


def outside_graphs(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Decorate a function so that `torch.compile` breaks its graph there, once, and calls the function as it is."""

    @functools.wraps(function)
    def call(*args: _Parameters.args, **named: _Parameters.kwargs) -> _Result:
        if torch.compiler.is_compiling():
            # Not as a decorator: torch.compiler.disable imports the compiler, which takes seconds.
            return torch.compiler.disable(function)(*args, **named)  # pyright: ignore[reportCallIssue]
        return function(*args, **named)

    return call
