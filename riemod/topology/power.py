"""How many points are enough: at which number planted manifolds were recognized in at least 80 % of draws."""

import math

import numpy as np

from riemod.topology.few import size_and_noise

# By manifold, rows of (noise, points): the root of the noise's total variance over that of the manifold's, and the
# smallest number tried at which at least 8 of 10 draws were recognized with 40 nulls; None if none was.
# `python -m analysis.few_points` computes them, and tests/topology/test_power.py holds them to its records.
ENOUGH: dict[str, tuple[tuple[float, int | None], ...]] = {
    "circle": ((0.122, 40), (0.245, 40), (0.49, 120)),
    "sphere": ((0.122, 80), (0.245, 80), (0.49, None)),
    "torus": ((0.087, 120), (0.173, 150)),
}


def needed_points(coordinates: np.ndarray) -> dict[str, int | None]:
    """Look up how many points of this noise a circle, a sphere and a torus need; None if more than were tried.

    Noise is the root of its total variance over that of the manifold (see `size_and_noise`), rounded up to the next
    level that was tried.

    Args:
        coordinates: (n, k) of the data.
    """
    size, noise = size_and_noise(coordinates)
    share = noise * math.sqrt(coordinates.shape[1]) / size if size > 0 else math.inf
    # Levels are those of planted noise, of which a draw's estimate differs a little.
    return {
        name: next((points for level, points in rows if share <= 1.1 * level), None) for name, rows in ENOUGH.items()
    }
