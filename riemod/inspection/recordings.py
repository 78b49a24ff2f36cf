"""Analysis of a recording: which manifold its population fills, where on it each moment lies, and what units prefer."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from riemod._checks import check_function, check_integer, check_text, check_type
from riemod._files import write_json
from riemod.inspection.coordinates import ANGLES, Coordinates
from riemod.inspection.modules import held_back, parts_of
from riemod.inspection.output import RECORD, check_out, verdict_of
from riemod.inspection.recording_figures import NAMES, draw_figures
from riemod.inspection.recording_maps import maps_of
from riemod.inspection.recording_nulls import compared
from riemod.inspection.torus import torus_in_arena
from riemod.recordings import Prepared, Recording, Samples, Spikes, prepare
from riemod.topology import CircularCoordinates, ModuliRecovery, circular_correlation
from riemod.training import environment
from riemod.tuning import RateMaps, spatial_information

__all__ = ["analyze_recording"]

# Blocks of time in s that are fitted and tested in turn.
_BLOCK = 30.0
_FEWEST_TESTED = 50


def analyze_recording(
    recording: Recording,
    out: Path,
    *,
    name: str = "recording",
    coordinates: int | None = None,
    n_jobs: int | None = None,
    progress: Callable[[str], None] | None = None,
    **preparation: Any,
) -> dict[str, Any]:
    """Find which manifold the activity of a population fills, recover coordinates on it, and draw figures.

    The recording is prepared, and the verdict is that of `ModuliRecovery` on its cloud, whose null data have one kind
    more: the recording's units, each shifted in time. Circular coordinates are fitted on every other 30 s of the cloud:
    one for a circle or a Klein bottle, two for a torus. Where the direction of the head was recorded, its circular
    correlation with each of them is computed in the other 30 s. Where the position was, the two angles of a torus are
    aligned with the axes of the arena, and judged (`torus_in_arena`). Modules of grid cells are told by their lattices
    (`riemod.tuning.grid_modules`), others, or all without a position, by the coordinates that they share
    (`riemod.tuning.activity_modules`). If units differ, each module and the other units have verdicts of their own, and
    a name of all together is held back unless it is that of the only module.

    Args:
        recording: spikes, counts, rates or calcium traces.
        out: folder for the record, `analysis.json`, and for figures; made if it is missing. Files of an earlier
            analysis are replaced, and other files stay.
        name: of the recording, for the record and the figures.
        coordinates: 1 or 2 circular coordinates to fit whatever the verdict; None for those of the verdict.
        n_jobs: processes that compute null data; None for one.
        progress: called with what is being done.
        preparation: arguments of `riemod.recordings.prepare`.

    Returns:
        The record.

    Raises:
        RunError: if out is a file or holds figures of something else.
        ValueError: for an argument outside its range, or a recording that does not allow an analysis.
        ImportError: if gudhi or ripser is not installed.
    """
    check_type("recording", recording, Recording, "a Recording")
    check_out(out, NAMES)
    check_text("name", name)
    if coordinates is not None:
        check_integer("coordinates", coordinates, 1, 2)
    say = (lambda stage: None) if progress is None else check_function("progress", progress)
    say("preparing")

    def prepare_some(units: Recording) -> Prepared:
        return prepare(units, **{"generator": torch.Generator().manual_seed(0), **preparation})

    judge = partial(compared, ModuliRecovery(n_jobs=n_jobs))
    prepared = prepare_some(recording)
    say(f"comparing {len(prepared.cloud):,} points with null data")
    recovery = judge(prepared)
    say("looking for modules")
    parts = parts_of(recording, prepared, maps_of(prepared, recording, None).places, prepare_some, judge)
    if why := held_back(recovery.manifold_, parts):
        recovery.manifold_, recovery.reason_ = "undecided", why
    say("recovering coordinates")
    count = ANGLES.get(recovery.manifold_, 0) if coordinates is None else coordinates
    fitted = (prepared.times // _BLOCK).astype(int) % 2 == 0
    found = _coordinates(prepared, recovery, count, fitted) if count else None
    spikes = isinstance(recording.activity, Spikes)
    torus = None
    if found is not None and found.angles is not None and count == 2:
        torus = torus_in_arena(prepared, found.angles, fitted, counted=spikes)
        if torus is not None and torus.axes is not None:
            found = replace(found, angles=torus.axes.aligned(found.angles))
    say("computing rate maps")
    maps = maps_of(prepared, recording, None if found is None else found.angles)
    record: dict[str, Any] = {
        "recording": name,
        "kind": recording.activity.kind if isinstance(recording.activity, Samples) else "spikes",
        "preparation": prepared.to_dict(),
        "verdict": verdict_of(recovery),
        "report": "\n".join([recovery.report(), prepared.report(), *(part.line() for part in parts)]),
        "parts": [part.to_dict() for part in parts],
    }
    if found is not None:
        record["coordinates"] = found.to_dict()
    if torus is not None:
        record["torus"] = torus.record
    record["tuning"] = {
        over: _information(one)
        for over, one in (("angles", maps.angles), ("places", maps.places), ("heading", maps.heading))
        if one is not None and spikes
    }
    record |= environment()
    say("drawing figures")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / RECORD, record)
    for file in NAMES:
        (out / file).unlink(missing_ok=True)
    draw_figures(out, name, prepared, recovery, found, maps)
    return record


def _coordinates(prepared: Prepared, recovery: ModuliRecovery, count: int, fitted: np.ndarray) -> Coordinates:
    """Fit circular coordinates on some blocks of time; compare with the heading in the other blocks."""
    cloud = prepared.points[prepared.drawn[fitted[prepared.drawn]]]
    metric = "geodesic" if recovery.metric_ == "geodesic" else "euclidean"
    try:
        angles = CircularCoordinates(count, metric=metric).fit(cloud).transform(prepared.points)
    except ValueError as error:
        return Coordinates(count, None, None, str(error))
    correlations = None
    if prepared.heading is not None:
        tested = ~fitted & np.isfinite(prepared.heading)
        if tested.sum() >= _FEWEST_TESTED:
            correlations = [circular_correlation(angle, prepared.heading[tested]) for angle in angles[tested].T]
    return Coordinates(count, angles, correlations, None)


def _information(maps: RateMaps) -> dict[str, Any]:
    """Return each unit's information in bits per spike, None for one without spikes, and its peak rate in 1/s."""
    active = np.nanmax(maps.rates, axis=1) > 0
    bits = np.full(len(active), np.nan)
    bits[active] = spatial_information(maps.only(active))
    return {
        "bits_per_spike": [float(value) if np.isfinite(value) else None for value in bits],
        "peak_rate": [float(value) for value in np.nanmax(maps.rates, axis=1)],
    }
