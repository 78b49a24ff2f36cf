"""Points of a manifold in space: where a view that can be rotated draws them, and the lines that show the manifold."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from scipy.spatial.distance import pdist
from torch import Tensor

from riemod._checks import check_type
from riemod.alignment import distance_matrix
from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Sphere, Torus

__all__ = ["Space", "in_space"]

# A torus is drawn with these radii; its two circles are equally long, those of a ring in space are not.
_RING, _TUBE = 1.0, 0.45
_STEPS = 72
# For more points, distances of all pairs would take more memory and time than a page is worth.
_MOST_POINTS = 2000


class Space(NamedTuple):
    """Holds a picture of points in space."""

    points: np.ndarray
    """(n, 3); NaN for points that are not drawn."""
    lines: np.ndarray
    """(m, 3), lines on the manifold, with a row of NaN between two of them."""
    caption: str
    """What the picture keeps of the manifold, in a sentence."""


def in_space(points: Tensor, manifold: Manifold) -> Space:
    """Return where to draw the points of a manifold in space.

    Args:
        points: (n, coordinate_dim).
        manifold: any. One without a picture of its own is drawn by classical scaling of the geodesic distances.

    >>> in_space(torch.tensor([[0.0, 0.0]]), Torus(2)).points.round(2).tolist()
    [[1.45, 0.0, 0.0]]
    """
    check_type("manifold", manifold, Manifold, "a Manifold").check_points(points)
    return _picture(manifold, points.detach().cpu().double().numpy())


@functools.singledispatch
def _picture(manifold: Manifold, points: np.ndarray) -> Space:
    drawn, agreement = _scaled(points, manifold)
    kept = "" if len(points) <= _MOST_POINTS else f" {_MOST_POINTS:,} of the {len(points):,} units are drawn."
    caption = (
        f"The three main directions of {manifold}, which no picture holds whole: distances in it and on the manifold "
        f"have a correlation of {agreement:.2f}.{kept}"
    )
    return Space(drawn, np.empty((0, 3)), caption)


@_picture.register
def _(manifold: Torus, points: np.ndarray) -> Space:
    angles = points * (2 * np.pi / manifold.period)
    if manifold.dim == 1:
        return Space(_circle(angles[:, 0]), _circle(_turn()), "A circle. It can be turned, but has no inside.")
    if manifold.dim != 2:
        return _picture.dispatch(Manifold)(manifold, points)
    caption = (
        "A torus, drawn as a ring. Its two circles are equally long, and it is flat: a square whose opposite edges are "
        "the same line."
    )
    return Space(_ring(*angles.T), _grid(_ring, _turn()[::6], _turn()[::6]), caption)


@_picture.register
def _(manifold: Sphere, points: np.ndarray) -> Space:
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    if manifold.dim == 1:
        return Space(_flat(unit), _circle(_turn()), "A circle. It can be turned, but has no inside.")
    if manifold.dim != 2:
        return _picture.dispatch(Manifold)(manifold, points)
    lines = _grid(_ball, _turn()[::6], np.linspace(-np.pi / 2, np.pi / 2, 7))
    return Space(unit, lines, "A sphere. Distances run along its surface.")


@_picture.register
def _(manifold: KleinBottle, points: np.ndarray) -> Space:
    angles = points * (2 * np.pi / manifold.period)
    caption = "A Klein bottle, drawn as a figure eight that turns over once. It crosses itself in the picture only."
    return Space(_eight(*angles.T), _grid(_eight, _turn()[::6], _turn()[::6]), caption)


@_picture.register
def _(manifold: PoincareBall, points: np.ndarray) -> Space:
    if manifold.dim > 3:
        return _picture.dispatch(Manifold)(manifold, points)
    rim = _circle(_turn()) if manifold.dim == 2 else _grid(_ball, _turn()[::6], np.linspace(-np.pi / 2, np.pi / 2, 7))
    name = "disc" if manifold.dim == 2 else "ball"
    return Space(
        _flat(points), rim, f"The Poincare {name}. Its rim is infinitely far away; equal steps shrink towards it."
    )


@_picture.register
def _(manifold: Euclidean, points: np.ndarray) -> Space:
    if manifold.dim > 3:
        return _picture.dispatch(Manifold)(manifold, points)
    return Space(_flat(points), np.empty((0, 3)), f"Flat space of dimension {manifold.dim}, as it is.")


def _scaled(points: np.ndarray, manifold: Manifold) -> tuple[np.ndarray, float]:
    """Return the first three coordinates of classical scaling, and how their distances correlate with the true ones.

    Reference: Torgerson 1952, https://doi.org/10.1007/BF02288916
    """
    chosen = np.linspace(0, len(points) - 1, min(len(points), _MOST_POINTS)).round().astype(int)
    distances = distance_matrix(torch.from_numpy(points[chosen]), manifold)
    squared = distances**2
    inner = -0.5 * (squared - squared.mean(0) - squared.mean(1, keepdims=True) + squared.mean())
    drawn = np.full((len(points), 3), np.nan)
    wanted = min(3, len(chosen) - 1)
    if wanted < 1 or not inner.any():
        drawn[chosen] = 0.0
        return drawn, 1.0
    if len(chosen) <= 2 * wanted + 1:  # too few for an iterative method
        values, vectors = np.linalg.eigh(inner)
        values, vectors = values[-wanted:], vectors[:, -wanted:]
    else:
        start = np.random.default_rng(0).standard_normal(len(chosen))
        values, vectors = eigsh(inner, k=wanted, which="LA", v0=start)
    lengths = np.sqrt(values.clip(min=0))
    drawn[chosen] = _flat((vectors * lengths)[:, ::-1])
    pairs = np.triu_indices(len(chosen), 1)
    in_picture = pdist(drawn[chosen])
    varying = np.ptp(in_picture) > 0 and np.ptp(distances[pairs]) > 0
    return drawn, float(np.corrcoef(in_picture, distances[pairs])[0, 1]) if varying else 1.0


def _flat(points: np.ndarray) -> np.ndarray:
    """Return points of at most three coordinates with zeros for those that are missing."""
    return np.pad(points, ((0, 0), (0, 3 - points.shape[1])))


def _circle(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=-1)


def _ring(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    radius = _RING + _TUBE * np.cos(second)
    return np.stack([radius * np.cos(first), radius * np.sin(first), _TUBE * np.sin(second)], axis=-1)


def _ball(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    flat = np.cos(latitude)
    return np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)], axis=-1)


def _eight(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return a figure eight (`second`) that is carried around (`first`) and turns over once, as the bottle is glued."""
    across, up = np.sin(second), np.sin(2 * second)
    radius = _RING + _TUBE * (np.cos(first / 2) * across - np.sin(first / 2) * up)
    height = _TUBE * (np.sin(first / 2) * across + np.cos(first / 2) * up)
    return np.stack([radius * np.cos(first), radius * np.sin(first), height], axis=-1)


def _turn() -> np.ndarray:
    return np.linspace(0, 2 * np.pi, _STEPS + 1)


def _grid(place: Callable[[np.ndarray, np.ndarray], np.ndarray], firsts: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return lines of constant first, and then of constant second coordinate, with NaN between them."""
    smooth = [np.linspace(axis[0], axis[-1], _STEPS + 1) for axis in (firsts, seconds)]
    gap = np.full((1, 3), np.nan)
    lines = [place(np.full(_STEPS + 1, first), smooth[1]) for first in firsts]
    lines += [place(smooth[0], np.full(_STEPS + 1, second)) for second in seconds]
    return np.concatenate([part for line in lines for part in (line, gap)])
