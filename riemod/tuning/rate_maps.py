"""What single units say of the position: rate maps on any manifold, preferred positions, spatial information, nulls.

Positions are points of the arena's manifold, activity is one row a sample and one column a unit. Lengths are in the
manifold's unit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from riemod._arrays import as_array, check_points
from riemod._statistics import rank_p_value
from riemod.tuning.bins import Bins

__all__ = [
    "RateMaps",
    "ShuffleTest",
    "preferred_positions",
    "rate_maps",
    "shuffle_test",
    "spatial_information",
]

# A smoothing kernel ends at so many of its standard deviations.
_REACH = 3.0
_PAIRS_AT_ONCE = 1 << 22
_MEAN_STEPS = 60
_LEAST_STRIDE = 1e-3


@dataclass(frozen=True)
class RateMaps:
    """Mean activity of each unit in each bin.

    Args:
        bins: the parts of the arena.
        rates: (n, b), in the unit of the activity, or 1/s if it was counts; NaN in bins that no sample is near.
        occupancy: (b,), share of the samples in each bin; sums to 1.
    """

    bins: Bins
    rates: Float[np.ndarray, "n b"]
    occupancy: Float[np.ndarray, " b"]

    @property
    def images(self) -> Float[np.ndarray, "n ..."]:
        """(n, *shape), one map a unit."""
        return self.rates.reshape(len(self.rates), *self.bins.shape)

    @property
    def varying(self) -> Bool[np.ndarray, " n"]:
        """(n,), which units' rates differ between bins by more than rounding."""
        low, high = np.nanmin(self.rates, axis=1), np.nanmax(self.rates, axis=1)
        return high - low > 1e-12 * np.maximum(np.abs(low), np.abs(high))

    def only(self, units: Any) -> "RateMaps":
        """The maps of some units, by a mask or by indices."""
        return RateMaps(self.bins, self.rates[np.asarray(units)], self.occupancy)


class ShuffleTest(NamedTuple):
    """What `shuffle_test` found, one entry a unit."""

    statistic: Float[np.ndarray, " n"]
    """Of the data."""
    drawn: Float[np.ndarray, "m n"]
    """Of each shuffle."""
    p_values: Float[np.ndarray, " n"]
    """(1 + b) / (1 + m): b of m shuffles reached the statistic; not corrected over units."""


def rate_maps(
    activity: Any, positions: Tensor, bins: Bins, *, smoothing: float = 0.0, seconds: float | None = None
) -> RateMaps:
    """r_b = sum_c K_bc (sum of activity in c) / sum_c K_bc (samples in c), K_bc = exp(-d(b, c)^2 / 2 s^2) up to 3 s.

    Sums and occupancy are smoothed before they are divided, so that rarely visited bins count less. Distances between
    samples and centers are made in pieces of 32 MiB.

    Args:
        activity: (t, n), one row a sample: activations, or counts of spikes with `seconds`.
        positions: (t, coordinate_dim), where each sample was taken.
        bins: from `regular_bins` or `landmark_bins`.
        smoothing: s, >= 0, a length; 0 for none.
        seconds: length of a sample, s, if activity counts spikes: rates are then per second.

    Returns:
        The maps, NaN where no sample is within the bin (or 3 s of its center).

    Raises:
        TypeError: if positions is not a floating-point tensor.
        ValueError: for NaN, positions off the manifold, sizes that differ, or a negative smoothing or seconds <= 0.

    Reference: Skaggs et al. 1996, https://doi.org/10.1002/(SICI)1098-1063(1996)6:2%3C149::AID-HIPO6%3E3.0.CO;2-K

    >>> from riemod.manifolds import Torus
    >>> from riemod.tuning.bins import regular_bins
    >>> positions = torch.tensor([[0.5], [0.6], [1.5], [1.6]])
    >>> rate_maps([[1.0], [3.0], [0.0], [1.0]], positions, regular_bins(Torus(1, period=2.0), 2)).rates
    array([[2. , 0.5]])
    """
    return _sampled(activity, positions, bins, smoothing, seconds)(0)


def spatial_information(maps: RateMaps, *, per_second: bool = False) -> Float[np.ndarray, " n"]:
    """I = sum_b p_b (r_b / r) log2(r_b / r), r = sum_b p_b r_b: bits per spike; times r: bits per second.

    p is the occupancy. It is biased upwards by chance differences between bins: compare it with `shuffle_test`.

    Args:
        maps: with rates >= 0.
        per_second: whether to multiply by r; rates are then taken to be in 1/s.

    Returns:
        (n,), >= 0 up to rounding; at most log2 of the inverse share of the least bin.

    Raises:
        ValueError: if a rate is negative, or a unit is silent everywhere.

    Reference: Skaggs, McNaughton, Gothard and Markus 1993, An information-theoretic approach to deciphering the
    hippocampal code, https://proceedings.neurips.cc/paper/1992/hash/5dd9db5e033da9c6fb5ba83c7a7ebea9-Abstract.html

    >>> from riemod.manifolds import Torus
    >>> from riemod.tuning.bins import regular_bins
    >>> quarter = RateMaps(regular_bins(Torus(1), 4), np.array([[8.0, 0.0, 0.0, 0.0]]), np.full(4, 0.25))
    >>> spatial_information(quarter), spatial_information(quarter, per_second=True)
    (array([2.]), array([4.]))
    """
    known = np.isfinite(maps.rates) & (maps.occupancy > 0)
    rates = np.where(known, maps.rates, 0.0)
    _refuse(rates.min(axis=1) < 0, "have negative rates, which carry no bits per spike")
    share = np.where(known, maps.occupancy, 0.0)
    share = share / share.sum(axis=1, keepdims=True)
    mean = (share * rates).sum(axis=1)
    _refuse(mean == 0, "are silent everywhere")
    relative = rates / mean[:, None]
    bits = (share * relative * np.log2(np.where(relative > 0, relative, 1.0))).sum(axis=1)
    return bits * mean if per_second else bits


