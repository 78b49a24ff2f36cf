"""How well tuning predicts spikes in time that it was not fitted to, and decoding of positions from spikes."""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import xlogy
from torch import Tensor

from riemod._arrays import check_points
from riemod._checks import check_integer, check_positive
from riemod.tuning.bins import Bins, nearest_bins
from riemod.tuning.rate_maps import RateMaps, check_maps, rate_maps

__all__ = ["cross_validated_information", "decode"]

# A bin of a map in which a unit was silent predicts this share of the unit's mean rate: a spike there is unlikely, not
# impossible.
_LEAST_SHARE = 1e-2


def cross_validated_information(
    counts: Float[np.ndarray, "t n"],
    positions: Float[Tensor, "t k"],
    bins: Bins,
    *,
    smoothing: float = 0.0,
    folds: int = 10,
) -> Float[np.ndarray, " n"]:
    """Compute how many bits a spike the rate map of a unit predicts of spike counts that it was not made of.

    For each fold, the map is made of the other folds, and the Poisson log-likelihood of the fold's counts under the map
    is compared with that under the mean rate: sum_t (k log2(r(x_t) / m) - (r(x_t) - m) / ln 2), over all folds, divided
    by the number of spikes. It is 0 on average or below for a unit that is not tuned to the position. Folds are
    stretches of samples that follow each other, because activity and position change slowly.

    The same counts may be predicted from two kinds of position, such as those in an arena and those on a torus that was
    recovered from the population: the larger number tells which the unit is tuned to.

    Args:
        counts: (t, n), spike counts, samples in the order of time.
        positions: (t, coordinate_dim).
        bins: of the positions' manifold.
        smoothing: as `rate_maps`.
        folds: number of folds, >= 2.

    Returns:
        (n,), bits a spike; NaN for a unit without spikes.

    Raises:
        TypeError: as `rate_maps`.
        ValueError: as `rate_maps`, for negative counts, or for fewer samples than folds.

    Reference: Gardner et al. 2022, https://doi.org/10.1038/s41586-021-04268-7 (torus against arena)

    >>> from riemod.manifolds import Torus
    >>> from riemod.tuning.bins import regular_bins
    >>> positions = torch.tensor([[0.5], [1.5]], dtype=torch.float64).repeat(50, 1)
    >>> counts = np.tile([[2.0, 1.0], [0.0, 1.0]], (50, 1))
    >>> cross_validated_information(counts, positions, regular_bins(Torus(1, period=2.0), 2)).round(2)
    array([0.99, 0.  ])
    """
    activity = _check_counts(counts)
    check_integer("folds", folds, 2, len(activity))
    index = nearest_bins(positions, bins).numpy()
    if len(index) != len(activity):
        raise ValueError(f"positions must be as many as samples of counts, {len(activity)}, got {len(index)}")
    fold = np.arange(len(activity)) * folds // len(activity)
    gained = np.zeros(activity.shape[1])
    for held in range(folds):
        train, test = fold != held, fold == held
        mean = activity[train].mean(axis=0)
        maps = rate_maps(activity[train], positions[torch.from_numpy(train)], bins, smoothing=smoothing)
        # Where no sample of the other folds is near, only the mean is known.
        expected = np.where(np.isfinite(maps.rates), maps.rates, mean[:, None]).T[index[test]]
        expected = np.maximum(expected, _LEAST_SHARE * mean)
        ratio = np.divide(expected, mean, out=np.ones_like(expected), where=mean > 0)
        gained += (xlogy(activity[test], ratio) - (expected - mean) * (mean > 0)).sum(axis=0)
    spikes = activity.sum(axis=0)
    return np.where(spikes > 0, gained / np.log(2) / np.where(spikes > 0, spikes, 1), np.nan)


def decode(counts: Float[np.ndarray, "t n"], maps: RateMaps, seconds: float) -> Int[np.ndarray, " t"]:
    """Decode positions from spike counts: for each sample the bin b that maximizes sum_n (k_n log r_nb - r_nb seconds).

    Args:
        counts: (t, n), spike counts.
        maps: of the n units, with rates in 1/s; made of other samples than these, unless they are to be fitted.
        seconds: duration of a sample, s.

    Returns:
        (t,), indices of `maps.bins.centers`, of those with a rate.

    Raises:
        ValueError: if counts are negative or not of the maps' units, rates are negative, or seconds <= 0.

    Reference: Zhang et al. 1998, https://doi.org/10.1152/jn.1998.79.2.1017
    """
    activity = _check_counts(counts)
    rates = check_maps(maps).rates
    check_positive("seconds", seconds)
    if activity.shape[1] != len(rates):
        raise ValueError(f"counts must have a column for each of the {len(rates)} units, got {activity.shape[1]}")
    if np.nanmin(rates) < 0:
        raise ValueError(f"maps must not have negative rates, got {np.nanmin(rates):g}")
    known = np.flatnonzero(np.isfinite(rates).all(axis=0))
    mean = rates[:, known].mean(axis=1, keepdims=True)
    active = mean[:, 0] > 0
    expected = np.maximum(rates[np.ix_(active, known)], _LEAST_SHARE * mean[active])
    scores = activity[:, active] @ np.log(expected) - seconds * expected.sum(axis=0)
    return known[scores.argmax(axis=1)]


def _check_counts(counts: Float[np.ndarray, "t n"]) -> Float[np.ndarray, "t n"]:
    activity = check_points(counts, "counts")
    if activity.min() < 0:
        raise ValueError(f"counts must not be negative, got {activity.min():g}")
    return activity
