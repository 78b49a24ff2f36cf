"""How well points recover an arena: rank correlations with the tuning of units, verdicts, loops, and p-values."""

import math

import numpy as np
import torch
from torch import Tensor

from analysis.points import Units, agreement, symmetric
from analysis.small_nets import Row
from riemod import alignment, topology

# The verdict of `ModuliRecovery` that is right for each arena.
ARENAS = {"circle": "circle", "torus": "torus", "box": "contractible"}
PERMUTATIONS, LOOP_NULLS = 499, 99
# Defaults of `ModuliRecovery`.
NULLS, SUBSAMPLES = 100, 10


def true_points(arena: str, places: Tensor, dim: int, noise: float, generator: torch.Generator, side: float) -> Tensor:
    """Map places to R^3 or R^4, with circles of radius 1 and half the side of the box of length 1, and add noise.

    The maps are isometric, except for the torus in R^3, which is the torus of revolution with radii 2 and 1.
    """
    if arena == "circle":
        flat = places
    elif arena == "box":
        flat = places / (side / 2)
    else:
        u, v = (2 * math.pi / side * places).unbind(1)
        flat = torch.stack((u.cos(), u.sin(), v.cos(), v.sin()), 1)
        if dim == 3:
            ring = 2 + v.cos()
            flat = torch.stack((ring * u.cos(), ring * u.sin(), v.sin()), 1)
    points = torch.nn.functional.pad(flat, (0, dim - flat.shape[1]))
    return points + noise * torch.randn(points.shape, generator=generator)


def measure(points: Tensor, units: Units, arena: str, seed: int) -> Row:
    """Compute rank correlations with Mantel's p, the verdict of `ModuliRecovery`, and the longest loop of all points.

    Args:
        points: (m, k), of the units that are awake.
        units: gives the true distances.
        arena: where the net was trained.
        seed: of permutations and nulls.
    """
    generator = torch.Generator().manual_seed(seed)
    distances = alignment.distance_matrix(points)
    found: Row = {"awake": len(points), "weights": agreement(torch.from_numpy(distances), units.weights)}
    for name, truth in units.truths.items():
        test = alignment.mantel_test(
            distances, symmetric(truth), method="spearman", permutations=PERMUTATIONS, generator=generator
        )
        found |= {name: test.statistic, f"{name} p": test.p_value}
    verdict = topology.ModuliRecovery(n_nulls=NULLS, n_subsamples=SUBSAMPLES, random_state=seed).fit(points)
    array = points.double().numpy()
    loop = longest_loop(array)
    drawn = [longest_loop(topology.nulls.gaussian(array, generator)) for _ in range(LOOP_NULLS)]
    return found | {
        "verdict": verdict.manifold_,
        "right": verdict.manifold_ == ARENAS[arena],
        "betti 2": list(verdict.betti_[2].numbers),
        "betti 3": list(verdict.betti_[3].numbers),
        "degree 1 p": verdict.p_values_[1],
        "degree 2 p": verdict.p_values_[2],
        "loop": loop,
        "loop p": topology.nulls.rank_p_value(loop, drawn),
    }


def longest_loop(points: np.ndarray) -> float:
    """Return the largest ratio of death to birth in degree 1, of all points, no landmarks; 1 if there is no loop."""
    diagram = topology.persistence(points, max_dimension=1)[1]
    ended = diagram[np.isfinite(diagram[:, 1])]
    return float((ended[:, 1] / ended[:, 0]).max(initial=1.0))
