"""Navigation: follow one's position in a square arena from its start and a sequence of velocities."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from riemod.tasks.base import Batch, HiddenUnits, RunConfig, Task
from riemod.tasks.cross_entropy import cross_entropy
from riemod.tasks.place_cells import PlaceCells
from riemod.tasks.trajectories import Trajectories, random_trajectories

_WALKS_AT_ONCE = 20_000


@dataclass(frozen=True, kw_only=True)
class NavigationConfig(RunConfig):
    """A navigation run. Lengths in m, time in s, angles in rad."""

    hidden_size: int
    """Hidden neurons n."""
    landmarks: int
    """Landmarks whose activity encodes a position."""
    steps: int
    """Steps of a trajectory."""
    side: float = 2.2
    """Side of the square arena, m."""
    width: float = 0.12
    """Width of a landmark's code, m."""
    landmark_seed: int = 0
    """Seed of the landmarks' places; the same for every run seed, as in the reference."""
    step_seconds: float = 0.02
    """Length of a step, s."""
    turn_std: float = 11.52
    """Standard deviation of the turning rate, rad/s."""
    speed_scale: float = 0.8168140899333463
    """Scale of the Rayleigh distribution of speeds, m/s."""
    border: float = 0.03
    """Width of the zone along the walls where the animal slows down, m."""
    border_slowdown: float = 0.25
    """Factor of the speed in that zone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("hidden_size", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("side", "width", "step_seconds", "speed_scale"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)!r}")
        for name in ("turn_std", "border", "border_slowdown"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be >= 0 and finite, got {getattr(self, name)!r}")


class NavigationModel(nn.Module):
    """Landmark activity of the start -> hidden state -> (velocity by velocity) -> landmark scores of every position.

    Three bias-free linear maps around a bias-free ReLU `nn.RNN`, as in the paper.

    Args:
        landmarks: L.
        hidden_size: n.
    """

    def __init__(self, landmarks: int, hidden_size: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(landmarks, hidden_size, bias=False)
        self.rnn = nn.RNN(2, hidden_size, nonlinearity="relu", bias=False)
        self.decoder = nn.Linear(hidden_size, landmarks, bias=False)

    def hidden_states(self, start_code: Tensor, velocity: Tensor) -> Tensor:
        """(T, batch, n) hidden states, from (batch, L) start codes and (T, batch, 2) velocities in m a step."""
        return self.rnn(velocity, self.encoder(start_code).unsqueeze(0))[0]

    def forward(self, start_code: Tensor, velocity: Tensor) -> Tensor:
        """(T, batch, L) landmark scores, the logarithms of the predicted code up to a constant."""
        return self.decoder(self.hidden_states(start_code, velocity))


class Navigation(Task[NavigationConfig]):
    """The navigation task; a batch is (start code (B, L), velocity (T, B, 2), code (T, B, L), position (T, B, 2))."""

    name = "navigation"
    primary_metric = "error_top3"
    units: ClassVar[dict[str, str]] = {
        "loss": "nats",
        "error_top3": "cm",
        "error_maximum_likelihood": "cm",
        "beyond_10_cm": "fraction",
        "beyond_50_cm": "fraction",
    }
    presets: ClassVar[dict[str, RunConfig]] = {
        # Away from the paper's 512 landmarks, width^2 * landmarks is kept: with fewer landmarks than that in reach, the
        # third most active one is anywhere.
        "smoke": NavigationConfig(
            preset="smoke",
            hidden_size=64,
            landmarks=64,
            width=0.34,
            steps=10,
            epochs=6,
            batches_per_epoch=20,
            batch_size=50,
            learning_rate=2e-3,
            strength=2e-3,
            dense_epochs=1,
            tail_epochs=2,
            scope="tensor",
            evaluation_batches=2,
        ),
        "cpu": NavigationConfig(
            preset="cpu",
            hidden_size=256,
            landmarks=256,
            width=0.17,
            steps=20,
            epochs=40,
            batches_per_epoch=200,
            batch_size=100,
            learning_rate=2e-3,
            learning_rate_decay="tail",
            strength=2e-3,
            dense_epochs=10,
            tail_epochs=14,
            scope="tensor",
            evaluation_batches=20,
        ),
        "paper": NavigationConfig(
            preset="paper",
            hidden_size=4096,
            landmarks=512,
            steps=50,
            epochs=30,
            batches_per_epoch=1000,
            batch_size=200,
            learning_rate=1e-4,
            weight_decay=0.01,
            strength=0.1,
        ),
    }

    def __init__(self, config: NavigationConfig) -> None:
        super().__init__(config)
        self.cells = PlaceCells(
            config.landmarks,
            side=config.side,
            width=config.width,
            generator=torch.Generator().manual_seed(config.landmark_seed),
            device=self.device,
        )

    def build_model(self) -> NavigationModel:
        return NavigationModel(self.config.landmarks, self.config.hidden_size)

    def hidden_units(self, model: nn.Module) -> list[HiddenUnits]:
        assert isinstance(model, NavigationModel)
        return [HiddenUnits(model.rnn, (model.encoder,), (model.decoder,))]

    def walks(self, count: int, generator: torch.Generator) -> Trajectories:
        """That many random trajectories of the task's length, on the task's device."""
        config = self.config
        return random_trajectories(
            count,
            config.steps,
            side=config.side,
            step_seconds=config.step_seconds,
            turn_std=config.turn_std,
            speed_scale=config.speed_scale,
            border=config.border,
            border_slowdown=config.border_slowdown,
            generator=generator,
            device=self.device,
        )

    def batches(self, generator: torch.Generator, count: int) -> Iterator[Batch]:
        size = self.config.batch_size
        at_once = max(1, _WALKS_AT_ONCE // size)
        for first in range(0, count, at_once):
            walks = self.walks(size * min(at_once, count - first), generator)
            for start in range(0, walks.start.shape[0], size):
                chosen = slice(start, start + size)
                position = walks.position[:, chosen]
                yield (
                    self.cells.code(walks.start[chosen]),
                    walks.velocity[:, chosen],
                    self.cells.code(position),
                    position,
                )

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        start_code, velocity, code, _ = batch
        scores = model(start_code, velocity)
        return cross_entropy(scores.flatten(0, 1), code.flatten(0, 1))

    @torch.no_grad()
    def evaluate(self, model: nn.Module, generator: torch.Generator, batches: int) -> dict[str, float]:
        totals: dict[str, float] = {}
        for start_code, velocity, code, position in self.batches(generator, batches):
            scores = model(start_code, velocity)
            for name, value in self._metrics(scores, code, position).items():
                totals[name] = totals.get(name, 0.0) + value / batches
        return totals

    @torch.no_grad()
    def reference_levels(self, generator: torch.Generator) -> dict[str, float]:
        start_code, _, code, position = next(self.batches(generator, 1))
        # A softmax never gives the exact zero that the code has at its least active landmark.
        perfect = self._metrics((code + 1e-6).log(), code, position)
        still = self._metrics((start_code + 1e-6).log().expand_as(code), code, position)
        return {
            "error_top3 of a perfect net": perfect["error_top3"],
            "error_maximum_likelihood of a perfect net": perfect["error_maximum_likelihood"],
            "error_top3 of holding the start": still["error_top3"],
            "error_top3 of the arena's centre": 100 * position.norm(dim=-1).mean().item(),
            "loss of a perfect net": perfect["loss"],
        }

    def _metrics(self, scores: Tensor, code: Tensor, position: Tensor) -> dict[str, float]:
        error = (self.cells.decode_top(scores) - position).norm(dim=-1)
        likely = (self.cells.decode_maximum_likelihood(scores) - position).norm(dim=-1)
        return {
            "loss": cross_entropy(scores.flatten(0, 1), code.flatten(0, 1)).item(),
            "error_top3": 100 * error.mean().item(),
            "error_maximum_likelihood": 100 * likely.mean().item(),
            "beyond_10_cm": (error >= 0.10).float().mean().item(),
            "beyond_50_cm": (error >= 0.50).float().mean().item(),
        }
