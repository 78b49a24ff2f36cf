"""Shapes whose Betti numbers are those of another manifold, or of which too little is seen: (n, k) points each."""

from collections.abc import Callable

import numpy as np

from analysis import clouds
from analysis.field.paths import global_seed, optional

Points = np.ndarray
Draw = Callable[[int, np.random.Generator], Points]


def noisy(points: Points, noise: float, rng: np.random.Generator) -> Points:
    """Add Gaussian noise to every coordinate."""
    return points + noise * rng.standard_normal(points.shape)


def wedge(n: int, rng: np.random.Generator) -> Points:
    """Join the unit sphere and two unit circles, each at a point: Betti numbers (1, 2, 1) without any product."""
    circles = n // 4
    left, right = (np.pad(clouds.circle(circles, rng), ((0, 0), (0, 1))) for _ in range(2))
    shift = np.array([2.0, 0.0, 0.0])
    return np.concatenate([clouds.sphere(n - 2 * circles, rng), left - shift, right[:, [0, 2, 1]] + shift])


def eared_sphere(n: int, rng: np.random.Generator) -> Points:
    """Join the unit sphere, two half circles at both of their ends, and a disk at a point of its rim."""
    ear, disk = n // 6, n // 5
    turns = rng.uniform(0, np.pi, (2, ear, 1))
    up, out = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
    ears = [
        np.cos(turn) * up * 0.8 + (0.6 + 1.2 * np.sin(turn)) * side
        for turn, side in zip(turns, (out, -out), strict=True)
    ]
    flap = clouds.disc(disk, rng) @ np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]) + np.array([0.0, 2.0, 0.0])
    return np.concatenate([clouds.sphere(n - 2 * ear - disk, rng), *ears, flap])


def three_sphere(n: int, rng: np.random.Generator) -> Points:
    """Draw from the unit sphere in R^4."""
    points = rng.standard_normal((n, 4))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def three_torus(n: int, rng: np.random.Generator) -> Points:
    """Draw from the product of three unit circles in R^6."""
    return np.concatenate([clouds.circle(n, rng) for _ in range(3)], axis=1)


def immersed_klein_bottle(n: int, rng: np.random.Generator) -> Points:
    """Lead a figure eight around a circle of radius 2.5 in R^3 and give it half a turn on the way; it cuts itself."""
    u, v = rng.uniform(0, 2 * np.pi, (2, n))
    ring = 2.5 + np.cos(u / 2) * np.sin(v) - np.sin(u / 2) * np.sin(2 * v)
    height = np.sin(u / 2) * np.sin(v) + np.cos(u / 2) * np.sin(2 * v)
    return np.stack([ring * np.cos(u), ring * np.sin(u), height], axis=1)


def gapped_circle(n: int, rng: np.random.Generator, gap: float = np.pi / 6) -> Points:
    """Draw from the unit circle but for an arc of `gap` rad."""
    angle = rng.uniform(gap, 2 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def figure_eight(n: int, rng: np.random.Generator) -> Points:
    """Join two unit circles at a point."""
    points = clouds.circle(n, rng)
    return points + np.where(rng.uniform(size=n) < 0.5, 1.0, -1.0)[:, None] * np.array([1.0, 0.0])


def tube_torus(n: int, rng: np.random.Generator) -> Points:
    """Draw tadasets' torus of radii 2 and 1: even in its angles, not in its area."""
    return optional("tadasets").torus(n, c=2, a=1, seed=int(rng.integers(2**31)))


def eyeglasses(n: int, rng: np.random.Generator) -> Points:
    """Draw tadasets' outline of eyeglasses, a closed curve with a neck."""
    seed = int(rng.integers(2**31))
    with global_seed(seed):
        return optional("tadasets").eyeglasses(n, r1=1, neck_size=0.8, seed=seed)


def swiss_roll(n: int, rng: np.random.Generator) -> Points:
    """Draw tadasets' roll: a rectangle that follows one and a half turns of a spiral, 6.3 from one another."""
    return optional("tadasets").swiss_roll(n, r=10, seed=int(rng.integers(2**31)))


def infinity_sign(n: int, rng: np.random.Generator) -> Points:
    """Draw tadasets' curve that crosses itself once."""
    return optional("tadasets").infty_sign(n, seed=int(rng.integers(2**31)))


def repeated_places(n: int, rng: np.random.Generator, places: int = 100, jitter: float = 1e-6) -> Points:
    """Visit `places` evenly spaced places of the unit circle again and again, with a jitter."""
    angle = 2 * np.pi * rng.integers(places, size=n) / places
    return noisy(np.stack([np.cos(angle), np.sin(angle)], axis=1), jitter, rng)


def elongated_sphere(n: int, rng: np.random.Generator) -> Points:
    """Stretch the unit sphere by 1.5 along one axis."""
    return clouds.sphere(n, rng) * np.array([1.0, 1.0, 1.5])


def lifted(draw: Draw, width: int = 30) -> Draw:
    """Map a shape by a random tanh layer to `width` dimensions; its input has mean square 1 in each direction used."""

    def drawn(n: int, rng: np.random.Generator) -> Points:
        points = draw(n, rng)
        points = points / np.sqrt((points**2).sum(axis=1).mean())
        return np.tanh(points @ rng.standard_normal((points.shape[1], width)) * 1.5 + rng.uniform(-1, 1, width))

    return drawn
