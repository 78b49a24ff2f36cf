"""Rate maps on any manifold, preferred positions, spatial information, and shuffle tests of them.

Positions are points of the arena's manifold. Activity has one row a sample and one column a unit. Lengths are in the
unit of the manifold.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from riemod._arrays import as_array, check_array, check_indices, check_points
from riemod._checks import (
    check_at_least,
    check_boolean,
    check_function,
    check_generator,
    check_integer,
    check_positive,
    check_repeats,
    check_type,
    shown,
    takes,
)
from riemod._machine import check_fits
from riemod._statistics import rank_p_value
from riemod.manifolds import Euclidean, frechet_means
from riemod.tuning.bins import Bins, nearest_bins

__all__ = [
    "RateMaps",
    "ShuffleTest",
    "preferred_positions",
    "rate_maps",
    "shuffle_test",
    "spatial_information",
]

# The smoothing kernel is cut off at this many standard deviations.
_REACH = 3.0
LEAVE_OUT = "; leave them out by maps.only(maps.varying)"


@dataclass(frozen=True)
class RateMaps:
    """Holds the mean activity of each unit in each bin.

    Args:
        bins: of the arena.
        rates: (n, b), in the unit of the activity, or in 1/s for spike counts; NaN in bins that no sample is near.
        occupancy: (b,), the share of the samples in each bin; sums to 1.
    """

    bins: Bins
    rates: Float[np.ndarray, "n b"]
    occupancy: Float[np.ndarray, " b"]

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            TypeError: for a field of another type.
            ValueError: if the rates or the occupancy are of another shape than the bins, or infinite.
        """
        count = len(check_type("bins", self.bins, Bins, "Bins").centers)
        rates = check_array("rates", self.rates, ("n", count))
        occupancy = check_array("occupancy", self.occupancy, (count,))
        if np.isinf(rates).any():
            raise ValueError("rates must be finite or NaN, got infinity")
        if not (np.isfinite(occupancy) & (occupancy >= 0)).all():
            raise ValueError("occupancy must be finite and >= 0, got other shares")

    @property
    def images(self) -> Float[np.ndarray, "n ..."]:
        """The maps as images, (n, *shape)."""
        return self.rates.reshape(len(self.rates), *self.bins.shape)

    @property
    def varying(self) -> Bool[np.ndarray, " n"]:
        """Whether the rates of each unit differ between bins by more than rounding, (n,)."""
        low, high = np.nanmin(self.rates, axis=1), np.nanmax(self.rates, axis=1)
        return high - low > 1e-12 * np.maximum(np.abs(low), np.abs(high))

    def only(self, units: Any) -> "RateMaps":
        """Return the maps of the units that a mask (n,) or indices select.

        Raises:
            ValueError: if it is neither a mask of all units nor some of their indices.
        """
        count, chosen = len(self.rates), np.asarray(units)
        if chosen.dtype != bool:
            chosen = check_indices("units", units, count)
        elif chosen.shape != (count,):
            raise ValueError(f"units must have the shape ({count},) as a mask, got {chosen.shape}")
        return RateMaps(self.bins, self.rates[chosen], self.occupancy)


class ShuffleTest(NamedTuple):
    """Holds what `shuffle_test` finds, one entry a unit."""

    statistic: Float[np.ndarray, " n"]
    """The statistic of the data."""
    drawn: Float[np.ndarray, "m n"]
    """The statistic of each shuffle."""
    p_values: Float[np.ndarray, " n"]
    """(1 + b) / (1 + m), where b of m shuffles reach the statistic; not corrected for the number of units."""


def rate_maps(
    activity: Any, positions: Tensor, bins: Bins, *, smoothing: float = 0.0, seconds: float | None = None
) -> RateMaps:
    """Average the activity of each unit in each bin, with a Gaussian between bins.

    r_b = sum_c K_bc (sum of activity in c) / sum_c K_bc (samples in c), with K_bc = exp(-d(b, c)^2 / 2 s^2) for
    d(b, c) <= 3 s and 0 beyond. Sums and sample counts are smoothed before the division, so rarely visited bins weigh
    less. Distances between samples and centers are computed in pieces of 32 MiB.

    Args:
        activity: (t, n), one row a sample: activations, or spike counts with `seconds`.
        positions: (t, coordinate_dim), the position at each sample.
        bins: from `regular_bins` or `landmark_bins`.
        smoothing: s, a length >= 0; 0 for no smoothing.
        seconds: duration of a sample, s, if activity is spike counts: rates are then in 1/s.

    Returns:
        The maps, NaN in bins without a sample (with smoothing: without a sample within 3 s).

    Raises:
        TypeError: if positions are not a floating-point tensor.
        ValueError: if activity or positions hold NaN, positions are not on the manifold or outside a box by more than a
            bin, sizes differ, smoothing is negative, or seconds <= 0.

    Reference: Skaggs et al. 1996, https://doi.org/10.1002/(SICI)1098-1063(1996)6:2%3C149::AID-HIPO6%3E3.0.CO;2-K

    >>> from riemod.manifolds import Torus
    >>> from riemod.tuning.bins import regular_bins
    >>> positions = torch.tensor([[0.5], [0.6], [1.5], [1.6]])
    >>> rate_maps([[1.0], [3.0], [0.0], [1.0]], positions, regular_bins(Torus(1, period=2.0), 2)).rates
    array([[2. , 0.5]])
    """
    return _sampled(activity, positions, bins, smoothing, seconds)(0)


