"""The gradients of a training step: computed anew each time, or replayed from a CUDA graph."""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from riemod.tasks.base import Batch
from riemod.training.run import Run

Outputs = tuple[Tensor, Tensor]
Gradients = Callable[[Batch], Outputs]
"""Sets the gradient of every trained parameter on a batch; returns the task's loss and the penalty, without a graph."""
Capture = Callable[[Callable[[], Outputs]], tuple[Outputs, Callable[[], Any]]]
"""Records what a function launches; returns its outputs, and what launches all of it again on the same memory."""

# What is made once, as cuBLAS's workspace, must be there before the capture.
_WARM_UP = 3


def gradients_of(run: Run) -> Gradients:
    """Return what sets the gradients of an epoch's steps: a replayed CUDA graph, if the run's config asks for one.

    A graph is captured anew in each epoch: pruning, training mode and redrawn points change between epochs alone.
    """
    compute = functools.partial(set_gradients, run)
    if not run.config.computation.cuda_graph:
        return compute
    return Replayed(compute, [parameter for group in run.optimizer.param_groups for parameter in group["params"]])


def set_gradients(run: Run, batch: Batch) -> Outputs:
    """Set the gradients of the sum of the task's loss, the penalty and the evidence's energy on a batch.

    Returns:
        The task's loss, and the penalty: 0 with `proximal`, which pays after the step.
    """
    task_loss = run.task.loss(run.model, batch)
    pays = run.moduli is not None and not run.config.regularization.proximal
    penalty = run.penalty() if pays else torch.zeros_like(task_loss)
    loss = task_loss + penalty
    if run.evidence is not None:
        loss = loss + run.evidence()
    run.optimizer.zero_grad()
    loss.backward()
    return task_loss.detach(), penalty.detach()


class Replayed:
    """Sets gradients as `compute` does, from the fourth call on by one launch of all its kernels.

    The first three calls compute as usual, on a stream of their own. The fourth captures a CUDA graph (nothing runs
    while it is captured) and launches it; later calls copy the batch into the memory that the graph reads, and launch
    it. A batch of other shapes or dtypes than the captured one is computed as usual.

    What is captured is fixed: the kernels, the memory, and every Python number. So `compute` must read no number from
    the device, and nothing that it reads in Python may change before the last call.

    Args:
        compute: sets the gradients on a batch from None, and returns the loss and the penalty.
        trained: the parameters whose gradients it sets.
        capture: records a function's launches; `torch.cuda.CUDAGraph` if not given.

    The outputs of a call are overwritten by the next one.
    """

    def __init__(self, compute: Gradients, trained: Iterable[Tensor], capture: Capture | None = None) -> None:
        self._compute, self._trained = compute, list(trained)
        self._capture = _captured if capture is None else capture
        self._calls = 0
        self._inputs: Batch = ()
        self._replay: Callable[[], Any] | None = None

    def __call__(self, batch: Batch) -> Outputs:
        """Set the gradients on a batch; return the loss and the penalty."""
        self._calls += 1
        if self._calls <= _WARM_UP:
            with _beside(batch):
                return self._compute(batch)
        if self._replay is None:
            self._inputs = tuple(part.clone() for part in batch)
            self._outputs, self._replay = self._capture(lambda: self._compute(self._inputs))
            self._gradients = [parameter.grad for parameter in self._trained]
        elif not _alike(batch, self._inputs):
            return self._compute(batch)
        for own, part in zip(self._inputs, batch, strict=True):
            own.copy_(part)
        self._replay()
        # Some other call may have set them to None, or to tensors of its own.
        for parameter, gradient in zip(self._trained, self._gradients, strict=True):
            parameter.grad = gradient
        return self._outputs


def _alike(batch: Batch, other: Batch) -> bool:
    return [(part.shape, part.dtype) for part in batch] == [(part.shape, part.dtype) for part in other]


@contextmanager
def _beside(batch: Batch) -> Iterator[None]:
    """Compute on a CUDA stream of its own inside the context, as torch asks before a capture; on a CPU, as usual."""
    if not batch[0].is_cuda:
        yield
        return
    outer, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(outer)
    with torch.cuda.stream(side):
        yield
    outer.wait_stream(side)


def _captured(function: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], Any]]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function()
    return outputs, graph.replay
