"""Simulated recordings: head direction cells, a grid module, or place cells of a rat that walks at random.

Spikes are Poisson. Each function draws the walk, the tuning and the spikes from one seed.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from riemod._arrays import check_array
from riemod._checks import check_at_least, check_generator, check_integer, check_positive, check_type, shown
from riemod._machine import check_fits
from riemod.recordings.recording import Recording, from_spikes

__all__ = ["Walk", "grid_module", "head_direction_cells", "place_cells", "poisson_spikes", "random_walk"]

# Seconds between two positions.
STEP = 0.02
# Rotation of a rat: standard deviation in rad/s, and the time in s over which it is correlated.
_TURNING, _TURNING_TIME = math.radians(120), 0.08
# Its speed: scale of the Rayleigh distribution in m/s, and the time in s over which it is correlated.
_SPEED, _SPEED_TIME = 0.15, 0.7
_GRID_SHARPNESS = 0.6
_MOST_MINUTES = 24 * 60.0
_MOST_SPIKES = 1e9
_MOST_UNITS = 100_000


class Walk(NamedTuple):
    """Holds where a rat was and where its head pointed."""

    times: Float[np.ndarray, " t"]
    """s, 20 ms apart."""
    position: Float[np.ndarray, "t 2"]
    """m, in a square box with a corner at 0."""
    heading: Float[np.ndarray, " t"]
    """rad, from 0 to 2 pi."""


def random_walk(minutes: float = 20.0, side: float = 1.5, *, generator: torch.Generator | None = None) -> Walk:
    """Draw the walk of a rat in a square box: it turns and changes its speed at random, and is mirrored by walls.

    The rate of turning is an Ornstein-Uhlenbeck process with a standard deviation of 120 degrees/s that is correlated
    over 0.08 s. The speed is the length of a two-dimensional such process with 0.15 m/s and 0.7 s, so that it has a
    Rayleigh distribution with a mean of 0.19 m/s. The head points where the rat goes.

    Args:
        minutes: duration.
        side: of the box, m.
        generator: on the CPU.

    Returns:
        The walk.

    Raises:
        ValueError: for a duration or side that is not positive.

    Reference: the constants of turning and of time are those of George et al. 2024,
    https://doi.org/10.7554/eLife.85274 (RatInABox)

    >>> random_walk(1.0, generator=torch.Generator().manual_seed(0)).position.shape
    (3000, 2)
    """
    check_positive("minutes", minutes)
    check_at_least("minutes", minutes, 0, _MOST_MINUTES)
    side = check_positive("side", side)
    check_generator(generator)
    count = max(2, round(60 * minutes / STEP))
    drawn = torch.randn(count, 3, generator=generator, dtype=torch.float64).numpy()
    start = torch.rand(3, generator=generator, dtype=torch.float64).numpy()
    turning = _correlated(drawn[:, :1], _TURNING, _TURNING_TIME)[:, 0]
    speed = np.hypot(*_correlated(drawn[:, 1:], _SPEED, _SPEED_TIME).T)
    heading = 2 * np.pi * start[0] + np.cumsum(turning) * STEP
    direction = np.stack([np.cos(heading), np.sin(heading)], axis=1)
    # A walk between mirrors is a walk in the plane that is folded at every wall.
    folds = np.mod(side * start[1:] + STEP * np.cumsum(speed[:, None] * direction, axis=0), 2 * side)
    position = side - np.abs(folds - side)
    direction *= np.where(folds < side, 1.0, -1.0)
    heading = np.arctan2(direction[:, 1], direction[:, 0])
    return Walk((np.arange(count) + 0.5) * STEP, position, np.mod(heading, 2 * np.pi))


def poisson_spikes(
    rates: Float[np.ndarray, "t n"], *, seconds: float = STEP, generator: torch.Generator | None = None
) -> list[Float[np.ndarray, " s"]]:
    """Draw the spike times of independent Poisson processes whose rates are constant within each step.

    Args:
        rates: (t, n), 1/s.
        seconds: duration of a step.
        generator: on the CPU.

    Returns:
        The ascending spike times of each unit, s.

    Raises:
        ValueError: for rates that are negative or not finite.
    """
    check_positive("seconds", seconds)
    check_generator(generator)
    array = check_array("rates", rates, ("t", "n"))
    if not np.isfinite(array).all() or array.min(initial=0) < 0:
        raise ValueError("rates must be finite and >= 0, got others")
    expected = seconds * float(array.sum())
    if expected > _MOST_SPIKES:
        raise ValueError(f"rates must give at most {_MOST_SPIKES:g} spikes, got {expected:g}")
    trains = []
    for column in array.T:
        counts = torch.poisson(torch.from_numpy(column * seconds), generator=generator).long()
        steps = np.repeat(np.arange(len(column)), counts.numpy())
        within = torch.rand(len(steps), generator=generator, dtype=torch.float64).numpy()
        trains.append(np.sort((steps + within) * seconds))
    return trains


def head_direction_cells(
    units: int = 60,
    minutes: float = 20.0,
    *,
    peak_rates: tuple[float, float] = (10.0, 30.0),
    width: float = 0.6,
    generator: torch.Generator | None = None,
) -> Recording:
    """Simulate head direction cells, r = peak exp((cos(heading - preferred) - 1) / width^2).

    Preferred directions are uniform, and each cell's peak rate is uniform between the two rates.

    Args:
        units: number of cells, >= 2.
        minutes: duration.
        peak_rates: lowest and highest peak rate, 1/s. At the default width the mean over directions is a quarter of it.
        width: standard deviation of the tuning curve, rad.
        generator: on the CPU.

    Returns:
        The recording, with position and heading.

    Raises:
        ValueError: for a number outside its range.
    """
    walk, peaks = _population(units, minutes, peak_rates, 1.5, generator)
    check_positive("width", width)
    preferred = 2 * np.pi * torch.rand(units, generator=generator, dtype=torch.float64).numpy()
    rates = peaks * np.exp((np.cos(walk.heading[:, None] - preferred) - 1) / width**2)
    return _recorded(walk, rates, generator)


def grid_module(
    units: int = 60,
    minutes: float = 20.0,
    *,
    peak_rates: tuple[float, float] = (10.0, 30.0),
    spacing: float = 0.6,
    orientation: float = 0.1,
    side: float = 1.5,
    generator: torch.Generator | None = None,
) -> Recording:
    """Simulate grid cells of one module: r = peak exp(0.6 sum_j (cos(k_j (x - phase)) - 1)), j = 1, 2, 3.

    The wave vectors k_j have the length 4 pi / (sqrt(3) spacing) and directions 60 degrees apart. Phases are uniform,
    and each cell's peak rate is uniform between the two rates.

    Args:
        units: number of cells, >= 2.
        minutes: duration.
        peak_rates: lowest and highest peak rate, 1/s. The mean over the arena is a fifth of it.
        spacing: between neighboring fields, m.
        orientation: of one axis of the grid, rad.
        side: of the box, m.
        generator: on the CPU.

    Returns:
        The recording, with position and heading.

    Raises:
        ValueError: for a number outside its range.
    """
    walk, peaks = _population(units, minutes, peak_rates, side, generator)
    check_positive("spacing", spacing)
    orientation = check_at_least("orientation", orientation, -2 * np.pi, 2 * np.pi)
    # A wave vector is perpendicular to a row of fields.
    angles = orientation + np.pi / 2 + np.arange(3) * np.pi / 3
    waves = 4 * np.pi / (math.sqrt(3) * spacing) * np.stack([np.cos(angles), np.sin(angles)])
    # Phases uniform over the arena of many fields are uniform over the unit cell too.
    phases = 100 * spacing * torch.rand(units, 2, generator=generator, dtype=torch.float64).numpy()
    apart = (walk.position @ waves)[:, None] - (phases @ waves)[None]
    return _recorded(walk, peaks * np.exp(_GRID_SHARPNESS * (np.cos(apart) - 1).sum(axis=2)), generator)


def place_cells(
    units: int = 120,
    minutes: float = 20.0,
    *,
    peak_rates: tuple[float, float] = (10.0, 30.0),
    width: float = 0.2,
    side: float = 1.5,
    generator: torch.Generator | None = None,
) -> Recording:
    """Simulate place cells with one Gaussian field each, r = peak exp(-|x - center|^2 / (2 width^2)).

    Args:
        units: number of cells, >= 2.
        minutes: duration.
        peak_rates: lowest and highest peak rate, 1/s.
        width: standard deviation of a field, m.
        side: of the box, m; centers are uniform in it.
        generator: on the CPU.

    Returns:
        The recording, with position and heading.

    Raises:
        ValueError: for a number outside its range.
    """
    walk, peaks = _population(units, minutes, peak_rates, side, generator)
    check_positive("width", width)
    centers = side * torch.rand(units, 2, generator=generator, dtype=torch.float64).numpy()
    squared = np.square(walk.position[:, None] - centers).sum(axis=2)
    return _recorded(walk, peaks * np.exp(-squared / (2 * width**2)), generator)


def _population(
    units: int, minutes: float, peak_rates: tuple[float, float], side: float, generator: torch.Generator | None
) -> tuple[Walk, np.ndarray]:
    """Check what all populations share; draw the walk and the peak rates."""
    check_integer("units", units, 2, _MOST_UNITS)
    if len(check_type("peak_rates", peak_rates, tuple, "a pair of rates")) != 2:
        raise ValueError(f"peak_rates must be the lowest and the highest rate, got {shown(peak_rates)}")
    low, high = (check_positive("peak_rates", rate) for rate in peak_rates)
    if low > high:
        raise ValueError(f"peak_rates must be the lowest and the highest rate, got {peak_rates}")
    check_positive("minutes", minutes)
    check_fits("units", units, round(4 * 8 * units * 60 * minutes / STEP))
    walk = random_walk(minutes, side, generator=generator)
    return walk, low + (high - low) * torch.rand(units, generator=generator, dtype=torch.float64).numpy()


def _recorded(walk: Walk, rates: np.ndarray, generator: torch.Generator | None) -> Recording:
    trains = poisson_spikes(rates, generator=generator)
    if not any(map(len, trains)):
        raise ValueError("peak_rates and minutes must be large enough for a spike, got none of any unit")
    return from_spikes(
        trains,
        spans=(0.0, len(walk.times) * STEP),
        position=walk.position,
        position_times=walk.times,
        heading=walk.heading,
    )


def _correlated(noise: np.ndarray, deviation: float, seconds: float) -> np.ndarray:
    """Return an Ornstein-Uhlenbeck process of that standard deviation, correlated over that time, from its noise."""
    # scipy.signal takes half a second to import.
    from scipy.signal import lfilter

    keep = math.exp(-STEP / seconds)
    scaled = noise * deviation * math.sqrt(1 - keep**2)
    scaled[0] = noise[0] * deviation
    return np.asarray(lfilter([1.0], [1.0, -keep], scaled, axis=0))
