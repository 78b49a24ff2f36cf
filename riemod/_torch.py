"""The private names of torch that riemod uses, each with the reason."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def inside_torch_func() -> bool:
    """Return whether a transform of torch.func is at work."""
    return torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore[reportAttributeAccessIssue]


def graph_is_kept() -> bool:
    """Return whether the backward pass that is running keeps its graph."""
    return torch._C._autograd._get_current_graph_task_keep_graph()  # pyright: ignore[reportAttributeAccessIssue]


def backward_number() -> int:
    """Return a number that tells the running backward pass from others; -1 outside of one."""
    return torch._C._current_graph_task_id()  # pyright: ignore[reportAttributeAccessIssue]


def version_of(tensor: Tensor) -> int:
    """Return how often a tensor was written in place."""
    return tensor._version


def outside_graphs(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a function so that `torch.compile` breaks its graph there, once, and calls the function as it is."""

    @functools.wraps(function)
    def call(*args: Parameters.args, **named: Parameters.kwargs) -> Result:
        if torch.compiler.is_compiling():
            # Not as a decorator: torch.compiler.disable imports the compiler, which takes seconds.
            return torch.compiler.disable(function)(*args, **named)  # pyright: ignore[reportCallIssue]
        return function(*args, **named)

    return call
