"""Rates of simulated cells along a path, and the clouds that a user would make of their spikes."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from analysis.field.paths import STEP, Path

Rates = Float[np.ndarray, "time units"]
Cells = Callable[[Path, int, np.random.Generator], Rates]


def place_cells(path: Path, cells: int, rng: np.random.Generator, width: float = 0.2) -> Rates:
    """Gaussian fields of a width in m around centers that are uniform in the box; the largest rate is 1."""
    centers = rng.uniform(size=(cells, 2))
    squared = ((path.positions[:, None] - centers) ** 2).sum(axis=2)
    return np.exp(-squared / (2 * width**2))


def grid_module(path: Path, cells: int, rng: np.random.Generator, scale: float = 0.4) -> Rates:
    """Rectified sums of three cosines of one scale (m) and orientation, with random phases; the largest rate is 1."""
    turn = rng.uniform(0, np.pi / 3)
    angles = turn + np.arange(3) * np.pi / 3
    waves = np.stack([np.cos(angles), np.sin(angles)]) * 2 * np.pi / (scale * np.sqrt(3) / 2)
    phases = rng.uniform(-scale, scale, (cells, 2))
    drive = np.cos((path.positions[:, None] - phases) @ waves).mean(axis=2)
    # Fields begin where the drive is that of 0.35 scales from their center.
    least = np.cos((0.35 * scale * np.array([1.0, 0.0])) @ waves).mean()
    return np.maximum((drive - least) / (1 - least), 0.0)


def head_direction(path: Path, cells: int, rng: np.random.Generator, width: float = np.pi / 6) -> Rates:
    """Von Mises tuning around random directions; the largest rate is 1."""
    preferred = rng.uniform(-np.pi, np.pi, cells)
    return np.exp((np.cos(path.directions[:, None] - preferred) - 1) / width**2)


def spikes(rates: Rates, peak: float, rng: np.random.Generator) -> np.ndarray:
    """Draw Poisson counts in bins of the path's step; `peak` is the rate in Hz of a cell at its best place."""
    return rng.poisson(rates * peak * STEP)


def cloud(counts: np.ndarray, sigma: float = 0.4) -> np.ndarray:
    """Make states of counts: the root, which evens out the variance, and a Gaussian filter of `sigma` s."""
    return gaussian_filter1d(np.sqrt(counts), sigma / STEP, axis=0)


def thinned(states: np.ndarray, points: int) -> np.ndarray:
    """Take `points` rows, evenly spaced in time."""
    return states[np.linspace(0, len(states) - 1, min(points, len(states))).astype(int)]