def spatial_information(maps: RateMaps, *, per_second: bool = False) -> Float[np.ndarray, " n"]:
    """Compute the spatial information I = sum_b p_b (r_b / r) log2(r_b / r), in bits per spike.

    p is the occupancy and r = sum_b p_b r_b the mean rate; I r is in bits per second. Chance differences between bins
    bias it upwards: compare it with `shuffle_test`.

    Args:
        maps: with rates >= 0.
        per_second: whether to return I r; rates must then be in 1/s.

    Returns:
        (n,), >= 0 up to rounding, and at most -log2 of the smallest occupancy.

    Raises:
        ValueError: if a rate is negative, or a unit is silent in all bins.

    Reference: Skaggs, McNaughton, Gothard and Markus 1993, An information-theoretic approach to deciphering the
    hippocampal code, https://proceedings.neurips.cc/paper/1992/hash/5dd9db5e033da9c6fb5ba83c7a7ebea9-Abstract.html

    >>> from riemod.manifolds import Torus
    >>> from riemod.tuning.bins import regular_bins
    >>> quarter = RateMaps(regular_bins(Torus(1), 4), np.array([[8.0, 0.0, 0.0, 0.0]]), np.full(4, 0.25))
    >>> spatial_information(quarter), spatial_information(quarter, per_second=True)
    (array([2.]), array([4.]))
    """
    check_maps(maps)
    check_boolean("per_second", per_second)
    known = np.isfinite(maps.rates) & (maps.occupancy > 0)
    rates = np.where(known, maps.rates, 0.0)
    refuse_units(rates.min(axis=1) < 0, "not have negative rates")
    share = np.where(known, maps.occupancy, 0.0)
    share = share / share.sum(axis=1, keepdims=True)
    mean = (share * rates).sum(axis=1)
    refuse_units(mean == 0, "not be silent everywhere")
    relative = rates / mean[:, None]
    bits = (share * relative * np.log2(np.where(relative > 0, relative, 1.0))).sum(axis=1)
    return bits * mean if per_second else bits


def preferred_positions(maps: RateMaps, *, peak: bool = False) -> Float[Tensor, "n k"]:
    """Find the weighted Frechet mean of each map, argmin over x of sum_b (r_b - min r) d(x, b)^2, or its peak.

    `riemod.manifolds.frechet_means` starts at the best bin and ends in the local minimum near it. Bins should have
    equal areas, because the sum does not weight them by area. The mean of a unit with several fields lies between them,
    and so does that of a field around a whole circle: take the peak of such units.

    Args:
        maps: of units whose rates vary (`maps.only(maps.varying)`).
        peak: whether to return the center of the bin with the highest rate instead of the mean.

    Returns:
        (n, coordinate_dim), float64.

    Raises:
        ValueError: if the rates of a unit are constant.

    Reference: Karcher 1977, https://doi.org/10.1002/cpa.3160300502

    >>> from riemod.manifolds import Torus
    >>> from riemod.tuning.bins import regular_bins
    >>> maps = RateMaps(regular_bins(Torus(1, period=4.0), 4), np.array([[2.0, 0.0, 0.0, 2.0]]), np.full(4, 0.25))
    >>> preferred_positions(maps).item() % 4.0
    0.0
    """
    check_boolean("peak", peak)
    refuse_units(~check_maps(maps).varying, "not have constant rates", LEAVE_OUT)
    centers, manifold = maps.bins.centers, maps.bins.manifold
    if peak:
        return centers[torch.from_numpy(np.nanargmax(maps.rates, axis=1))]
    raised = np.nan_to_num(maps.rates - np.nanmin(maps.rates, axis=1, keepdims=True))
    return frechet_means(centers, torch.from_numpy(raised), manifold)


