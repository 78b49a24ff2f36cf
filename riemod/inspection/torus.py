"""A torus in an arena: what its two angles tell of the position, and whether units are tuned to it or to the arena."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from riemod.inspection.torus_axes import TorusAxes, align_with_arena
from riemod.manifolds import Euclidean, Torus
from riemod.recordings import Prepared
from riemod.tuning import cross_validated_information, decode, rate_maps, regular_bins

__all__ = ["TorusInArena", "torus_in_arena"]

# Angles with a smaller coherence are no function of the place.
_LEAST_COHERENCE = 0.3
_BINS, _DECODED_BINS, _SMOOTHING = 20, 30, 0.25
_ARENA_BINS = 20
_FEWEST = 100


@dataclass(frozen=True)
class TorusInArena:
    """Holds the axes of the two angles in the arena, None if there are none, and what goes into the record."""

    axes: TorusAxes | None
    record: dict[str, Any]


def torus_in_arena(prepared: Prepared, angles: np.ndarray, fitted: np.ndarray, *, counted: bool) -> TorusInArena | None:
    """Align the two angles of a torus with the axes of the arena, decode places, and compare two kinds of tuning.

    - Axes: fitted to the angles and places of one part of the time (`align_with_arena`).
    - Decoding, in the other part: the mean distance in m between the place, modulo the lattice, and the one that is
      said by the recovered angles ("angles"); by the maximum of the Poisson likelihood of the smoothed activity, under
      rate maps over the angles of the first part ("maps_over_angles"), which knows no places either; and under rate
      maps over its true places, modulo the lattice ("maps_over_places"). "chance" is the distance to the places of
      other moments.
    - Tuning, of spikes: for each unit the bits a spike that its map over the angles predicts of held-out time, and the
      same for its map over the arena (`cross_validated_information`). A unit of the module is told by the larger first
      number. Each unit has a small part in the angles itself, which favors the torus where units are few.

    Args:
        prepared: the recording in bins of time.
        angles: (t, 2), recovered, rad.
        fitted: (t,), the bins on which angles and axes are fitted.
        counted: whether the activity is spike counts.

    Returns:
        The axes and numbers; None without positions in two dimensions.
    """
    if prepared.position is None or prepared.position.shape[1] != 2:
        return None
    known = np.isfinite(prepared.position).all(axis=1)
    train, test = known & fitted, known & ~fitted
    if min(train.sum(), test.sum()) < _FEWEST:
        return TorusInArena(None, {"problem": f"fewer than {_FEWEST} bins with a position in one half of the time"})
    places = prepared.position
    try:
        axes = align_with_arena(angles[train], places[train])
    except ValueError as error:
        return TorusInArena(None, {"problem": str(error)})
    record: dict[str, Any] = {"axes": axes.to_dict()}
    if axes.coherences.min() < _LEAST_COHERENCE:
        found = ", ".join(f"{one:.2f}" for one in axes.coherences)
        return TorusInArena(None, record | {"problem": f"the angles do not follow the place: coherences {found}"})
    record["problem"] = None
    aligned, phases = axes.aligned(angles), axes.phases_at(places[known])
    true = np.full((len(places), 2), np.nan)
    true[known] = phases
    record["decoding"] = _decoding(prepared, axes, aligned, true, train, test)
    if counted:
        record["tuning"] = _tuning(prepared.activity[known], aligned[known], places[known])
    return TorusInArena(axes, record)


def _decoding(
    prepared: Prepared, axes: TorusAxes, aligned: np.ndarray, true: np.ndarray, train: np.ndarray, test: np.ndarray
) -> dict[str, float]:
    """Return mean errors of places in m, in time that was not fitted."""
    bins = regular_bins(Torus(2, period=2 * np.pi), _DECODED_BINS)
    activity = prepared.smooth - np.minimum(prepared.smooth.min(axis=0), 0.0)

    def decoded(phases: np.ndarray) -> np.ndarray:
        points, seconds = torch.from_numpy(phases[train]), prepared.bin_width
        maps = rate_maps(activity[train], points, bins, smoothing=_SMOOTHING, seconds=seconds)
        return bins.centers.numpy()[decode(activity[test], maps, seconds)]

    errors = {
        "angles": aligned[test],
        "maps_over_angles": decoded(aligned),
        "maps_over_places": decoded(true),
        "chance": np.roll(true[test], test.sum() // 2, axis=0),
    }
    return {name: float(axes.meters(found - true[test]).mean()) for name, found in errors.items()}


def _tuning(counts: np.ndarray, aligned: np.ndarray, places: np.ndarray) -> dict[str, Any]:
    """Return the bits a spike that each unit's map over the torus, and over the arena, predicts of held-out time."""
    low, side = places.min(axis=0), float(np.ptp(places, axis=0).max())
    spaces = {
        "torus": (aligned, regular_bins(Torus(2, period=2 * np.pi), _BINS), _SMOOTHING),
        "arena": (places - low, regular_bins(Euclidean(2), _ARENA_BINS, (0.0, side)), side / _ARENA_BINS),
    }
    found = {
        name: cross_validated_information(counts, torch.from_numpy(points), bins, smoothing=smoothing)
        for name, (points, bins, smoothing) in spaces.items()
    }
    larger = int(np.nansum(found["torus"] > found["arena"]))
    listed = {name: [float(one) if np.isfinite(one) else None for one in bits] for name, bits in found.items()}
    return listed | {"units_on_torus": larger}