def preferred_positions(maps: RateMaps, *, peak: bool = False) -> Float[Tensor, "n k"]:
    """argmin over x of sum_b (r_b - min r) d(x, b)^2, the weighted Frechet mean; or the center of the highest bin.

    The mean is searched from the best bin by steps exp_x(sum w log_x b / sum w), halved where they do not help: the
    local minimum beside the best bin. All bins weigh alike, so they should have equal areas. Units with several fields,
    or round a whole circle, have a mean between them: take the peak.

    Args:
        maps: of units that vary (`maps.only(maps.varying)`).
        peak: whether to take the highest bin.

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
    _refuse(~maps.varying, "have constant rates and prefer no position; leave them out by maps.only(maps.varying)")
    centers, manifold = maps.bins.centers, maps.bins.manifold
    if peak:
        return centers[torch.from_numpy(np.nanargmax(maps.rates, axis=1))]
    raised = np.nan_to_num(maps.rates - np.nanmin(maps.rates, axis=1, keepdims=True))
    weights = torch.from_numpy(raised / raised.sum(axis=1, keepdims=True))
    with torch.no_grad():
        means = centers[(weights @ manifold.distance(centers, centers).square()).argmin(dim=1)]
        left = (weights * manifold.distance(means, centers).square()).sum(1)
        stride = torch.ones_like(means[:, :1])
        for _ in range(_MEAN_STEPS):
            pull = (weights[:, :, None] * manifold.geometry.logmap(means[:, None], centers[None])).sum(1)
            trial = manifold.geometry.expmap(means, stride * pull)
            remains = (weights * manifold.distance(trial, centers).square()).sum(1)
            better = remains < left
            means, left = torch.where(better[:, None], trial, means), torch.where(better, remains, left)
            stride = torch.where(better[:, None], stride, stride / 2)
            if stride.max() < _LEAST_STRIDE:
                break
    return means


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
    """p = (1 + b) / (1 + m), b of m shuffles reaching the statistic: each rolls every unit in time by its own offset.

    Rolling keeps each unit's time course and breaks its tie to the position. Offsets are uniform between `least_shift`
    and t - `least_shift`; this should exceed the time over which positions are correlated. Of many
    walks, put one after the other, not all their first samples first.

    Args:
        activity: (t, n), samples in the order of time.
        positions: (t, coordinate_dim).
        bins: as `rate_maps`.
        statistic: of the maps, one number a unit, large for what is looked for.
        shuffles: m, >= 1.
        least_shift: samples, >= 1.
        generator: of the offsets, on the CPU.
        smoothing: as `rate_maps`.
        seconds: as `rate_maps`.

    Returns:
        The statistic, its m draws and p-values, by unit.

    Raises:
        TypeError: as `rate_maps`.
        ValueError: as `rate_maps`, for shuffles or least_shift < 1, or fewer than 2 least_shift samples.

    Reference: Wills et al. 2010, https://doi.org/10.1126/science.1188224 (time-shifted spike trains as the null)
    """
    for name, value in (("shuffles", shuffles), ("least_shift", least_shift)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {value!r}")
    maps_at = _sampled(activity, positions, bins, smoothing, seconds)
    samples = len(positions)
    if samples < 2 * least_shift:
        raise ValueError(f"least_shift must be at most half of the {samples} samples, got {least_shift}")
    found = statistic(maps_at(0))
    offsets = torch.randint(least_shift, samples - least_shift + 1, (shuffles, len(found)), generator=generator)
    drawn = np.stack([statistic(maps_at(offset)) for offset in offsets])
    return ShuffleTest(found, drawn, rank_p_value(found, drawn))


def _sampled(
    activity: Any, positions: Tensor, bins: Bins, smoothing: float, seconds: float | None
) -> Callable[[int | Int64[Tensor, " n"]], RateMaps]:
    """The maps of the activity rolled by offsets, with the bins of the positions found once."""
    activity = torch.from_numpy(check_points(activity, "activity"))
    bins.manifold.check_points(positions, "positions")
    if len(positions) != len(activity):
        raise ValueError(f"positions must be as many as samples of activity, {len(activity)}, got {len(positions)}")
    if not (isinstance(smoothing, int | float) and 0 <= smoothing < math.inf):
        raise ValueError(f"smoothing must be a finite length >= 0, got {smoothing!r}")
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be positive and finite, got {seconds!r}")
    manifold, centers = bins.manifold, bins.centers
    with torch.no_grad():
        pieces = positions.detach().double().cpu().split(max(1, _PAIRS_AT_ONCE // len(centers)))
        index = torch.cat([manifold.distance(piece, centers).argmin(dim=1) for piece in pieces])
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


def _refuse(units: Bool[np.ndarray, " n"], what: str) -> None:
    if units.any():
        raise ValueError(
            f"maps: {units.sum()} of {len(units)} units {what}; the first of them is unit {units.argmax()}"
        )
