"""Recordings from pynapple's objects, which are known by their names, so that pynapple is not imported."""

from typing import Any

import numpy as np

from riemod._checks import kind_of
from riemod.recordings.recording import Recording, from_samples, from_spikes

__all__ = ["from_pynapple"]


def from_pynapple(units: Any, *, position: Any = None, heading: Any = None, kind: str = "rates") -> Recording:
    """Make a recording of pynapple's objects.

    Args:
        units: a TsGroup of spike times; its time support is the recorded time. Or a TsdFrame of samples, one column a
            unit.
        position: a TsdFrame of 1 or 2 columns or a Tsd, m.
        heading: a Tsd, rad.
        kind: of a TsdFrame: "counts", "rates" or "calcium".

    Returns:
        The recording.

    Raises:
        TypeError: an argument is another object.
        ValueError: as `from_spikes` and `from_samples`.
    """
    tracks: dict[str, Any] = {}
    for name, track in (("position", position), ("heading", heading)):
        if track is None:
            continue
        values = np.asarray(_series(name, track).values)
        tracks |= {name: values[:, None] if name == "position" and values.ndim == 1 else values}
        tracks[f"{name}_times"] = np.asarray(track.t)
    if _is(units, "TsGroup"):
        spans = np.asarray(units.time_support.values)
        trains = [np.asarray(units[key].t) for key in units.index]
        return from_spikes(trains, spans=spans, units=[str(key) for key in units.index], **tracks)
    if not _is(units, "TsdFrame"):
        raise TypeError(f"units must be a TsGroup or a TsdFrame of pynapple, got {kind_of(units)}")
    names = [str(column) for column in units.columns]
    return from_samples(np.asarray(units.values), np.asarray(units.t), kind=kind, units=names, **tracks)


def _series(name: str, track: Any) -> Any:
    if not (_is(track, "Tsd") or _is(track, "TsdFrame")):
        raise TypeError(f"{name} must be a Tsd or a TsdFrame of pynapple, got {kind_of(track)}")
    return track


def _is(value: Any, name: str) -> bool:
    return any(base.__name__ == name and base.__module__.split(".")[0] == "pynapple" for base in type(value).__mro__)
