"""The two angles of a torus in an arena: the plane waves that they follow, and the axes of their lattice."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from riemod.topology.circular import reduced_basis

__all__ = ["TorusAxes", "align_with_arena"]

# A wave is looked for up to this many periods over the arena, on a lattice of this many steps a period.
_MOST_PERIODS, _STEPS = 12, 3
_MOST_POINTS = 2000
# Axes nearer to 60 than to 90 degrees are those of a hexagonal lattice.
_BETWEEN = 75.0


@dataclass(frozen=True)
class TorusAxes:
    """Holds the plane waves that two angles follow in an arena, angle_i = k_i x + c_i modulo 2 pi."""

    basis: Float[np.ndarray, "2 2"]
    """Integers: the aligned angles are the recovered ones times the transpose of this."""
    waves: Float[np.ndarray, "2 2"]
    """k, one wave vector a row, rad/m."""
    phases: Float[np.ndarray, " 2"]
    """c, rad."""
    coherences: Float[np.ndarray, " 2"]
    """|mean exp(i (angle - k x))| of each: 1 if an angle is a function of the place, near 0 if it is not."""

    @property
    def between(self) -> float:
        """The angle between the two wave vectors, degrees, from 60 to 90."""
        first, second = self.waves
        cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
        return math.degrees(math.acos(min(1.0, abs(float(cosine)))))

    @property
    def lattice(self) -> str:
        """The lattice of places with the same two angles: "hexagonal" or "square", whichever is nearer."""
        return "hexagonal" if self.between < _BETWEEN else "square"

    @property
    def spacings(self) -> list[float]:
        """The lengths of the two shortest vectors between places with the same angles, m."""
        return np.linalg.norm(2 * np.pi * np.linalg.inv(self.waves), axis=0).tolist()

    def aligned(self, angles: Float[np.ndarray, "t 2"]) -> Float[np.ndarray, "t 2"]:
        """Return the angles along these axes, rad, from 0 to 2 pi.

        Args:
            angles: as they were recovered.
        """
        return np.mod(angles @ self.basis.T, 2 * np.pi)

    def phases_at(self, places: Float[np.ndarray, "t 2"]) -> Float[np.ndarray, "t 2"]:
        """Return the angles that belong to places, rad, from 0 to 2 pi.

        Args:
            places: m.
        """
        return np.mod(places @ self.waves.T + self.phases, 2 * np.pi)

    def meters(self, difference: Float[np.ndarray, "t 2"]) -> Float[np.ndarray, " t"]:
        """Return the shortest distance between places whose angles differ by so much, m.

        Args:
            difference: of aligned angles, rad.
        """
        turns = np.mod(difference + np.pi, 2 * np.pi) - np.pi
        # The nearest place may lie in a neighboring cell of the lattice.
        shifts = 2 * np.pi * np.array([(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)])
        steps = (turns[:, None] + shifts) @ np.linalg.inv(self.waves).T
        return np.linalg.norm(steps, axis=2).min(axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return the part that goes into the record."""
        return {
            "waves": self.waves.tolist(),
            "coherences": self.coherences.tolist(),
            "between": self.between,
            "lattice": self.lattice,
            "spacings": self.spacings,
        }


def align_with_arena(angles: Float[np.ndarray, "t 2"], places: Float[np.ndarray, "t 2"]) -> TorusAxes:
    """Find the axes of an arena that two recovered angles follow, and the angles along the shortest ones.

    For each angle the wave vector k is the one with the largest coherence |mean exp(i (angle - k x))|, on a lattice of
    wave vectors and then by ascent. Two angles of a torus are recovered up to an integer change of basis, which changes
    the wave vectors alike: they are reduced to the shortest pair (Lagrange and Gauss), whose vectors are 60 degrees
    apart for grid cells (a hexagonal lattice) and 90 degrees apart for a square lattice. Signs are chosen so that both
    waves run to the right, and are at most 90 degrees apart; the first is the nearer one to the x axis.

    Args:
        angles: (t, 2), rad, of `CircularCoordinates`.
        places: (t, 2), m.

    Returns:
        The axes.

    Raises:
        ValueError: if the two angles follow the same wave, or none.
    """
    some = np.linspace(0, len(angles) - 1, min(len(angles), _MOST_POINTS)).round().astype(int)
    waves = np.stack([_wave(angle[some], places[some]) for angle in angles.T])
    if abs(np.linalg.det(waves)) < 1e-6 * np.square(waves).sum():
        raise ValueError("angles must follow two different waves in the arena, got the same one twice, or none")
    basis = reduced_basis(waves)
    waves = basis @ waves
    signs = np.where(waves[:, 0] < 0, -1.0, 1.0)
    if (signs[0] * waves[0]) @ (signs[1] * waves[1]) < 0:
        steeper = int(np.argmax(np.abs(waves[:, 1]) / np.linalg.norm(waves, axis=1)))
        signs[steeper] *= -1
    order = np.argsort(np.abs(np.arctan2(*(signs[:, None] * waves).T[::-1])), kind="stable")
    basis, waves = (signs[:, None] * basis)[order], (signs[:, None] * waves)[order]
    means = np.exp(1j * (angles @ basis.T - places @ waves.T)).mean(axis=0)
    phases = np.mod(np.angle(means), 2 * np.pi)
    return TorusAxes(basis, waves, phases, np.abs(means))


def _wave(angle: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Find the wave vector that an angle follows."""
    centered = places - places.mean(axis=0)
    extent = float(np.ptp(centered, axis=0).max())
    step = 2 * np.pi / extent / _STEPS
    line = step * np.arange(-_MOST_PERIODS * _STEPS, _MOST_PERIODS * _STEPS + 1)
    # The sum over points of exp(i angle) exp(-i kx x) exp(-i ky y) for all kx and ky is a product of matrices.
    x, y = (np.exp(-1j * np.outer(line, axis)) for axis in centered.T)
    found = np.abs((x * np.exp(1j * angle)) @ y.T)
    best = np.array([line[index] for index in np.unravel_index(found.argmax(), found.shape)])

    def loss(wave: np.ndarray) -> float:
        return -float(np.abs(np.exp(1j * (angle - centered @ wave)).mean()))

    return minimize(loss, best, method="Nelder-Mead", options={"initial_simplex": _simplex(best, step / 2)}).x


def _simplex(start: np.ndarray, size: float) -> np.ndarray:
    return start + size * np.array([[0, 0], [1, 0], [0, 1]])
