"""How the weights and the points move: the optimizer, its rates and their course."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from riemod._checks import check_at_least, check_integer, check_positive
from riemod.optim import JointOptimizer, riemannian_adam, sgd_with_riemannian_adam
from riemod.regularization import ModuliRegularizer
from riemod.tasks.config.fields import check_types
from riemod.tasks.config.training import Training

_LAST_RATE = 0.02  # of the full rate, at the end of the tail


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """Describes a run's optimizer and the course of its rates."""

    learning_rate: float
    """The optimizer's rate for the weights at the start."""
    learning_rate_decay: Literal["none", "tail", "anneal"] = "none"
    """Course of the rates: constant, along half a cosine down to 2 percent over the tail epochs, or divided after every
    epoch whose validation loss is no new minimum."""
    anneal_factor: float = 4.0
    """Divisor of the rates if they are annealed, above 1."""
    warmup_steps: int = 0
    """Steps over which the rates first rise in proportion to the step."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """What moves the weights: Adam, or plain stochastic gradient descent; points follow Riemannian Adam either way."""
    embedding_learning_rate: float = 1e-3
    """Riemannian Adam's rate for the points, in units of the manifold's length a step."""
    weight_decay: float = 0.0
    """Decoupled weight decay of the weights a step, times the rate; never on points."""
    max_grad_norm: float | None = None
    """Largest norm of the weights' gradient, to which a longer one is scaled; None to leave it as it is."""

    def __post_init__(self) -> None:
        check_types(self)
        check_positive("learning_rate", self.learning_rate)
        check_positive("embedding_learning_rate", self.embedding_learning_rate)
        check_at_least("weight_decay", self.weight_decay, 0)
        if not 1 < self.anneal_factor < math.inf:
            raise ValueError(f"anneal_factor must be above 1 and finite, got {self.anneal_factor!r}")
        check_integer("warmup_steps", self.warmup_steps, least=0)
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be positive, got {self.max_grad_norm!r}")

    def build(self, model: nn.Module, moduli: ModuliRegularizer | None) -> JointOptimizer:
        """Return the optimizer of the model's weights and the regularizer's points."""
        kind = {"adam": riemannian_adam, "sgd": sgd_with_riemannian_adam}[self.optimizer]
        return kind(
            model,
            moduli,
            lr=self.learning_rate,
            embedding_lr=self.embedding_learning_rate,
            weight_decay=self.weight_decay,
        )

    def rates(
        self, training: Training, epoch: int, step: int, validation_losses: Sequence[float]
    ) -> tuple[float, float]:
        """Return the rates of weights and points at a step.

        Args:
            training: the course of the run.
            epoch: from 0 on.
            step: of the epoch, from 0 on.
            validation_losses: of the epochs before, for rates that are annealed.
        """
        factor, into_tail = 1.0, epoch - (training.epochs - training.tail_epochs) + 1
        if self.learning_rate_decay == "tail" and into_tail > 0:
            cosine = math.cos(math.pi * into_tail / training.tail_epochs)
            factor = _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + cosine)
        elif self.learning_rate_decay == "anneal":
            factor = self.anneal_factor ** -_epochs_without_progress(validation_losses)
        if self.warmup_steps:
            factor *= min((epoch * training.batches_per_epoch + step + 1) / self.warmup_steps, 1.0)
        return self.learning_rate * factor, self.embedding_learning_rate * factor


def _epochs_without_progress(losses: Sequence[float]) -> int:
    """Count the losses that are not smaller than every loss before them."""
    return sum(loss >= min(losses[:epoch]) for epoch, loss in enumerate(losses) if epoch)
