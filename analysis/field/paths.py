"""Paths of an animal through a square box of 1 m: simulated by RatInABox, a real rat's, or a random walk of our own."""

import contextlib
import functools
import importlib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

STEP = 0.1  # s


class Path(NamedTuple):
    """Holds positions (time, 2) in m, from 0 to 1, and head directions (time,) in rad, one row each 0.1 s."""

    positions: Float[np.ndarray, "t 2"]
    directions: Float[np.ndarray, " t"]


def optional(name: str) -> Any:
    """Import a package of the extra `field`, or raise an ImportError that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} is needed for this; pip install 'riemod[field]' installs it") from error


@contextlib.contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, which RatInABox, tadasets and DREiMac draw from, and restore it."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


@functools.lru_cache(maxsize=4)
def rat(seed: int, minutes: float = 20.0) -> Path:
    """Simulate a rat in the box with RatInABox's defaults (George et al., https://doi.org/10.7554/eLife.85274)."""
    agents, boxes = optional("ratinabox.Agent"), optional("ratinabox.Environment")
    with global_seed(seed):
        agent = agents.Agent(boxes.Environment(), {"dt": STEP})
        for _ in range(round(minutes * 60 / STEP)):
            agent.update()
    heads = np.array(agent.history["head_direction"])
    return Path(np.array(agent.history["pos"]), np.arctan2(heads[:, 1], heads[:, 0]))


@functools.lru_cache(maxsize=4)
def real_rat(start: float = 0.0, minutes: float = 10.0) -> Path:
    """Read 10 minutes of a real rat in a box (Sargolini et al. 2006, in RatInABox), from `start` s on, cyclically.

    The head is taken to point along the path, averaged over half a second.
    """
    optional("ratinabox")
    with files("ratinabox").joinpath("data", "sargolini.npz").open("rb") as file:
        stored = np.load(file)
        times, places = stored["t"] - stored["t"][0], stored["pos"]
    grid = np.arange(0.0, times[-1], STEP)
    walked = np.stack([np.interp(grid, times, column) for column in places.T], axis=1)
    walked = (walked - walked.min(axis=0)) / np.ptp(walked, axis=0)
    walked = np.roll(walked, -round(start / STEP), axis=0)[: round(minutes * 60 / STEP)]
    ahead = np.gradient(walked, axis=0)
    smooth = np.stack([np.convolve(column, np.ones(5), "same") for column in ahead.T], axis=1)
    return Path(walked, np.arctan2(smooth[:, 1], smooth[:, 0]))


@functools.lru_cache(maxsize=4)
def walk(seed: int, minutes: float = 20.0) -> Path:
    """Draw a random walk of our own: Ornstein-Uhlenbeck velocities (0.12 m/s, 1 s), reflected at the walls.

    It needs no extra. Its occupancy is nearly even; rats' is not.
    """
    steps, keep = round(minutes * 60 / STEP), np.exp(-STEP)
    kicks = 0.12 * np.sqrt(1 - keep**2) * np.random.default_rng([seed, 1]).standard_normal((steps, 2))
    place, velocity = np.full(2, 0.5), np.zeros(2)
    places, velocities = np.empty((steps, 2)), np.empty((steps, 2))
    for step, kick in enumerate(kicks):
        velocity = keep * velocity + kick
        place = place + STEP * velocity
        outside = (place < 0) | (place > 1)
        velocity = np.where(outside, -velocity, velocity)
        place = np.clip(np.where(place < 0, -place, np.where(place > 1, 2 - place, place)), 0, 1)
        places[step], velocities[step] = place, velocity
    return Path(places, np.arctan2(velocities[:, 1], velocities[:, 0]))


def independent(count: int, rng: np.random.Generator) -> Path:
    """Draw places and directions that are uniform and independent of one another, as no animal visits them."""
    return Path(rng.uniform(size=(count, 2)), rng.uniform(-np.pi, np.pi, count))
