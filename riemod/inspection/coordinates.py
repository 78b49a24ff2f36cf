"""Circular coordinates of hidden states, and how well they agree with the angles of the arena."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from riemod.inspection.navigation import NavigationArena
from riemod.inspection.states import Sample
from riemod.topology import CircularCoordinates, ModuliRecovery, circular_correlation

ANGLES = {"circle": 1, "torus": 2, "klein bottle": 1}
# The largest factor of the integer combinations of two angles.
_LARGEST_FACTOR = 2


@dataclass(frozen=True)
class Coordinates:
    """Holds the result of a fit of circular coordinates: angles, or the reason why there are none."""

    count: int
    """The number of coordinates that were fitted."""
    angles: np.ndarray | None
    """(n, count), rad, of all states; None if the fit failed."""
    correlations: list[float] | None
    """Circular correlation with each true angle, on states that were not fitted; None without true angles."""
    problem: str | None
    """Why the fit failed; None if it did not."""

    def to_dict(self) -> dict[str, Any]:
        """Return the part that goes into the record."""
        return {"count": self.count, "correlations": self.correlations, "problem": self.problem}


def recover_coordinates(sample: Sample, recovery: ModuliRecovery, arena: NavigationArena | None) -> Coordinates | None:
    """Fit as many circular coordinates as the arena has, or as the verdict has if the arena is unknown.

    Half of the states are fitted, and the correlations with the true angles are computed on the other half.

    Args:
        sample: the states.
        recovery: fitted to them.
        arena: of the states, if known.

    Returns:
        The coordinates, or None if there are none to fit.
    """
    true = None if arena is None or sample.positions is None else angles_of_places(arena, sample.positions)
    count = ANGLES.get(recovery.manifold_, 0) if true is None else true.shape[1]
    if not count:
        return None
    metric = "geodesic" if recovery.metric_ == "geodesic" else "euclidean"
    try:
        angles = CircularCoordinates(count, metric=metric).fit(sample.states[: sample.half]).transform(sample.states)
    except ValueError as error:
        return Coordinates(count, None, None, str(error))
    matched = None if true is None else match_angles(angles[sample.half :], true[sample.half :])
    return Coordinates(count, angles, matched, None)


def angles_of_places(arena: NavigationArena, places: Tensor) -> np.ndarray | None:
    """Return the angles of places in an arena, (n, 1 or 2) rad, or None for the box and the sphere, which have none.

    Args:
        arena: any.
        places: (n, coordinate_dim), its points.
    """
    angles = arena.manifold.angles(places.double())
    return None if angles is None else angles.numpy()


def match_angles(found: np.ndarray, true: np.ndarray) -> list[float]:
    """Compute the circular correlation of each true angle with the angle found for it.

    Two angles on a torus are determined up to an integer change of basis with determinant 1 or -1. Factors up to 2 are
    tried, and the basis with the largest sum of correlations is taken.

    Args:
        found: (n, c) rad, c = 1 or 2.
        true: (n, c) rad.

    Returns:
        c numbers in [0, 1].
    """
    if found.shape[1] == 1:
        return [circular_correlation(found[:, 0], true[:, 0])]
    rows = list(itertools.product(range(-_LARGEST_FACTOR, _LARGEST_FACTOR + 1), repeat=2))
    fits = {row: [circular_correlation(found @ np.array(row), angle) for angle in true.T] for row in rows if any(row)}
    bases = [(a, b) for a, b in itertools.product(fits, fits) if abs(a[0] * b[1] - a[1] * b[0]) == 1]
    first, second = max(bases, key=lambda basis: fits[basis[0]][0] + fits[basis[1]][1])
    return [fits[first][0], fits[second][1]]
