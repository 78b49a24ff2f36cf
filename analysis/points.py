"""Geometries of units: by their tuning, and by points that follow the weights or co-activity of a net in training."""

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from riemod.coactivity import CoactivityLaw, RunningCorrelations, coactivity_energy
from riemod.manifolds import Euclidean, Manifold
from riemod.optim import PointAdam
from riemod.regularization import NeuronEmbedding, moduli_penalty
from riemod.regularization.inhibitors import Inhibitor
from riemod.tasks.navigation import Navigation, NavigationModel

Evidence = Literal["weights", "coactivity"]
# Points take one step for every five of the net.
READ_EVERY = 5
# Length of a point's first step, on manifolds that are about 10 across.
RATE = 0.1
FORGET = 0.05


class ReadOut:
    """Holds points that follow a net by Eq. 6 or by co-activity and do not change the net.

    Args:
        manifold: of the points.
        evidence: what the points follow.
        law: f, of d / `natural_scale` for co-activity and of d for Eq. 6.
        units: n, the number of points.
        generator: of the first points.
    """

    def __init__(
        self, manifold: Manifold, evidence: Evidence, law: Inhibitor, units: int, generator: torch.Generator
    ) -> None:
        self.evidence: Evidence = evidence
        self.embedding = NeuronEmbedding(manifold, units, learn=True, generator=generator)
        self._law, self._coactivity = law, CoactivityLaw(law).on(manifold)
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
            energy = coactivity_energy(points, matrix, manifold, self._coactivity)
        energy.backward(inputs=[points])
        self._optimizer.step()


class Follower:
    """Moves read-outs after the steps of `train`, with one estimate of the correlations for all of them.

    Args:
        model: the net.
        read_outs: moved every `READ_EVERY` steps.
    """

    def __init__(self, model: NavigationModel, read_outs: list[ReadOut]) -> None:
        self.model, self.read_outs = model, read_outs
        self.seen = RunningCorrelations(model.rnn.hidden_size, forget=FORGET)
        self.factors: list[float] = []

    def __call__(self, step: int, factor: float, states: Tensor) -> None:
        """Move the read-outs in every `READ_EVERY`th step."""
        if step % READ_EVERY:
            return
        self.factors.append(factor)
        self.seen.observe(states)
        matrices = {"weights": self.model.rnn.get_parameter("weight_hh_l0"), "coactivity": self.seen.correlations()}
        for read_out in self.read_outs:
            read_out.follow(matrices[read_out.evidence], factor)


class Units(NamedTuple):
    """Holds what the units of a net do on fresh walks; all fields except the first two are of units that are awake."""

    awake: Tensor
    """(n,), whether a unit is ever active; a silent unit has no place."""
    correlations: Tensor
    """(n, n), correlations of all units."""
    places: Tensor
    """(m, k), where each unit is most active, as points of the arena; in the box from 0 to its side."""
    weights: Tensor
    """(m, m), |w_jk| + |w_kj|."""
    truths: dict[str, Tensor]
    """(m, m), distances of places and of tuning."""


def units_of(task: Navigation, model: NavigationModel, walks: int = 400, last: int | None = None) -> Units:
    """Measure tuning and correlations of the units of a net, in all steps of walks or in the `last` ones."""
    states, positions = task.states(model, torch.Generator().manual_seed(task.config.seed), walks, last)
    arena = Euclidean(2, side=task.config.side) if task.arena is None else task.arena.manifold
    positions = positions + task.config.side / 2 if task.arena is None else positions
    correlations = correlations_of(states)
    awake = correlations.diagonal() > 0.5
    order = torch.randperm(len(states), generator=torch.Generator().manual_seed(0))[:4000]
    grid, maps = kernel_means(states[order][:, awake], positions[order], arena)
    magnitudes = model.rnn.get_parameter("weight_hh_l0").detach().abs()[awake][:, awake]
    found = distances_of(grid, maps, arena)
    return Units(awake, correlations, grid[maps.argmax(0)], magnitudes + magnitudes.T, found)


def correlations_of(states: Tensor) -> Tensor:
    """Return the correlations (n, n) of states (T, n)."""
    seen = RunningCorrelations(states.shape[1])
    seen.observe(states)
    return seen.correlations()


def kernel_means(states: Tensor, positions: Tensor, arena: Manifold) -> tuple[Tensor, Tensor]:
    """Average activity around 600 random places, with a Gaussian of a twentieth of the arena's diameter.

    `riemod.tuning.rate_maps` sorts samples into bins first, which would give other numbers than those of the records.

    Returns:
        The places (g, k), and the mean activity around them (g, n).
    """
    grid = arena.sample(600, generator=torch.Generator().manual_seed(0)).to(positions)
    diameter = arena.side * math.sqrt(arena.dim) if isinstance(arena, Euclidean) else arena.diameter
    kernel = torch.exp(-(arena.distance(grid, positions) ** 2) / (2 * (diameter / 20) ** 2))
    return grid, kernel @ states / kernel.sum(1, keepdim=True)


def truths(states: Tensor, positions: Tensor, arena: Manifold, places: Tensor | None = None) -> dict[str, Tensor]:
    """Compute two distances between units: of the *places* of highest activity, and 1 - correlation of *tuning*."""
    grid, maps = kernel_means(states[:4000], positions[:4000], arena)
    return distances_of(grid, maps, arena, places)


def distances_of(grid: Tensor, maps: Tensor, arena: Manifold, places: Tensor | None = None) -> dict[str, Tensor]:
    """Compute the two distances of `truths` from rate maps on a grid."""
    places = grid[maps.argmax(0)] if places is None else places
    return {"places": arena.distance(places, places), "tuning": 1 - torch.corrcoef(maps.T).nan_to_num(0.0)}


def agreement(distances: Tensor, truth: Tensor) -> float:
    """Compute the rank correlation of two symmetric matrices over pairs j < k."""
    rows, columns = torch.triu_indices(len(truth), len(truth), 1)
    return float(np.asarray(spearmanr(distances[rows, columns], truth[rows, columns]))[0])


def symmetric(distances: Tensor) -> Tensor:
    """Remove rounding errors of distances: return them in float64, symmetric, >= 0, and zero on the diagonal."""
    doubled = distances.double()
    return ((doubled + doubled.T) / 2).fill_diagonal_(0).clamp_min(0)
