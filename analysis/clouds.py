"""Points of known manifolds, uniform in area, with noise of a tenth of the manifold's reach; and noise alone."""

from collections.abc import Callable

import numpy as np

NOISE = 0.1


def circle(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw from the unit circle in R^2; its reach is 1."""
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def sphere(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw from the unit sphere in R^3; its reach is 1."""
    points = rng.standard_normal((n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _by_area(
    surface: Callable[[np.ndarray, np.ndarray], np.ndarray],
    density: Callable[[np.ndarray], np.ndarray],
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw from a surface over two angles; a draw is kept with a probability proportional to the area element."""
    kept = np.empty((0, 2))
    while len(kept) < n:
        angles = rng.uniform(0, 2 * np.pi, (2 * n, 2))
        kept = np.concatenate([kept, angles[rng.uniform(0, 3, 2 * n) < density(angles[:, 1])]])
    return surface(*kept[:n].T)


def torus_surface(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Map angles to the torus of revolution with radii 2 and 1."""
    ring = 2 + np.cos(v)
    return np.stack([ring * np.cos(u), ring * np.sin(u), np.sin(v)], axis=1)


def klein_surface(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Map angles to a Klein bottle in R^4: a circle of radius 1 led around one of radius 2, and turned over on the way.

    It turns over in the third and fourth axes.
    """
    ring = 2 + np.cos(v)
    return np.stack([ring * np.cos(u), ring * np.sin(u), np.sin(v) * np.cos(u / 2), np.sin(v) * np.sin(u / 2)], axis=1)


def torus(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw from `torus_surface` in R^3; its reach is 1."""
    return _by_area(torus_surface, lambda v: 2 + np.cos(v), n, rng)


def klein_bottle(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw from `klein_surface` in R^4; its reach is 1, as `tests/topology/test_known_manifolds.py` computes."""
    return _by_area(klein_surface, lambda v: np.sqrt((2 + np.cos(v)) ** 2 + np.sin(v) ** 2 / 4), n, rng)


def flat_torus(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw from the product of two unit circles in R^4; its reach is 1."""
    return np.concatenate([circle(n, rng), circle(n, rng)], axis=1)


def disc(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw from the unit disc in R^3; its reach is infinite, and its radius takes the reach's place."""
    radius = np.sqrt(rng.uniform(0, 1, (n, 1)))
    return np.concatenate([radius * circle(n, rng), np.zeros((n, 1))], axis=1)


def noisy(sample: Callable[[int, np.random.Generator], np.ndarray]) -> Callable[[int, np.random.Generator], np.ndarray]:
    """Add Gaussian noise of standard deviation 0.1 to every coordinate of what `sample` draws."""

    def draw(n: int, rng: np.random.Generator) -> np.ndarray:
        points = sample(n, rng)
        return points + NOISE * rng.standard_normal(points.shape)

    return draw


KNOWN = {
    "circle": ("circle", noisy(circle)),
    "sphere": ("sphere", noisy(sphere)),
    "torus": ("torus", noisy(torus)),
    "klein-bottle": ("klein bottle", noisy(klein_bottle)),
    "disc": ("contractible", noisy(disc)),
    "flat-torus": ("torus", noisy(flat_torus)),
}


def _shuffled(name: str) -> Callable[[int, np.random.Generator], np.ndarray]:
    return lambda n, rng: rng.permuted(KNOWN[name][1](n, rng), axis=0)


NOISES = {
    **{f"shuffled-{name}": _shuffled(name) for name in KNOWN},
    **{f"gaussian-{dim}": (lambda n, rng, dim=dim: rng.standard_normal((n, dim))) for dim in (2, 3, 4, 10)},
    **{f"uniform-{dim}": (lambda n, rng, dim=dim: rng.uniform(size=(n, dim))) for dim in (2, 3, 4, 10)},
}
