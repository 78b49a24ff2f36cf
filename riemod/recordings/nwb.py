"""Recordings from NWB files, by pynwb (`pip install 'riemod[recordings]'`)."""

from pathlib import Path
from typing import Any

import numpy as np

from riemod._untrusted import DamagedFile, one_line
from riemod.recordings.recording import Recording, from_samples, from_spikes

__all__ = ["from_nwb"]

_METERS = {"m": 1.0, "meter": 1.0, "meters": 1.0, "cm": 0.01, "centimeters": 0.01, "mm": 0.001, "millimeters": 0.001}
_RADIANS = {"rad": 1.0, "radian": 1.0, "radians": 1.0, "deg": np.pi / 180, "degree": np.pi / 180}
_RADIANS["degrees"] = np.pi / 180


def from_nwb(path: Path, *, position: str | None = None, heading: str | None = None, **behavior: Any) -> Recording:
    """Make a recording of an NWB file: its units, or else its calcium traces, and its position and head direction.

    Args:
        path: of the file.
        position: name of the SpatialSeries, if there are several in a Position.
        heading: name of the SpatialSeries, if there are several in a CompassDirection.
        behavior: position, heading and their times, in place of those of the file.

    Returns:
        The recording.

    Raises:
        ValueError: the file is no NWB file, or holds no units or several of what is looked for.
        ImportError: without pynwb.
    """
    try:
        import pynwb as library
    except ImportError as error:
        raise ImportError("NWB files need pynwb: pip install 'riemod[recordings]' brings it") from error
    pynwb: Any = library  # its classes are made while it is imported, and have no types
    try:
        io = pynwb.NWBHDF5IO(str(path), "r", load_namespaces=True)
    except Exception as error:  # what HDF5 and pynwb raise has no common type
        raise DamagedFile(f"it must be an NWB file: {one_line(error)}") from error
    with io:
        try:
            file = io.read()
        except Exception as error:
            raise DamagedFile(f"it must be an NWB file: {one_line(error)}") from error
        notes: list[str] = []
        tracks = behavior or _behavior(pynwb, file, position, heading, notes)
        made = _spikes(file, tracks) if file.units is not None else _traces(pynwb, file, tracks)
        return Recording(made.units, made.activity, made.spans, made.position, made.heading, (*made.notes, *notes))


def _spikes(file: Any, tracks: dict[str, Any]) -> Recording:
    table = file.units
    if "spike_times" not in table.colnames:
        raise DamagedFile(f"its units must have spike_times, got the columns {', '.join(table.colnames) or 'none'}")
    names = [str(name) for name in table.id[:]]
    trains = [np.asarray(table["spike_times"][index], dtype=float) for index in range(len(names))]
    spans, notes = None, ()
    if "obs_intervals" in table.colnames:
        observed = [np.asarray(table["obs_intervals"][index], dtype=float) for index in range(len(names))]
        if all(np.array_equal(observed[0], other) for other in observed) and len(observed[0]):
            spans = observed[0]
        else:
            notes = ("the units were observed in different intervals: all time from first to last is used",)
            first, last = (edge([edge(part) for part in observed if len(part)]) for edge in (np.min, np.max))
            spans = [first, last]
    made = from_spikes(trains, spans=spans, units=names, **tracks)
    return Recording(made.units, made.activity, made.spans, made.position, made.heading, notes)


def _traces(pynwb: Any, file: Any, tracks: dict[str, Any]) -> Recording:
    found = [one for one in file.objects.values() if isinstance(one, pynwb.ophys.RoiResponseSeries)]
    # dF/F is made of fluorescence, which is then in the file as well.
    relative = [one for one in found if isinstance(one.parent, pynwb.ophys.DfOverF)]
    series = _only("units or one RoiResponseSeries", relative or found, None)
    if series is None:
        raise DamagedFile("it must hold units or a RoiResponseSeries, got neither")
    values = np.asarray(series.data[:], dtype=float) * series.conversion + series.offset
    return from_samples(values, _times(series), kind="calcium", **tracks)


def _behavior(pynwb: Any, file: Any, position: str | None, heading: str | None, notes: list[str]) -> dict[str, Any]:
    """Return the tracks of a file by the names of their arguments."""
    every = [one for one in file.objects.values() if isinstance(one, pynwb.behavior.SpatialSeries)]
    tracks: dict[str, Any] = {}
    kinds = (
        ("position", position, pynwb.behavior.Position, _METERS),
        ("heading", heading, pynwb.behavior.CompassDirection, _RADIANS),
    )
    for name, wanted, container, units in kinds:
        series = _only(name, [one for one in every if isinstance(one.parent, container)], wanted)
        if series is None:
            continue
        unit = str(series.unit).lower()
        if unit not in units:
            notes.append(f"{name} has the unit {one_line(unit, 40)}, and is taken to be in {next(iter(units))}")
        values = np.asarray(series.data[:], dtype=float) * series.conversion + series.offset
        values = values * units.get(unit, 1.0)
        if name == "position" and values.ndim == 1:
            values = values[:, None]
        tracks |= {name: values, f"{name}_times": _times(series)}
    return tracks


def _only(what: str, found: list[Any], wanted: str | None) -> Any:
    """Return the series of that name, or the only one there is; None if there is none."""
    names = ", ".join(sorted(one_line(one.name, 60) for one in found))
    if wanted is not None:
        chosen = [one for one in found if one.name == wanted]
        if len(chosen) != 1:
            raise DamagedFile(f"{what} must name one of its series, {names or 'of which it has none'}, got {wanted!r}")
        return chosen[0]
    if len(found) > 1:
        raise DamagedFile(f"it must hold one series of {what}, or {what} must name one, got {names}")
    return found[0] if found else None


def _times(series: Any) -> np.ndarray:
    if series.timestamps is not None:
        return np.asarray(series.timestamps[:], dtype=float)
    return float(series.starting_time) + np.arange(len(series.data)) / float(series.rate)
