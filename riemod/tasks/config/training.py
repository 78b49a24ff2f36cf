"""How long a run trains, and how the machine computes it."""

from dataclasses import dataclass, field
from typing import Literal

from riemod._checks import check_integer
from riemod.tasks.config.fields import check_types, may_differ

_MOST_THREADS = 1024  # with far more than a machine has, torch crashes


@dataclass(frozen=True, kw_only=True)
class Training:
    """Describes the course of a run: dense epochs, pruning epochs, then tail epochs, each of as many steps."""

    epochs: int
    """Epochs, each of them `batches_per_epoch` steps."""
    batches_per_epoch: int
    """Training steps an epoch."""
    batch_size: int
    """Sequences in a batch."""
    dense_epochs: int = field(default=0, metadata=may_differ("replicas"))
    """Epochs before the first magnitude pruning."""
    tail_epochs: int = 0
    """Epochs after the last pruning, or after the last move of a dynamic mask, in which the net recovers."""
    evaluation_batches: int = field(default=5, metadata=may_differ("replicas", "resumed"))
    """Batches of the final evaluation, drawn afresh and the same for every run of a task."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("epochs", "batches_per_epoch", "batch_size", "evaluation_batches"):
            check_integer(name, getattr(self, name), least=1)
        if self.dense_epochs < 0 or self.tail_epochs < 0 or self.dense_epochs + self.tail_epochs >= self.epochs:
            raise ValueError(
                f"dense_epochs and tail_epochs must be >= 0 and leave some of epochs={self.epochs} for pruning, "
                f"got dense_epochs={self.dense_epochs}, tail_epochs={self.tail_epochs}"
            )

    @property
    def steps(self) -> int:
        """The number of steps of the whole run."""
        return self.epochs * self.batches_per_epoch

    @property
    def steps_before_tail(self) -> int:
        """The number of steps before the tail epochs."""
        return (self.epochs - self.tail_epochs) * self.batches_per_epoch


@dataclass(frozen=True, kw_only=True)
class Computation:
    """Describes where and how a run is computed, and who is told of it."""

    device: str = field(default="cpu", metadata=may_differ("resumed", "recorded"))
    """Where to train: cpu, cuda, cuda:1, ..."""
    threads: int | None = field(default=None, metadata=may_differ("replicas", "resumed", "recorded"))
    """CPU threads; None for torch's choice. The same bits need the same number."""
    matmul: Literal["highest", "high", "medium"] = "highest"
    """Precision of float32 matrix products, as torch names it: float32 throughout, TF32 where the device has it, or
    bfloat16 where it has that. Medium is about twice as fast on CPUs with AVX-512 BF16 or AMX."""
    cuda_graph: bool = field(default=False, metadata=may_differ("resumed", "recorded"))
    """Launch the forward and backward pass of a step at once, as a CUDA graph. Worth it for nets whose kernels are
    shorter than their launches."""
    tensorboard: bool = field(default=False, metadata=may_differ("replicas", "resumed", "recorded"))
    """Also write the metrics of every epoch as TensorBoard event files, in the run's folder."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.threads is not None:
            check_integer("threads", self.threads, least=1, most=_MOST_THREADS)
        if self.cuda_graph and not self.device.startswith("cuda"):
            raise ValueError(f"cuda_graph needs device='cuda', got device={self.device!r}")
