"""The cases of the field set: how each cloud is drawn, and which name is right."""

import functools
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from analysis import clouds
from analysis.field import examples, networks, shapes
from analysis.field import populations as cells
from analysis.field.paths import Path, independent, rat, real_rat

POINTS = 3000
SHAPE_POINTS = 2000
Cloud = Callable[[int, np.random.Generator], np.ndarray]


class Case(NamedTuple):
    """Holds the name that is right, None if no name that is known here is, and what draws the cloud from a seed."""

    right: str | None
    draw: Cloud


def _rat(seed: int, _rng: np.random.Generator) -> Path:
    return rat(seed)


def _real(seed: int, _rng: np.random.Generator) -> Path:
    return real_rat(60.0 * seed)


def _uniform(_seed: int, rng: np.random.Generator) -> Path:
    return independent(POINTS, rng)


_PATHS = {"rat": _rat, "real rat": _real, "independent places": _uniform}
_KINDS = {"place": cells.place_cells, "grid": cells.grid_module, "head": cells.head_direction}


def population(kinds: dict[str, int], path: str, peak: float | None, sigma: float = 0.4) -> Cloud:
    """Draw rates of some cells of each kind along a path, or the smoothed roots of their spike counts."""

    def draw(seed: int, rng: np.random.Generator) -> np.ndarray:
        walked = _PATHS[path](seed, rng)
        rates = np.concatenate([_KINDS[kind](walked, count, rng) for kind, count in kinds.items()], axis=1)
        states = rates if peak is None else cells.cloud(cells.spikes(rates, peak, rng), sigma)
        return cells.thinned(states, POINTS)

    return draw


def shape(draw: shapes.Draw, points: int = SHAPE_POINTS, noise: float = 0.0) -> Cloud:
    """Draw a shape with noise in its own coordinates."""
    return lambda _seed, rng: shapes.noisy(draw(points, rng), noise, rng)


def network(
    rates: Callable[[Path, int], cells.Rates], neurons: int | None = None, peak: float | None = None, sigma: float = 0.4
) -> Cloud:
    """Drive a network along the rat's path; take its rates, or the smoothed roots of spike counts of some neurons."""

    def draw(seed: int, rng: np.random.Generator) -> np.ndarray:
        found = rates(rat(seed), seed)
        if neurons is not None:
            found = networks.some(found, neurons, rng)
        states = found if peak is None else cells.cloud(cells.spikes(found, peak, rng), sigma)
        return cells.thinned(states, POINTS)

    return draw


_LIFTED: dict[str, tuple[str, shapes.Draw]] = {
    "circle": ("circle", clouds.circle),
    "sphere": ("sphere", shapes.elongated_sphere),
    "torus": ("torus", clouds.torus),
    "klein bottle": ("klein bottle", clouds.klein_bottle),
    "disc": ("contractible", clouds.disc),
}
CASES: dict[str, Case] = {
    "120 place cells, rates": Case("contractible", population({"place": 120}, "rat", None)),
    "120 place cells, rates, real path": Case("contractible", population({"place": 120}, "real rat", None)),
    "120 place cells, rates, independent places": Case(
        "contractible", population({"place": 120}, "independent places", None)
    ),
    "60 place cells, 20 Hz": Case("contractible", population({"place": 60}, "rat", 20.0)),
    "60 grid and 60 head cells, rates": Case(None, population({"grid": 60, "head": 60}, "rat", None)),
    "60 grid and 60 head cells, 20 Hz": Case(None, population({"grid": 60, "head": 60}, "rat", 20.0)),
    "60 grid cells, rates": Case("torus", population({"grid": 60}, "rat", None)),
    **{
        f"{count} grid cells, {peak} Hz": Case("torus", population({"grid": count}, "rat", float(peak)))
        for count, peak in ((30, 20), (60, 20), (120, 20))
    },
    "60 head cells, rates": Case("circle", population({"head": 60}, "rat", None)),
    **{
        f"{count} head cells, {peak} Hz": Case("circle", population({"head": count}, "rat", float(peak), 0.2))
        for count, peak in ((60, 10), (60, 30), (120, 10), (120, 30))
    },
    "sphere and two circles": Case(None, shape(shapes.wedge, noise=0.03)),
    "sphere, two ears and a disk": Case(None, shape(shapes.eared_sphere, noise=0.03)),
    "figure eight": Case(None, shape(shapes.figure_eight, noise=0.05)),
    "S^3": Case(None, shape(shapes.three_sphere, noise=0.1)),
    "3-torus": Case(None, shape(shapes.three_torus, noise=0.1)),
    "immersed Klein bottle": Case(None, shape(shapes.immersed_klein_bottle, noise=0.05)),
    "circle with a gap of 30 degrees": Case(None, shape(shapes.gapped_circle, noise=0.05)),
    **{
        f"torus of {points} points, noise {noise}": Case("torus", shape(shapes.tube_torus, points, noise))
        for points, noise in ((500, 0.0), (500, 0.1), (600, 0.1), (800, 0.1))
    },
    "eyeglasses": Case("circle", shape(shapes.eyeglasses, noise=0.05)),
    "100 places of a circle, repeated": Case("circle", shape(shapes.repeated_places)),
    **{
        f"{name}, tanh to 30": Case(right, shape(shapes.lifted(draw), noise=0.05))
        for name, (right, draw) in _LIFTED.items()
    },
    "ring network, rates": Case("circle", network(networks.ring)),
    "ring network, 60 neurons, 20 Hz": Case("circle", network(networks.ring, 60, 20.0, 0.2)),
    "grid network, rates": Case("torus", network(networks.grid_network)),
    "grid network, 60 neurons, 20 Hz": Case("torus", network(networks.grid_network, 60, 20.0)),
    "square torus network, rates": Case("torus", network(networks.square_network)),
    "torus of DREiMac": Case("torus", shape(examples.torus)),
    "Klein bottle of DREiMac": Case("klein bottle", shape(examples.klein_bottle)),
    "trefoil knot": Case("circle", shape(examples.trefoil)),
    "genus two": Case(None, shape(examples.genus_two)),
    "three concentric circles": Case(None, shape(examples.three_circles)),
    "moving dot": Case("sphere", shape(examples.moving_dot)),
    "line patches": Case(None, shape(examples.line_patches)),
    "swiss roll": Case("contractible", shape(shapes.swiss_roll, noise=0.1)),
    "infinity sign": Case(None, shape(shapes.infinity_sign, noise=0.03)),
}


@functools.lru_cache(maxsize=2)
def cloud(name: str, seed: int) -> np.ndarray:
    """Draw the cloud of a case; clouds of different cases and seeds are independent, but for the rat of a seed."""
    return CASES[name].draw(seed, np.random.default_rng([seed, zlib.crc32(name.encode())]))
