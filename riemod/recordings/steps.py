"""The steps from spikes to points: bins, smoothing, variance stabilization, speed, principal components, density."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import KDTree

from riemod._arrays import check_array, check_points
from riemod._checks import check_at_least, check_boolean, check_integer, check_positive, check_type, shown
from riemod._machine import check_fits
from riemod.recordings.recording import GAP, Recording, Samples, Spikes, Track, check_ascending, check_recording, pieces

__all__ = [
    "Binned",
    "bin_activity",
    "burst_index",
    "inliers",
    "mean_rates",
    "principal_components",
    "smoothed",
    "speed",
    "stabilized",
    "tracked_at",
]

# Lags in s of the peak and of the baseline of a burst, and the fewest pairs of spikes that tell the two apart.
_PEAK, _BASELINE = (0.0, 0.010), (0.040, 0.050)
_FEWEST_PAIRS = 20
# Positions are smoothed by a Gaussian of this standard deviation in s before their differences are taken.
_TRACKING = 0.1
# Between two tracked samples that are farther apart than this, in s, nothing is known.
_LOST = 0.5
# A Gaussian of a smaller standard deviation, in bins, is 0 in the neighboring bins.
_LEAST_DEVIATION = 0.02


class Binned(NamedTuple):
    """Holds activity in bins of time."""

    times: Float[np.ndarray, " t"]
    """Middles of the bins, ascending, s."""
    values: Float[np.ndarray, "t n"]
    """Spike counts, or the means of rates or traces."""
    pieces: tuple[slice, ...]
    """The bins of each span without a gap."""
    width: float
    """Of a bin, s."""
    cut: float
    """Recorded time at the ends of spans that fills no bin, s."""


def bin_activity(recording: Recording, bin_width: float = 0.1) -> Binned:
    """Count spikes in bins of time, or bring samples to bins: counts are added up, rates and traces averaged.

    The bins of each span begin at its start. Samples are taken together in whole numbers, as many as fit into a bin; if
    they are farther apart than `bin_width`, each is a bin.

    Args:
        recording: of spikes or samples.
        bin_width: s.

    Returns:
        The bins.

    Raises:
        ValueError: if bin_width is not positive, or no bin fits into the recording or into memory.

    >>> from riemod.recordings import from_spikes
    >>> bin_activity(from_spikes([[0.1, 0.2], [0.9]], spans=(0, 1)), 0.5).values
    array([[2., 0.],
           [0., 1.]])
    """
    check_recording(recording)
    width = check_positive("bin_width", bin_width)
    activity = recording.activity
    if isinstance(activity, Samples):
        return _bin_samples(activity, recording.seconds, width)
    assert isinstance(activity, Spikes)
    # A span of 0.3 s holds three bins of 0.1 s, whatever rounding says.
    counts = [math.floor(length / width + 1e-6) for length in np.diff(recording.spans)[:, 0]]
    _check_bins(sum(counts), len(activity.times), width, recording.seconds)
    times, values, parts, first = [], [], [], 0
    for (start, _), count in zip(recording.spans, counts, strict=True):
        if not count:
            continue
        edges = start + width * np.arange(count + 1)
        values.append(np.stack([np.diff(np.searchsorted(train, edges)) for train in activity.times], axis=1))
        times.append(edges[:-1] + width / 2)
        parts.append(slice(first, first + count))
        first += count
    cut = max(0.0, recording.seconds - first * width)
    return Binned(np.concatenate(times), np.concatenate(values).astype(float), tuple(parts), width, cut)


def smoothed(binned: Binned, deviation: float) -> Float[np.ndarray, "t n"]:
    """Smooth activity in time by a Gaussian, within each span; at the ends of a span it is normalized.

    Args:
        binned: activity in bins.
        deviation: standard deviation of the Gaussian, s; 0 for no smoothing. It is cut off at four of them.

    Returns:
        (t, n), in the unit of the values.

    Raises:
        TypeError: binned is something else.
        ValueError: for a deviation that is negative or longer than the recording.
    """
    check_type("binned", binned, Binned, "what bin_activity returns")
    longest = binned.width * len(binned.times)
    deviation = check_at_least("deviation", deviation, 0, max(longest, binned.width)) / binned.width
    if deviation < _LEAST_DEVIATION:
        return binned.values
    found = np.empty_like(binned.values)
    for part in binned.pieces:
        weights = gaussian_filter1d(np.ones(part.stop - part.start), deviation, mode="constant")
        found[part] = gaussian_filter1d(binned.values[part], deviation, axis=0, mode="constant") / weights[:, None]
    return found


def stabilized(values: Any) -> Float[np.ndarray, "t n"]:
    """Take square roots: those of Poisson counts have nearly the same variance, 1/4, whatever the rate.

    Args:
        values: (t, n), counts or rates, >= 0.

    Raises:
        ValueError: for values that are negative or not finite.

    Reference: Bartlett 1936, https://doi.org/10.2307/2983678

    >>> stabilized([[0.0, 4.0]])
    array([[0., 2.]])
    """
    array = check_points(values, "values")
    if array.min() < 0:
        raise ValueError(f"values must not be negative, got {array.min():g}")
    return np.sqrt(array)


def mean_rates(recording: Recording) -> Float[np.ndarray, " n"]:
    """Return the mean rate of each unit, 1/s; for calcium traces the standard deviation, in their unit.

    A unit is silent if it is 0.

    Args:
        recording: of spikes or samples.
    """
    activity = check_recording(recording).activity
    if isinstance(activity, Spikes):
        return np.array([len(train) for train in activity.times]) / recording.seconds
    if activity.kind == "calcium":
        return activity.values.std(axis=0)
    return activity.values.mean(axis=0) / (activity.interval if activity.kind == "counts" else 1.0)


def burst_index(train: Any) -> float:
    """Compare how often two spikes are up to 10 ms apart with how often they are 40 to 50 ms apart.

    With the numbers a and b of such pairs it is (a - b) / max(a, b), from -1 to 1: near 0 for a Poisson process whose
    rate changes slowly, near 1 for a unit that fires in bursts.

    Args:
        train: ascending spike times, s.

    Returns:
        The index, 0 if there are fewer than 20 pairs.

    Raises:
        ValueError: if the times are not one-dimensional.

    Reference: Royer et al. 2012, https://doi.org/10.1038/nn.3077, where a is the peak and not the mean

    >>> round(burst_index(np.repeat(np.arange(0, 100, 0.5), 3) + np.tile([0, 0.004, 0.008], 200)), 2)
    1.0
    """
    times = check_array("train", train, ("s",))
    near, far = (
        int((np.searchsorted(times, times + high) - np.searchsorted(times, times + low, side="right")).sum())
        for low, high in (_PEAK, _BASELINE)
    )
    return 0.0 if near + far < _FEWEST_PAIRS else (near - far) / max(near, far)


def tracked_at(track: Track, times: Float[np.ndarray, " t"], *, angle: bool = False) -> Float[np.ndarray, "t c"]:
    """Interpolate a track linearly at some times.

    Args:
        track: positions or directions.
        times: ascending, s.
        angle: the values are angles in rad: they are interpolated the short way around, and returned from 0 to 2 pi.

    Returns:
        (t, c), NaN before the first sample, after the last, and between samples more than 0.5 s apart (or more than 1.5
        median intervals, if that is longer).

    Raises:
        TypeError: track is none.
        ValueError: times are not finite or do not ascend.
    """
    check_type("track", track, Track, "a Track")
    check_boolean("angle", angle)
    times = check_array("times", times, ("t",))
    check_ascending("times", times, ties=True)
    values = np.unwrap(track.values, axis=0) if angle else track.values
    found = np.stack([np.interp(times, track.times, column) for column in values.T], axis=1)
    after = np.searchsorted(track.times, times)
    before = np.clip(after - 1, 0, len(track.times) - 1)
    gap = track.times[np.clip(after, 0, len(track.times) - 1)] - track.times[before]
    longest = max(_LOST, GAP * float(np.median(np.diff(track.times))))
    reach = longest / 2
    unknown = (gap > longest) | (times < track.times[0] - reach) | (times > track.times[-1] + reach)
    found[unknown] = np.nan
    return np.mod(found, 2 * np.pi) if angle else found


def speed(position: Track) -> Track:
    """Compute the speed of the animal, m/s, from positions that were smoothed by a Gaussian of 0.1 s.

    Args:
        position: the track.

    Returns:
        The speed at the same times.

    Raises:
        TypeError: position is no track.
    """
    check_type("position", position, Track, "a Track")
    interval = float(np.median(np.diff(position.times)))
    values = gaussian_filter1d(position.values, _TRACKING / interval, axis=0, mode="nearest")
    steps = np.gradient(values, position.times, axis=0)
    return Track(position.times, np.linalg.norm(steps, axis=1)[:, None], position.lost)


def principal_components(values: Any, count: int = 6) -> tuple[Float[np.ndarray, "t c"], Float[np.ndarray, " c"]]:
    """Project activity onto its first principal components.

    Args:
        values: (t, n).
        count: how many, >= 1; n if there are fewer units.

    Returns:
        The coordinates (t, c), and the share of the variance along each.

    Raises:
        ValueError: if values are not finite, or do not vary.
    """
    array = check_points(values, "values")
    check_integer("count", count, 1)
    centered = array - array.mean(axis=0)
    variances, axes = np.linalg.eigh(centered.T @ centered / len(array))
    if variances[-1] <= 1e-20 * max(1.0, float(np.square(array).mean())):
        raise ValueError("values must vary in time, got the same activity at all times")
    variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1][:, :count]
    # Rounding decides the sign of an axis; make its largest entry positive instead.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return centered @ axes, variances[:count] / variances.sum()


def inliers(points: Any, share: float = 0.8, count: int = 300) -> Bool[np.ndarray, " t"]:
    """Tell which points are as dense as those around them: the others lie off the manifold.

    r is the distance of a point to its `count`-th neighbor, and its outlier factor is r over the median r of these
    neighbors. A point that noise has moved off the manifold has neighbors on it, which are denser. Where the manifold
    was rarely visited, all points are sparse alike, and the factor is near 1: no gap is made there. Moments with few
    spikes, for example, lie off.

    Args:
        points: (t, c), c small: neighbors are found by a tree.
        share: of the points that are kept, those with the smallest factors, in (0, 1]; their number is rounded up.
        count: number of neighbors, >= 1; at most t - 1 are used.

    Returns:
        (t,), True for the points that are kept.

    Raises:
        ValueError: for a number outside its range, or points that are not finite.

    Reference: Breunig et al. 2000, https://doi.org/10.1145/342009.335388 (this is its simplest form)

    >>> ring = np.exp(1j * np.arange(60.0))
    >>> inliers(np.c_[np.r_[ring, 0.5].real, np.r_[ring, 0.5].imag], 60 / 61, 3)[-2:]
    array([ True, False])
    """
    array = check_points(points)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {shown(share)}")
    check_integer("count", count, 1)
    if share == 1 or len(array) < 3:
        return np.ones(len(array), dtype=bool)
    neighbors: Any
    distances, neighbors = KDTree(array).query(array, min(count, len(array) - 1) + 1)
    reach = distances[:, -1]
    around = np.median(reach[neighbors[:, 1:]], axis=1)
    # Points that all coincide are as dense as can be.
    factors = np.divide(reach, around, out=np.where(reach > 0, np.inf, 1.0), where=around > 0)
    kept = np.zeros(len(array), dtype=bool)
    kept[np.argsort(factors, kind="stable")[: math.ceil(share * len(array) - 1e-9)]] = True
    return kept


def _bin_samples(samples: Samples, seconds: float, width: float) -> Binned:
    together = max(1, math.floor(width / samples.interval + 1e-6))
    times, values, parts, first, left = [], [], [], 0, 0
    for part in pieces(samples):
        count = (part.stop - part.start) // together
        left += (part.stop - part.start) - count * together
        if not count:
            continue
        used = slice(part.start, part.start + count * together)
        grouped = samples.values[used].reshape(count, together, -1)
        values.append(grouped.sum(axis=1) if samples.kind == "counts" else grouped.mean(axis=1))
        times.append(samples.times[used].reshape(count, together).mean(axis=1))
        parts.append(slice(first, first + count))
        first += count
    _check_bins(first, samples.values.shape[1], width, seconds)
    found = np.concatenate(times), np.concatenate(values)
    return Binned(*found, tuple(parts), together * samples.interval, left * samples.interval)


def _check_bins(count: int, units: int, width: float, seconds: float) -> None:
    if not count:
        raise ValueError(
            f"bin_width must be at most the longest span of the recording, of {seconds:g} s, got {width:g} s"
        )
    try:
        check_fits("bins", count, 3 * 8 * count * units)
    except ValueError as error:
        raise ValueError(f"bin_width must be coarser than {width:g} s: {error}") from error
