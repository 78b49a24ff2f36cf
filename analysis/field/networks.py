"""Rates of continuous attractor networks of canns, driven along a path: what a network does, not what tuning says."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from analysis.field.paths import Path, optional
from analysis.field.populations import Rates

# Steps of a network for each position of a path: the time constant of the networks here is 10 steps.
_STEPS = 10


def ring(path: Path, seed: int, neurons: int = 128) -> Rates:
    """Drive a ring (`canns.models.basic.CANN1D`) by the direction of the head; the largest rate is 1.

    Reference: Wu et al. 2008, https://doi.org/10.1162/neco.2008.10-06-378
    """
    network = _network("CANN1D", 0.1, seed, num=neurons)
    return _driven(network, path.directions, network.get_stimulus_by_pos)


def grid_network(path: Path, seed: int, side: int = 16, scale: float = 0.4) -> Rates:
    """Drive a twisted torus of `side`² neurons (`canns.models.basic.GridCell2DPosition`) by the position.

    Its neurons have fields on a hexagonal lattice of `scale` m, and noise; the largest rate is 1.

    Reference: Burak and Fiete 2009, https://doi.org/10.1371/journal.pcbi.1000291
    """
    network = _network("GridCell2DPosition", 1.0, seed, length=side, mapping_ratio=2 * np.pi / scale)
    return _driven(network, path.positions)


def square_network(path: Path, seed: int, side: int = 16, scale: float = 0.5) -> Rates:
    """Drive a square torus of `side`² neurons (`canns.models.basic.CANN2D`) by the position, modulo `scale` m."""
    network = _network("CANN2D", 0.1, seed, length=side)
    return _driven(network, (path.positions / scale % 1 - 0.5) * 2 * np.pi, network.get_stimulus_by_pos)


def some(rates: Rates, count: int, rng: np.random.Generator) -> Rates:
    """Keep some of the neurons, as a recording does."""
    return rates[:, np.sort(rng.permutation(rates.shape[1])[:count])]


def _network(name: str, step: float, seed: int, **settings: Any) -> Any:
    """Build a network of canns, whose step and random numbers brainpy holds."""
    math = optional("brainpy.math")
    math.set_dt(step)
    math.random.seed(seed)
    return getattr(optional("canns.models.basic"), name)(**settings)


def _driven(
    network: Any, places: Float[np.ndarray, "t ..."], stimulus: Callable[[Any], Any] = lambda place: place
) -> Rates:
    """Return the rates after `_STEPS` steps at each place."""
    math = optional("brainpy.math")

    def visit(place: Any) -> Any:
        given = stimulus(place)
        for _ in range(_STEPS):
            network.update(given)
        return network.r.value.reshape(-1)

    rates = np.asarray(math.for_loop(visit, math.asarray(places)), dtype=float)
    return rates / rates.max()
