"""Where units are: by their tuning, and by points that follow a net's weights or its co-activity while it trains."""

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from riemod.coactivity import RunningCorrelations, coactivity_energy
from riemod.coactivity.energy import natural_scale
from riemod.manifolds import Euclidean, Manifold
from riemod.optim import PointAdam
from riemod.regularization import NeuronEmbedding, moduli_penalty
from riemod.regularization.inhibitors import Inhibitor
from riemod.tasks.navigation import Navigation, NavigationModel

Evidence = Literal["weights", "coactivity"]
# Points take one step for as many of the net.
READ_EVERY = 5
# Length of a point's first step; manifolds are about 10 across.
RATE = 0.1
FORGET = 0.05


class ReadOut:
    """Points that follow a net by Eq. 6 or by co-activity, and leave the net as it is.

    Args:
        manifold: where they are.
        evidence: what they follow.
        law: f of either; in units of `natural_scale` for co-activity, of the manifold's length for Eq. 6.
        units: n.
        generator: draws the start.
    """

    def __init__(
        self, manifold: Manifold, evidence: Evidence, law: Inhibitor, units: int, generator: torch.Generator
    ) -> None:
        self.evidence: Evidence = evidence
        self.embedding = NeuronEmbedding(manifold, units, generator=generator)
        self._law, self._scale = law, natural_scale(manifold)
        self._optimizer = PointAdam([self.embedding.points], lr=RATE)

    def follow(self, matrix: Tensor, factor: float) -> None:
        """Take a step down Eq. 6 for a hidden matrix, or down the energy of correlations.

        Args:
            matrix: (n, n), of the read-out's kind of evidence.
            factor: of the rate.
        """
        points, manifold = self.embedding.points, self.embedding.manifold
        self._optimizer.param_groups[0]["lr"] = RATE * factor
        self._optimizer.zero_grad()
        if self.evidence == "weights":
            energy = moduli_penalty(matrix.detach(), points, manifold, self._law)
        else:
            energy = coactivity_energy(points, matrix, manifold, self._law, self._scale)
        energy.backward(inputs=[points])
        self._optimizer.step()


class Follower:
    """What `train` calls after each step, for read-outs that share what they see.

    Args:
        model: the net.
        read_outs: moved every `READ_EVERY` steps.
    """

    def __init__(self, model: NavigationModel, read_outs: list[ReadOut]) -> None:
        self.model, self.read_outs = model, read_outs
        self.seen = RunningCorrelations(model.rnn.hidden_size, forget=FORGET)
        self.factors: list[float] = []

    def __call__(self, step: int, factor: float, states: Tensor) -> None:
        """Show the read-outs the net, if it is their turn."""
        if step % READ_EVERY:
            return
        self.factors.append(factor)
        self.seen.observe(states)
        matrices = {"weights": self.model.rnn.get_parameter("weight_hh_l0"), "coactivity": self.seen.correlations()}
        for read_out in self.read_outs:
            read_out.follow(matrices[read_out.evidence], factor)


class Units(NamedTuple):
    """What the units of a net do on fresh walks. All but the first two are of the units that are awake."""

    awake: Tensor
    """(n,) whether a unit is ever active: one that is silent has no place."""
    correlations: Tensor
    """(n, n), of all units."""
    places: Tensor
    """(m, k) where each fires most, as the arena stores places; in the box from 0 to its side."""
    weights: Tensor
    """(m, m) |w_jk| + |w_kj|."""
    truths: dict[str, Tensor]
    """(m, m) distances of places, and of tuning."""


def units_of(task: Navigation, model: NavigationModel, walks: int = 400, last: int | None = None) -> Units:
    """Tuning and correlations of a net's units, in the last steps of walks if not in all of them."""
    states, positions = task.states(model, torch.Generator().manual_seed(task.config.seed), walks, last)
    arena = Euclidean(2, side=task.config.side) if task.arena is None else task.arena.manifold
    positions = positions + task.config.side / 2 if task.arena is None else positions
    correlations = correlations_of(states)
    awake = correlations.diagonal() > 0.5
    order = torch.randperm(len(states), generator=torch.Generator().manual_seed(0))[:4000]
    grid, maps = rate_maps(arena, positions[order], states[order][:, awake])
    magnitudes = model.rnn.get_parameter("weight_hh_l0").detach().abs()[awake][:, awake]
    found = distances_of(arena, grid, maps)
    return Units(awake, correlations, grid[maps.argmax(0)], magnitudes + magnitudes.T, found)


def correlations_of(states: Tensor) -> Tensor:
    """(n, n) correlations of (T, n) states."""
    seen = RunningCorrelations(states.shape[1])
    seen.observe(states)
    return seen.correlations()


def rate_maps(arena: Manifold, positions: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
    """(g, k) places and (g, n) mean activity around them, by a Gaussian of a twentieth of the arena's diameter."""
    grid = arena.sample(600, generator=torch.Generator().manual_seed(0)).to(positions)
    diameter = arena.side * math.sqrt(arena.dim) if isinstance(arena, Euclidean) else arena.diameter
    kernel = torch.exp(-(arena.distance(grid, positions) ** 2) / (2 * (diameter / 20) ** 2))
    return grid, kernel @ states / kernel.sum(1, keepdim=True)


def truths(arena: Manifold, states: Tensor, positions: Tensor, places: Tensor | None = None) -> dict[str, Tensor]:
    """Two distances between units: of the *places* where they fire most, and 1 - correlation of their *tuning*."""
    grid, maps = rate_maps(arena, positions[:4000], states[:4000])
    return distances_of(arena, grid, maps, places)


def distances_of(arena: Manifold, grid: Tensor, maps: Tensor, places: Tensor | None = None) -> dict[str, Tensor]:
    """The two distances of `truths`, from rate maps."""
    places = grid[maps.argmax(0)] if places is None else places
    return {"places": arena.distance(places, places), "tuning": 1 - torch.corrcoef(maps.T).nan_to_num(0.0)}


def agreement(distances: Tensor, truth: Tensor) -> float:
    """The rank correlation of two symmetric matrices over pairs j < k."""
    rows, columns = torch.triu_indices(len(truth), len(truth), 1)
    return float(np.asarray(spearmanr(distances[rows, columns], truth[rows, columns]))[0])


def symmetric(distances: Tensor) -> Tensor:
    """Distances in float64 without what rounding did: symmetric, zero on the diagonal, nowhere negative."""
    doubled = distances.double()
    return ((doubled + doubled.T) / 2).fill_diagonal_(0).clamp_min(0)
