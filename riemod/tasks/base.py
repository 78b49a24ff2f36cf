"""The contract of tasks: model, batches, loss, metrics, and the levels to read the metrics against."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import torch
from torch import Tensor, nn

from riemod._checks import check_type
from riemod._machine import check_device, device_memory
from riemod.tasks.config import RunConfig
from riemod.tasks.config.memory import check_memory

ConfigT = TypeVar("ConfigT", bound=RunConfig)
Batch = tuple[Tensor, ...]


class HiddenUnits(NamedTuple):
    """Names a recurrent layer of one layer and direction, and the maps that write and read its units.

    `riemod.sparse.permute_neurons` reorders the units in all of them.
    """

    layer: nn.RNN | nn.GRU | nn.LSTM
    sources: tuple[nn.Linear, ...]
    consumers: tuple[nn.Linear | nn.RNNBase, ...]


class AboutPreset(NamedTuple):
    """Says what a preset is, and for how many minutes it trains on one thread of a CPU."""

    what: str
    minutes: float


class Task(ABC, Generic[ConfigT]):
    """Defines the model, the data, the loss and the metrics of a task at one configuration."""

    name: ClassVar[str]
    presets: ClassVar[dict[str, RunConfig]]
    about: ClassVar[dict[str, AboutPreset]] = {}
    units: ClassVar[dict[str, str]]
    primary_metric: ClassVar[str]

    def __init__(self, config: ConfigT) -> None:
        check_type("config", config, RunConfig, "a RunConfig")
        self.config = config
        self.device = check_device(config.computation.device)
        check_memory(config.memory_needs(), device_memory(self.device))

    @classmethod
    def of_run(cls, config: ConfigT, cache: Path) -> Self:
        """Return the task of a run; `cache` is a folder that an earlier process may have filled by `write_cache`."""
        del cache
        return cls(config)

    def write_cache(self, cache: Path) -> None:
        """Write to a folder what is costly to derive from the task's data, or nothing if its data is drawn."""

    def data(self) -> dict[str, Any]:
        """Return JSON-ready values that identify the data; a checkpoint resumes only on the same data."""
        return {}

    @abstractmethod
    def build_model(self) -> nn.Module:
        """Return a fresh model on the CPU, drawn from torch's global generator, which the caller seeds."""

    @abstractmethod
    def hidden_units(self, model: nn.Module) -> list[HiddenUnits]:
        """Return the recurrent layers of a model of `build_model` whose units can be reordered."""

    @abstractmethod
    def batches(self, generator: torch.Generator, count: int) -> Iterator[Batch]:
        """Yield that many training batches on the task's device, drawn from a generator of that device."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the loss on a batch, a scalar."""

    @abstractmethod
    def evaluate(self, model: nn.Module, generator: torch.Generator, batches: int) -> dict[str, float]:
        """Return metrics on fresh batches by name, the "loss" among them; `units` has the unit of each."""

    def validate(self, model: nn.Module, generator: torch.Generator) -> dict[str, float]:
        """Return metrics after an epoch, the "loss" among them: those of one batch, unless a task overrides this."""
        return self.evaluate(model, generator, 1)

    @abstractmethod
    def reference_levels(self, generator: torch.Generator) -> dict[str, float]:
        """Return what a perfect answer and trivial answers score, by metric name, to compare the metrics with."""


class ReplicaTask(Task[ConfigT]):
    """Defines a task whose models can be trained side by side, as one batched computation."""

    @abstractmethod
    def replica_losses(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Return the (N,) losses of N models, each on its own batch, as `loss` gives them for one.

        Args:
            parameters: the models' parameters by name, stacked along a first axis of size N.
            batch: the parts of the N batches, stacked likewise.
        """
