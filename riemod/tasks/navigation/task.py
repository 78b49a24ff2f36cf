"""The navigation task: tell the position in an arena from the start and the velocities."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from riemod.tasks.base import AboutPreset, Batch, HiddenUnits, Task
from riemod.tasks.config import RunConfig
from riemod.tasks.cross_entropy import cross_entropy
from riemod.tasks.navigation.arenas import arena_by_name
from riemod.tasks.navigation.config import ABOUT, PRESETS, NavigationConfig
from riemod.tasks.navigation.manifold_cells import ManifoldPlaceCells
from riemod.tasks.navigation.model import NavigationModel
from riemod.tasks.navigation.place_cells import LandmarkCode, PlaceCells
from riemod.tasks.navigation.walks import Trajectories, closed_trajectories, random_trajectories

_WALKS_AT_ONCE = 20_000


class Navigation(Task[NavigationConfig]):
    """Defines the navigation task: tell the position in an arena from the start and the velocities.

    A batch is (start code (B, L), velocity (T, B, dim), code (T, B, L), position (T, B, k)).
    The net is given only the place code of the start and the velocities. Positions are stored as the arena stores
    points: in m, k = 2, or as unit vectors, k = 2 on the circle and 3 on the sphere.
    """

    name = "navigation"
    primary_metric = "error_top3"
    units: ClassVar[dict[str, str]] = {
        "loss": "nats",
        "error_top3": "cm",
        "error_maximum_likelihood": "cm",
        "beyond_10_cm": "fraction",
        "beyond_50_cm": "fraction",
    }
    presets: ClassVar[dict[str, RunConfig]] = PRESETS
    about: ClassVar[dict[str, AboutPreset]] = ABOUT

    def __init__(self, config: NavigationConfig) -> None:
        super().__init__(config)
        generator = torch.Generator().manual_seed(config.landmark_seed)
        self.arena = None if config.arena == "box" else arena_by_name(config.arena, config.side)
        where = {"width": config.width, "generator": generator, "device": self.device}
        self.cells: LandmarkCode = (
            PlaceCells(config.landmarks, side=config.side, **where)
            if self.arena is None
            else ManifoldPlaceCells(self.arena, config.landmarks, **where)
        )

    def build_model(self) -> NavigationModel:
        dim = 2 if self.arena is None else self.arena.manifold.dim
        return NavigationModel(self.config.landmarks, self.config.hidden_size, dim)

    def hidden_units(self, model: nn.Module) -> list[HiddenUnits]:
        assert isinstance(model, NavigationModel)
        return [HiddenUnits(model.rnn, (model.encoder,), (model.decoder,))]

    def walks(self, count: int, generator: torch.Generator) -> Trajectories:
        """Return that many random trajectories of the task's length, on the task's device."""
        config = self.config
        gait = {
            "step_seconds": config.step_seconds,
            "turn_std": config.turn_std,
            "speed_scale": config.speed_scale,
            "generator": generator,
            "device": self.device,
        }
        if self.arena is not None:
            return closed_trajectories(self.arena, count, config.steps, **gait)
        walls = {"side": config.side, "border": config.border, "border_slowdown": config.border_slowdown}
        return random_trajectories(count, config.steps, **walls, **gait)

    @torch.no_grad()
    def states(
        self, model: nn.Module, generator: torch.Generator, walks: int, last: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return hidden states of a model on fresh walks, and where the animal is in each of them.

        Args:
            model: of `build_model`.
            generator: of the task's device; draws the walks.
            walks: B, their number; each has the task's T steps.
            last: how many steps of each walk are kept, its last ones, 1 <= last <= T; all by default.

        Returns:
            (last B, n) hidden states and (last B, k) positions, step by step.

        Raises:
            ValueError: for a number of steps outside its range.
        """
        if last is not None and not 1 <= last <= self.config.steps:
            raise ValueError(f"last must be from 1 to the {self.config.steps} steps of a walk, got {last}")
        assert isinstance(model, NavigationModel)
        drawn = self.walks(walks, generator)
        hidden = model.hidden_states(self.cells.code(drawn.start), drawn.velocity)
        kept = slice(self.config.steps - (last or self.config.steps), None)
        return hidden[kept].flatten(0, 1), drawn.position[kept].flatten(0, 1)

    def batches(self, generator: torch.Generator, count: int) -> Iterator[Batch]:
        size = self.config.training.batch_size
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
        if not self.config.contribution_cost:
            scores = model(start_code, velocity)
            return cross_entropy(scores.flatten(0, 1), code.flatten(0, 1))
        assert isinstance(model, NavigationModel)
        states = model.hidden_states(start_code, velocity)
        loss = cross_entropy(model.decoder(states).flatten(0, 1), code.flatten(0, 1))
        parts = states.flatten(0, 1).mean(0) @ torch.linalg.vector_norm(model.decoder.weight, dim=0)
        return loss + self.config.contribution_cost * parts

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
        # A closed arena has no center, so any fixed place will do.
        center = position.new_zeros(2) if self.arena is None else self.cells.centers[0]
        place = "the arena's center" if self.arena is None else "one fixed place"
        return {
            "error_top3 of a perfect net": perfect["error_top3"],
            "error_maximum_likelihood of a perfect net": perfect["error_maximum_likelihood"],
            "error_top3 of holding the start": still["error_top3"],
            f"error_top3 of {place}": 100 * self.cells.distance(position, center).mean().item(),
            "loss of a perfect net": perfect["loss"],
        }

    def _metrics(self, scores: Tensor, code: Tensor, position: Tensor) -> dict[str, float]:
        error = self.cells.distance(self.cells.decode_top(scores), position)
        likely = self.cells.distance(self.cells.decode_maximum_likelihood(scores), position)
        return {
            "loss": cross_entropy(scores.flatten(0, 1), code.flatten(0, 1)).item(),
            "error_top3": 100 * error.mean().item(),
            "error_maximum_likelihood": 100 * likely.mean().item(),
            "beyond_10_cm": (error >= 0.10).float().mean().item(),
            "beyond_50_cm": (error >= 0.50).float().mean().item(),
        }
