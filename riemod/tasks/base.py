"""What every task has: a frozen configuration with every number of a run in it, and five methods."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import torch
from torch import Tensor, nn

from riemod.tasks.config import RunConfig

ConfigT = TypeVar("ConfigT", bound=RunConfig)
Batch = tuple[Tensor, ...]


class HiddenUnits(NamedTuple):
    """A recurrent layer of one layer and direction, and what else its units are in: see `permute_neurons`."""

    layer: nn.RNN | nn.GRU | nn.LSTM
    sources: tuple[nn.Linear, ...]
    consumers: tuple[nn.Linear | nn.RNNBase, ...]


class Task(ABC, Generic[ConfigT]):
    """One task at one configuration: its model, data, loss and metrics."""

    name: ClassVar[str]
    presets: ClassVar[dict[str, RunConfig]]
    units: ClassVar[dict[str, str]]
    primary_metric: ClassVar[str]

    def __init__(self, config: ConfigT) -> None:
        self.config, device = config, config.computation.device
        try:
            self.device = torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"device must name one that torch has here, got {device!r}: {error}") from error

    @classmethod
    def of_run(cls, config: ConfigT, cache: Path) -> Self:
        """The task of a run; `cache` is a folder where `keep` may have left what is costly to derive from its data."""
        del cache
        return cls(config)

    def keep(self, cache: Path) -> None:
        """Leave in `cache` what is costly to derive from the task's data; nothing for a task that draws its data."""

    def data(self) -> dict[str, Any]:
        """What tells the task's data from other data, JSON-ready; a checkpoint goes on with the same data alone."""
        return {}

    @abstractmethod
    def build_model(self) -> nn.Module:
        """A fresh model on the CPU, drawn from torch's global generator, which the caller seeds."""

    @abstractmethod
    def hidden_units(self, model: nn.Module) -> list[HiddenUnits]:
        """The recurrent layers of a model of `build_model` whose units can be brought into another order."""

    @abstractmethod
    def batches(self, generator: torch.Generator, count: int) -> Iterator[Batch]:
        """That many training batches on the task's device, drawn from a generator of that device."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The task's loss on a batch, a scalar."""

    @abstractmethod
    def evaluate(self, model: nn.Module, generator: torch.Generator, batches: int) -> dict[str, float]:
        """Metrics on fresh batches, by name, the "loss" among them; `units` has the unit of each."""

    def validate(self, model: nn.Module, generator: torch.Generator) -> dict[str, float]:
        """Metrics after an epoch, the "loss" among them: `evaluate` on one batch, unless a task has better."""
        return self.evaluate(model, generator, 1)

    @abstractmethod
    def reference_levels(self, generator: torch.Generator) -> dict[str, float]:
        """What a perfect answer and trivial answers score, by metric name: the levels to read the metrics against."""


class ReplicaTask(Task[ConfigT]):
    """A task whose models can be trained side by side, as one batched computation."""

    @abstractmethod
    def replica_losses(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """(N,) losses of N models, each on its own batch: what `loss` gives for each of them.

        Args:
            parameters: the models' parameters by name, stacked along a first axis of size N.
            batch: the parts of the N batches, stacked likewise.
        """