def shuffle_test(
    activity: Any,
    positions: Tensor,
    bins: Bins,
    statistic: Callable[[RateMaps], Float[np.ndarray, " n"]],
    *,
    shuffles: int = 100,
    least_shift: int = 1,
    generator: torch.Generator | None = None,
    smoothing: float = 0.0,
    seconds: float | None = None,
) -> ShuffleTest:
    """Test a statistic of rate maps against its values after random circular shifts of activity in time.

    p = (1 + b) / (1 + m), where b of m shuffles reach the statistic. A shift keeps the time course of a unit and
    removes its relation to the position. Each unit has its own shift, uniform between `least_shift` and
    t - `least_shift`. `least_shift` should exceed the time over which positions are correlated. Concatenate several
    walks one after the other; do not interleave them.

    Args:
        activity: (t, n), samples in the order of time.
        positions: (t, coordinate_dim).
        bins: as `rate_maps`.
        statistic: maps rate maps to one number a unit, which is large under the alternative.
        shuffles: m, >= 1.
        least_shift: in samples, >= 1.
        generator: of the shifts, on the CPU.
        smoothing: as `rate_maps`.
        seconds: as `rate_maps`.

    Returns:
        The statistic, its m draws and the p-value of each unit.

    Raises:
        TypeError: as `rate_maps`.
        ValueError: as `rate_maps`, or if shuffles or least_shift < 1, or there are fewer than 2 least_shift samples.

    Reference: Wills et al. 2010, https://doi.org/10.1126/science.1188224 (time-shifted spike trains as the null)
    """
    check_repeats("shuffles", shuffles)
    check_function("statistic", statistic, "a function of rate maps")
    check_generator(generator)
    check_integer("least_shift", least_shift, 1)
    maps_at = _sampled(activity, positions, bins, smoothing, seconds)
    samples = len(positions)
    if samples < 2 * least_shift:
        raise ValueError(f"least_shift must be at most half of the {samples} samples, got {least_shift}")
    found = _of_each_unit(statistic, maps_at(0))
    check_fits("shuffles", shuffles, 8 * shuffles * len(found))
    offsets = torch.randint(least_shift, samples - least_shift + 1, (shuffles, len(found)), generator=generator)
    drawn = np.stack([statistic(maps_at(offset)) for offset in offsets])
    return ShuffleTest(found, drawn, rank_p_value(found, drawn))


def _sampled(
    activity: Any, positions: Tensor, bins: Bins, smoothing: float, seconds: float | None
) -> Callable[[int | Int64[Tensor, " n"]], RateMaps]:
    """Return a function of offsets that gives the maps of the shifted activity; find the bins of positions once."""
    activity = torch.from_numpy(check_points(activity, "activity"))
    index = nearest_bins(positions, bins)
    if len(positions) != len(activity):
        raise ValueError(f"positions must be as many as samples of activity, {len(activity)}, got {len(positions)}")
    _check_inside(positions, bins)
    smoothing = check_at_least("smoothing", smoothing, 0)
    if seconds is not None:
        check_positive("seconds", seconds)
    manifold, centers = bins.manifold, bins.centers
    with torch.no_grad():
        between = manifold.distance(centers, centers)
    counts = torch.bincount(index, minlength=len(centers)).double()
    kernel = torch.eye(len(centers), dtype=torch.float64)
    if smoothing > 0:
        kernel = torch.exp(-between.square() / (2 * smoothing**2)) * (between <= _REACH * smoothing)
    time = kernel @ counts * (1.0 if seconds is None else seconds)
    unseen = time == 0
    times = torch.arange(len(activity))

    def maps_at(offsets: int | Tensor) -> RateMaps:
        rolled = activity
        if isinstance(offsets, Tensor):
            rolled = activity.gather(0, (times[:, None] - offsets) % len(activity))
        sums = kernel @ torch.zeros(len(centers), activity.shape[1], dtype=torch.float64).index_add_(0, index, rolled)
        rates = torch.where(unseen[:, None], torch.nan, sums / torch.where(unseen, 1.0, time)[:, None])
        return RateMaps(bins, as_array(rates.T), as_array(counts / len(index)))

    return maps_at


def _check_inside(positions: Tensor, bins: Bins) -> None:
    """Raise a ValueError if positions are outside the bins of a box by more than a bin's width."""
    if not isinstance(bins.manifold, Euclidean) or bins.widths is None:
        return
    places = positions.detach().double().cpu()
    width = torch.tensor(bins.widths, dtype=torch.float64)
    low, high = bins.centers.min(dim=0).values - width / 2, bins.centers.max(dim=0).values + width / 2
    outside = int(((places < low - width) | (places > high + width)).any(dim=1).sum())
    if outside:
        raise ValueError(
            f"positions must be in the box of the bins, {low.tolist()} to {high.tolist()}, but {outside} of "
            f"{len(places)} are outside by more than a bin, up to {places.abs().max():.4g}; are they in the same unit?"
        )


def _of_each_unit(statistic: Callable[[RateMaps], Any], maps: RateMaps) -> np.ndarray:
    """Return the statistic of the data; raise an error unless it is one number a unit."""
    if not takes(statistic, maps):
        raise TypeError(f"statistic must be a function of rate maps, got {shown(statistic)}")
    return check_array("what statistic returns", statistic(maps), (len(maps.rates),))


def check_maps(maps: RateMaps) -> RateMaps:
    """Return the maps; raise a TypeError unless they are RateMaps."""
    return check_type("maps", maps, RateMaps, "RateMaps")


def refuse_units(wrong: Bool[np.ndarray, " n"], what: str, advice: str = "") -> None:
    """Raise a ValueError that counts the units of the maps that are wrong, if there are any."""
    if wrong.any():
        units = f"{wrong.sum()} of {len(wrong)} units, the first of them unit {wrong.argmax()}"
        raise ValueError(f"maps must {what}, got {units}{advice}")
