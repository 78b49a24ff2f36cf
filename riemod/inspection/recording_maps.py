"""Rates of recorded units over what they may be tuned to: recovered angles, places, and directions of the head."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from riemod.manifolds import Euclidean, Torus
from riemod.recordings import Prepared, Recording, Spikes
from riemod.tuning import Bins, RateMaps, rate_maps, regular_bins

__all__ = ["Maps", "maps_of"]

_ANGLE_BINS = {1: 36, 2: 15}
_ANGLE_SMOOTHING = {1: 0.15, 2: 0.35}
_PLACE_BINS, _PLACE_SMOOTHING = 30, 0.04


@dataclass(frozen=True)
class Maps:
    """Holds the rates of units over what they may be tuned to; None where that was not recovered or recorded."""

    angles: RateMaps | None
    """Over the recovered angles."""
    places: RateMaps | None
    """Over the arena."""
    heading: RateMaps | None
    """Over the direction of the head."""


def maps_of(prepared: Prepared, recording: Recording, angles: np.ndarray | None) -> Maps:
    """Compute the rates of units over recovered angles, places and headings, in 1/s where spikes were counted.

    Args:
        prepared: the recording in bins of time.
        recording: says what its activity is.
        angles: (t, 1 or 2) recovered angles of each bin, rad, or None.
    """
    activity = prepared.activity
    if not isinstance(recording.activity, Spikes) and recording.activity.kind == "calcium":
        # Traces have no zero of their own: what is drawn is how far they are above their lowest level.
        activity = activity - activity.min(axis=0)
    counted = isinstance(recording.activity, Spikes) or recording.activity.kind == "counts"
    over = partial(_rates, activity, prepared.bin_width if counted else None)
    heading = None if prepared.heading is None else prepared.heading[:, None]
    return Maps(
        None if angles is None else _over_angles(over, angles),
        None if prepared.position is None else _over_places(over, prepared.position),
        None if heading is None else _over_angles(over, heading),
    )


def _over_angles(over: Callable[..., RateMaps], angles: np.ndarray) -> RateMaps:
    dim = angles.shape[1]
    torus = Torus(dim, period=2 * np.pi)
    return over(angles, regular_bins(torus, _ANGLE_BINS[dim]), _ANGLE_SMOOTHING[dim])


def _over_places(over: Callable[..., RateMaps], places: np.ndarray) -> RateMaps:
    """Bin a square that holds all places, from 0; what lies outside of the arena stays NaN."""
    known = places[np.isfinite(places).all(axis=1)]
    low, side = known.min(axis=0), float(np.ptp(known, axis=0).max()) or 1.0
    bins = regular_bins(Euclidean(places.shape[1]), _PLACE_BINS, (0.0, side))
    return over(places - low, bins, _PLACE_SMOOTHING * side)


def _rates(
    activity: np.ndarray, seconds: float | None, positions: np.ndarray, bins: Bins, smoothing: float
) -> RateMaps:
    known = np.isfinite(positions).all(axis=1)
    return rate_maps(activity[known], torch.from_numpy(positions[known]), bins, smoothing=smoothing, seconds=seconds)
