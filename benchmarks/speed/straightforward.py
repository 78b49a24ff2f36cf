"""Training loops as they are written without this library, to compare it with: NumPy walks, many passes, no care.

The navigation loop behaves as the method's own code was found to: walks made by NumPy for every batch,
three forward passes a step (for the loss, for the decoded error, and for the hidden states), the penalty built twice by
broadcasting all pairs' differences, an optimizer that is not fused, and numbers fetched in every step. It is written
afresh, and shorter; it is no copy.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from riemod.tasks import NavigationConfig
from riemod.tasks.navigation import NavigationModel

STEP_SECONDS, TURN_STD, SPEED, BORDER, SLOWDOWN = 0.02, 11.52, 0.8168, 0.03, 0.25


def numpy_walks(batch: int, steps: int, side: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    """Starts (b, 2), displacements (b, T, 2) and positions (b, T, 2) of random walks along the walls of a square."""
    position = np.zeros((batch, steps + 2, 2))
    heading = rng.uniform(0, 2 * np.pi, batch)
    position[:, 0] = rng.uniform(-side / 2, side / 2, (batch, 2))
    turns = rng.normal(0, TURN_STD, (batch, steps + 1))
    speeds = rng.rayleigh(SPEED, (batch, steps + 1))
    for step in range(steps + 1):
        distances = np.concatenate([side / 2 - position[:, step], side / 2 + position[:, step]], axis=1)
        wall = np.argmin(distances, axis=1)
        angle = np.mod(heading - wall * np.pi / 2 + np.pi, 2 * np.pi) - np.pi
        near = (distances.min(axis=1) < BORDER) & (np.abs(angle) < np.pi / 2)
        turn = turns[:, step] * STEP_SECONDS
        turn[near] += np.sign(angle[near]) * (np.pi / 2) - angle[near]
        speed = speeds[:, step].copy()
        speed[near] *= SLOWDOWN
        move = STEP_SECONDS * speed[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
        position[:, step + 1] = position[:, step] + move
        heading = np.mod(heading + turn, 2 * np.pi)
    return position[:, 1], np.diff(position[:, 1:], axis=1), position[:, 2:]


def place_code(position: Tensor, landmarks: Tensor, width: float) -> Tensor:
    """(b, T, L) code of positions (b, T, 2), by the formula as it stands."""
    squared = ((position[:, :, None, :] - landmarks[None, None]) ** 2).sum(-1)
    code = torch.softmax(-squared / (2 * width**2), dim=-1) - torch.softmax(-squared / (4 * width**2), dim=-1)
    code = code + code.min(dim=-1, keepdim=True)[0].abs()
    return code / code.sum(-1, keepdim=True)


def broadcast_penalty(weight: Tensor, points: Tensor, period: float = 10.0) -> Tensor:
    """Eq. 6 on the flat torus with the difference of Gaussians, from all pairs' differences at once."""
    difference = (points[:, None, :] - points[None, :, :]).abs()
    squared = (torch.minimum(difference, period - difference) ** 2).sum(-1)
    cost = 81.1 - 100 * (torch.exp(-squared / 5) - torch.exp(-4 * squared))
    return (cost * weight.abs()).mean()


class NavigationLoop:
    """A training loop for navigation with a learned torus.

    Args:
        config: sizes and rates.
    """

    def __init__(self, config: NavigationConfig) -> None:
        torch.manual_seed(0)
        self.config = config
        self.rng = np.random.default_rng(0)
        self.model = NavigationModel(config.landmarks, config.hidden_size)
        self.landmarks = (torch.rand(config.landmarks, 2) - 0.5) * config.side
        self.points = nn.Parameter(10 * torch.rand(config.hidden_size, 2))
        self.optimizer = torch.optim.AdamW(
            [*self.model.parameters(), self.points], lr=config.optimization.learning_rate
        )

    def step(self) -> tuple[float, float]:
        """One batch, one step; the loss and the error in cm."""
        config, strength = self.config, self.config.regularization.strength
        assert not isinstance(strength, str)
        walks = numpy_walks(config.training.batch_size, config.steps, config.side, self.rng)
        start, velocity, position = (torch.tensor(part, dtype=torch.float32) for part in walks)
        code = place_code(position, self.landmarks, config.width).transpose(0, 1)
        inputs = place_code(start[:, None], self.landmarks, config.width)[:, 0], velocity.transpose(0, 1)
        self.optimizer.zero_grad()
        scores = self.model(*inputs)
        loss = -(code * torch.log_softmax(scores, dim=-1)).sum(-1).mean()
        loss = loss + strength * broadcast_penalty(self.model.rnn.get_parameter("weight_hh_l0"), self.points)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.points.remainder_(10.0)
        decoded = self.landmarks[self.model(*inputs).topk(3, dim=-1).indices].mean(-2)
        error = 100 * (decoded - position.transpose(0, 1)).norm(dim=-1).mean()
        self.model.hidden_states(*inputs)
        penalty = strength * broadcast_penalty(self.model.rnn.get_parameter("weight_hh_l0"), self.points)
        return (loss - penalty).item(), error.item()
