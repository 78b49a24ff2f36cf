"""The adding problem: return the sum of the two marked numbers of a sequence."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from riemod._checks import check_integer
from riemod.tasks.base import AboutPreset, Batch, HiddenUnits, ReplicaTask
from riemod.tasks.config import Optimization, Regularization, RunConfig, Training
from riemod.tasks.config.memory import FLOAT, Need, bytes_per_weight
from riemod.tasks.recurrence import Cell, last_states, recurrent_layer, weights_of_layer


@dataclass(frozen=True, kw_only=True)
class AddingConfig(RunConfig):
    """Holds every number of a run of the adding problem."""

    hidden_size: int = 128
    """Hidden neurons n."""
    steps: int = 30
    """Numbers in a sequence."""
    cell: Cell = "rnn_relu"
    """Kind of the recurrent layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("hidden_size", self.hidden_size, least=1)
        check_integer("steps", self.steps, least=2)  # two of them are marked

    def memory_needs(self) -> list[Need]:
        hidden, steps, size = self.hidden_size, self.steps, self.training.batch_size
        weights = bytes_per_weight(self.optimization.optimizer) * weights_of_layer(self.cell, 2, hidden)
        # Batches of an epoch or evaluation are drawn at once: numbers, marks, what draws these, and the sequences.
        counts = {name: getattr(self.training, name) for name in ("batches_per_epoch", "evaluation_batches")}
        name = max(counts, key=counts.__getitem__)
        drawn = 5 * FLOAT * counts[name] * steps * size
        shape = {"steps": steps, "batch_size": size}
        return [
            *super().memory_needs(),
            Need("the weights", {"hidden_size": hidden}, weights),
            Need("the batches that are drawn at once", {name: counts[name], **shape}, drawn),
            Need("the states of a batch", {"hidden_size": hidden, **shape}, FLOAT * steps * size * hidden),
        ]


class AddingModel(nn.Module):
    """Reads the last hidden state of a recurrent layer out linearly.

    Args:
        hidden_size: n.
        cell: kind of the layer; a ReLU `nn.RNN` if not given.
    """

    def __init__(self, hidden_size: int, cell: Cell = "rnn_relu") -> None:
        super().__init__()
        self.rnn = recurrent_layer(cell, 2, hidden_size)
        self.decoder = nn.Linear(hidden_size, 1)

    def forward(self, sequence: Tensor) -> Tensor:
        """Return (batch,) sums, from (T, batch, 2) numbers and marks."""
        return self.decoder(self.rnn(sequence)[0][-1]).squeeze(-1)


class Adding(ReplicaTask[AddingConfig]):
    """Defines the adding problem; a batch is (sequence (T, B, 2) of uniform numbers and 0/1 marks, sum (B,))."""

    name = "adding"
    primary_metric = "rmse"
    units: ClassVar[dict[str, str]] = {"loss": "1", "rmse": "1"}
    presets: ClassVar[dict[str, RunConfig]] = {
        "smoke": AddingConfig(
            preset="smoke",
            hidden_size=32,
            steps=8,
            training=Training(epochs=6, batches_per_epoch=40, batch_size=32, tail_epochs=2, evaluation_batches=10),
            optimization=Optimization(learning_rate=2e-3, max_grad_norm=0.5),
            regularization=Regularization(strength=1e-3),
        ),
        "cpu": AddingConfig(
            preset="cpu",
            training=Training(epochs=40, batches_per_epoch=313, batch_size=32, tail_epochs=10, evaluation_batches=100),
            optimization=Optimization(learning_rate=1e-3, max_grad_norm=0.5),
            regularization=Regularization(strength=1e-3),
        ),
        "paper": AddingConfig(
            preset="paper",
            steps=50,
            training=Training(epochs=110, batches_per_epoch=313, batch_size=32, tail_epochs=10, evaluation_batches=100),
            optimization=Optimization(learning_rate=1e-4, max_grad_norm=0.5),
            regularization=Regularization(strength=1e-3),
        ),
    }

    about: ClassVar[dict[str, AboutPreset]] = {
        "smoke": AboutPreset("shows that all works; too short to learn", 0.02),
        "cpu": AboutPreset("30 numbers, learned well on a CPU", 2),
        "paper": AboutPreset("50 numbers, as in the paper", 7.5),
    }

    def build_model(self) -> AddingModel:
        return AddingModel(self.config.hidden_size, self.config.cell)

    def hidden_units(self, model: nn.Module) -> list[HiddenUnits]:
        assert isinstance(model, AddingModel)
        return [HiddenUnits(model.rnn, (), (model.decoder,))]

    def batches(self, generator: torch.Generator, count: int) -> Iterator[Batch]:
        steps, size = self.config.steps, self.config.training.batch_size
        numbers = torch.rand(count, steps, size, generator=generator, device=self.device)
        # The two marks of a sequence: the places of the two largest of as many random keys.
        keys = torch.rand(count, steps, size, generator=generator, device=self.device)
        marks = torch.zeros_like(numbers).scatter_(1, keys.topk(2, dim=1).indices, 1.0)
        sums = (numbers * marks).sum(1)
        sequences = torch.stack((numbers, marks), dim=-1)
        yield from zip(sequences.unbind(), sums.unbind(), strict=True)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        sequence, total = batch
        return torch.nn.functional.mse_loss(model(sequence), total)

    def replica_losses(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        sequences, totals = batch
        layer = {name.removeprefix("rnn."): value for name, value in parameters.items() if name.startswith("rnn.")}
        states = last_states(self.config.cell, layer, sequences)
        answers = torch.baddbmm(parameters["decoder.bias"].unsqueeze(1), states, parameters["decoder.weight"].mT)
        return (answers.squeeze(-1) - totals).square().mean(1)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, generator: torch.Generator, batches: int) -> dict[str, float]:
        losses = [self.loss(model, batch).item() for batch in self.batches(generator, batches)]
        mean = sum(losses) / len(losses)
        return {"loss": mean, "rmse": mean**0.5}

    @torch.no_grad()
    def reference_levels(self, generator: torch.Generator) -> dict[str, float]:
        del generator
        # Two independent uniform numbers: variance 1/12 each.
        return {"rmse of a perfect net": 0.0, "rmse of always answering 1": (1 / 6) ** 0.5}
