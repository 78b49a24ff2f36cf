"""The example shapes of DREiMac (`dreimac.utils.GeometryExamples`), with noise where it draws none."""

from typing import Any

import numpy as np

from analysis.field.paths import global_seed, optional
from analysis.field.shapes import Points, noisy


def torus(n: int, rng: np.random.Generator) -> Points:
    """Draw a torus of radii 5 and 2 in R^3, even in its angles."""
    return _example("torus_3d", n, 5, 2, seed=int(rng.integers(2**31)))


def klein_bottle(n: int, rng: np.random.Generator) -> Points:
    """Draw a Klein bottle of radii 4 and 2 in R^4, even in its angles."""
    return _example("klein_bottle_4d", n, 4, 2, seed=int(rng.integers(2**31)))


def trefoil(n: int, rng: np.random.Generator) -> Points:
    """Follow a trefoil knot in R^3, about 20 wide and 8 high, with noise of 0.3."""
    return noisy(_example("trefoil", n, noisy=False), 0.3, rng)


def genus_two(n: int, rng: np.random.Generator) -> Points:
    """Draw from the grid on a surface of genus 2, two tori of radii 5 and 2 that are joined, with noise of 0.2."""
    return noisy(_some(_example("genus_two_surface"), n, rng), 0.2, rng)


def three_circles(n: int, rng: np.random.Generator) -> Points:
    """Draw from three concentric circles of radii 1, 2 and 3 in the plane, 200 points each, with noise of 0.05."""
    return noisy(_some(_example("bullseye"), n, rng), 0.05, rng)


def moving_dot(n: int, rng: np.random.Generator) -> Points:
    """Show a blurred dot in patches of 10 x 10 pixels, with noise of 0.01.

    Outside of the patch all dots look alike, nothing is seen: the plane of their places becomes a sphere.
    """
    return noisy(_some(_example("moving_dot", int(np.ceil(np.sqrt(n)))), n, rng), 0.01, rng)


def line_patches(n: int, rng: np.random.Generator) -> Points:
    """Show blurred lines in patches of 10 x 10 pixels, with noise of 0.01.

    A line has an angle modulo pi and an offset, which changes its sign with half a turn: a Moebius band. Lines outside
    of the patch look alike, so that its rim becomes a point: a projective plane.
    """
    side = int(np.ceil(np.sqrt(n)))
    return noisy(_some(_example("line_patches", 10, side, side, 0.25), n, rng), 0.01, rng)


def _example(name: str, *arguments: Any, **named: Any) -> Points:
    # Some examples seed NumPy's generator.
    with global_seed(0):
        return getattr(optional("dreimac.utils").GeometryExamples, name)(*arguments, **named)


def _some(points: Points, n: int, rng: np.random.Generator) -> Points:
    return points[rng.permutation(len(points))[:n]]
