"""Points whose manifold is known, uniform in area, with noise of a tenth of the manifold's reach."""

from collections.abc import Callable

import numpy as np

NOISE = 0.1


def circle(n: int, rng: np.random.Generator) -> np.ndarray:
    """The unit circle in R^2; reach 1."""
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def sphere(n: int, rng: np.random.Generator) -> np.ndarray:
    """The unit sphere in R^3; reach 1."""
    points = rng.standard_normal((n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _by_area(
    surface: Callable[[np.ndarray, np.ndarray], np.ndarray],
    density: Callable[[np.ndarray], np.ndarray],
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Points of a surface over two angles, kept with a probability in proportion to its area element."""
    kept = np.empty((0, 2))
    while len(kept) < n:
        angles = rng.uniform(0, 2 * np.pi, (2 * n, 2))
        kept = np.concatenate([kept, angles[rng.uniform(0, 3, 2 * n) < density(angles[:, 1])]])
    return surface(*kept[:n].T)


def torus_surface(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The torus of revolution with radii 2 and 1."""
    ring = 2 + np.cos(v)
    return np.stack([ring * np.cos(u), ring * np.sin(u), np.sin(v)], axis=1)


def klein_surface(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A circle of radius 1 led around one of radius 2 in R^4, turned over on the way in the third and fourth axis."""
    ring = 2 + np.cos(v)
    return np.stack([ring * np.cos(u), ring * np.sin(u), np.sin(v) * np.cos(u / 2), np.sin(v) * np.sin(u / 2)], axis=1)


def torus(n: int, rng: np.random.Generator) -> np.ndarray:
    """`torus_surface` in R^3; reach 1."""
    return _by_area(torus_surface, lambda v: 2 + np.cos(v), n, rng)


def klein_bottle(n: int, rng: np.random.Generator) -> np.ndarray:
    """`klein_surface` in R^4; reach 1, as `tests/topology/test_known_manifolds.py` computes."""
    return _by_area(klein_surface, lambda v: np.sqrt((2 + np.cos(v)) ** 2 + np.sin(v) ** 2 / 4), n, rng)


def flat_torus(n: int, rng: np.random.Generator) -> np.ndarray:
    """The product of two unit circles in R^4; reach 1."""
    return np.concatenate([circle(n, rng), circle(n, rng)], axis=1)


def disc(n: int, rng: np.random.Generator) -> np.ndarray:
    """The unit disc in R^3; its reach is infinite, and its radius stands for it."""
    radius = np.sqrt(rng.uniform(0, 1, (n, 1)))
    return np.concatenate([radius * circle(n, rng), np.zeros((n, 1))], axis=1)


def noisy(sample: Callable[[int, np.random.Generator], np.ndarray]) -> Callable[[int, np.random.Generator], np.ndarray]:
    """The same points with Gaussian noise of standard deviation 0.1 in every coordinate."""

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
