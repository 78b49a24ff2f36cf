"""Recordings from files: npz, CSV, and NWB through `riemod.recordings.nwb`. Nothing in a file is executed."""

import csv
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from riemod._checks import check_choice, check_type
from riemod._machine import check_fits
from riemod._untrusted import DamagedFile, one_line, regular_size
from riemod.recordings.nwb import from_nwb
from riemod.recordings.recording import KINDS, Recording, from_samples, from_spikes

__all__ = ["SUFFIXES", "load"]

SUFFIXES = (".npz", ".csv", ".nwb")
_BEHAVIOR = ("position", "position_times", "heading", "heading_times")
_NPZ_KEYS = ("spike_times", "spike_units", "units", "spans", "times", "seconds", *KINDS, *_BEHAVIOR)
# A cell of a CSV file takes about this many bytes while it is read.
_CELL = 40

Arrays = Mapping[str, Any]


def load(
    path: Path | str,
    *,
    behavior: Path | str | None = None,
    kind: str | None = None,
    position: str | None = None,
    heading: str | None = None,
) -> Recording:
    """Load a recording from a file.

    - **npz**: `spike_times` (s) and `spike_units`; or `counts`, `rates` or `calcium` (t, n) with `times` (t,) or
      `seconds` between samples. Optional: `units` (names), `spans` (e, 2), `position` (p, 1 or 2) in m,
      `position_times`, `heading` (p,) in rad, `heading_times`. Arrays mean what they mean in `from_spikes` and
      `from_samples`. Files that pynapple's TsGroup and TsdFrame save are read as well.
    - **CSV**, with a header: one spike a row in the columns `time` and `unit`; or one sample a row, with the column
      `time` and one column a unit. Columns `x`, `y` and `heading` of a file of samples are position and head direction.
    - **NWB**: the table of units, or one RoiResponseSeries of calcium; SpatialSeries of a Position and of a
      CompassDirection. Needs pynwb (`pip install 'riemod[recordings]'`).

    Args:
        path: with the suffix .npz, .csv or .nwb.
        behavior: a file with position, head direction or both, in place of those of `path`: npz with the keys above, a
            Tsd (head direction) or a TsdFrame of 2 columns (position) that pynapple saved, or CSV with `time` and `x`,
            `y` or `heading`, in which an empty cell is a lost sample.
        kind: "counts", "rates" or "calcium"; needed for samples in a CSV file and in a TsdFrame.
        position: name of the SpatialSeries, if an NWB file has several.
        heading: name of the SpatialSeries, if an NWB file has several.

    Returns:
        The recording. Its notes say what was in the file and was not read.

    Raises:
        ValueError: the file is damaged, or of another kind; the message begins with its name.
        OSError: the file cannot be read.
        ImportError: from an NWB file, without pynwb.
    """
    file, tracks = _path("path", path), None if behavior is None else _path("behavior", behavior)
    if kind is not None:
        check_choice("kind", kind, KINDS)
    suffix = _suffix("path", file, SUFFIXES)
    if suffix != ".nwb" and (position is not None or heading is not None):
        raise ValueError(f"position and heading name series of an NWB file, got the file {file}")
    extra = {} if tracks is None else _behavior(tracks)
    with _named(file):
        if suffix == ".nwb":
            return from_nwb(file, position=position, heading=heading, **extra)
        found = dict(_read_npz(file) if suffix == ".npz" else _read_csv(file))
        return _recording(found, kind, extra)


def _recording(found: dict[str, Any], kind: str | None, extra: Arrays) -> Recording:
    """Make a recording of arrays by key; behavior from another file takes the place of the file's own."""
    if extra:
        found = {key: value for key, value in found.items() if key not in _BEHAVIOR} | dict(extra)
    unread = sorted(found.keys() - set(_NPZ_KEYS) - {"samples"})
    notes = (f"not read: {', '.join(map(one_line, unread[:10]))}{', ...' * (len(unread) > 10)}",) if unread else ()
    tracks = {key: found[key] for key in _BEHAVIOR if key in found}
    for name in ("position", "heading"):
        if f"{name}_times" in tracks and name not in tracks and not (name == "position" and "heading" in tracks):
            raise DamagedFile(f"it must have {name} beside {name}_times")
    present = [key for key in ("spike_times", "samples", *KINDS) if key in found]
    if len(present) != 1:
        raise DamagedFile(
            f"it must hold one of spike_times, {', '.join(KINDS)}, got {' and '.join(present) or 'none of them'}"
        )
    units = found.get("units")
    if present == ["spike_times"]:
        if "spike_units" not in found:
            raise DamagedFile("it must hold spike_units, the unit of each spike, beside spike_times")
        arrays = found["spike_times"], found["spike_units"]
        made = from_spikes(*arrays, spans=found.get("spans"), units=units, **tracks)
    else:
        key = present[0]
        if key == "samples" and kind is None:
            raise DamagedFile(f"it holds samples: say by kind what they are, {', '.join(KINDS[:-1])} or {KINDS[-1]}")
        if key != "samples" and kind not in (None, key):
            raise DamagedFile(f"it holds {key}, got the kind {kind}")
        seconds = None if "seconds" not in found else float(np.asarray(found["seconds"]).reshape(()))
        made = from_samples(
            found[key],
            found.get("times"),
            kind=str(kind if key == "samples" else key),
            seconds=seconds,
            units=units,
            **tracks,
        )
    return Recording(made.units, made.activity, made.spans, made.position, made.heading, notes)


def _behavior(file: Path) -> dict[str, Any]:
    suffix = _suffix("behavior", file, SUFFIXES[:2])
    with _named(file):
        found = _read_npz(file) if suffix == ".npz" else _read_csv(file)
        tracks = {key: value for key, value in found.items() if key in _BEHAVIOR}
        if "samples" in found and found["samples"].shape[1] in (1, 2):  # what pynapple saved
            name = "position" if found["samples"].ndim == 2 and found["samples"].shape[1] == 2 else "heading"
            tracks = {name: found["samples"], f"{name}_times": found["times"]}
        if not {"position", "heading"} & set(tracks):
            raise DamagedFile("it must hold position (x and y) or heading, got neither")
        return tracks


def _read_npz(file: Path) -> dict[str, Any]:
    """Read the arrays of an npz file, without objects, whose reading would execute what is in the file."""
    regular_size(file)
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        check_fits("its size", size, 2 * size)
        with np.load(file, allow_pickle=False) as archive:
            names = archive.files
            if "type" in names and "t" in names:
                return _from_pynapple(archive)
            return {name: _array(archive, name) for name in names if name in _NPZ_KEYS} | {
                name: None for name in names if name not in _NPZ_KEYS
            }
    except (zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        raise DamagedFile(f"it must be an npz file: {one_line(error)}") from error


def _array(archive: Any, name: str) -> np.ndarray:
    try:
        array = archive[name]
    except ValueError as error:
        raise DamagedFile(
            f"{name} must be an array of numbers or text, got Python objects or a damaged array"
        ) from error
    if not isinstance(array, np.ndarray):
        raise DamagedFile(f"{name} must be an array in NumPy's format")
    return array


def _from_pynapple(archive: Any) -> dict[str, Any]:
    """Return what pynapple saved, under the keys of this package; names of columns are objects, and are not read."""
    kind = str(_array(archive, "type").ravel()[0])
    times = _array(archive, "t")
    if kind == "TsGroup":
        spans = np.stack([_array(archive, "start"), _array(archive, "end")], axis=1)
        keys = {"spike_units": _array(archive, "index"), "units": [str(key) for key in _array(archive, "keys")]}
        return {"spike_times": times, "spans": spans, **keys}
    if kind not in ("Tsd", "TsdFrame"):
        raise DamagedFile(f"it must be a TsGroup, a TsdFrame or a Tsd of pynapple, got a {one_line(kind, 40)}")
    values = _array(archive, "d")
    return {"times": times, "samples": values[:, None] if values.ndim == 1 else values}


def _read_csv(file: Path) -> dict[str, Any]:
    """Read a CSV file of spikes, of samples or of behavior."""
    size = regular_size(file)
    check_fits("its size", size, size // 2 * _CELL)
    with file.open(newline="", encoding="utf-8-sig") as lines:
        try:
            rows = csv.reader(lines, strict=True)
            header = [name.strip() for name in next(rows, [])]
            return _columns(header, rows)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DamagedFile(f"it must be CSV text in UTF-8: {one_line(error)}") from error


def _columns(header: list[str], rows: Iterator[list[str]]) -> dict[str, Any]:
    lower = [name.lower() for name in header]
    if "time" not in lower:
        raise DamagedFile(f"its header must have the column time, got {one_line(', '.join(header), 120) or 'nothing'}")
    if len(set(header)) < len(header):
        raise DamagedFile("the columns of its header must differ")
    spikes = "unit" in lower
    if spikes and set(lower) - {"time", "unit"}:
        raise DamagedFile("a file of spikes must have the columns time and unit alone, got others beside them")
    lists: list[list[Any]] = [[] for _ in header]
    text = lower.index("unit") if spikes else -1
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        if len(row) != len(header):
            raise DamagedFile(f"line {number} must have {len(header)} cells, got {len(row)}")
        for index, cell in enumerate(row):
            lists[index].append(cell.strip() if index == text else _number(cell, number, header[index]))
    if not lists[0]:
        raise DamagedFile("it must have rows below its header, got none")
    columns = dict(zip(lower, map(np.array, lists), strict=True))
    times = columns.pop("time")
    if spikes:
        return {"spike_times": times, "spike_units": columns["unit"]}
    found: dict[str, Any] = {"times": times}
    places = [columns[name] for name in ("x", "y") if name in columns]
    if places:
        found |= {"position": np.stack(places, axis=1), "position_times": times}
    if "heading" in columns:
        found |= {"heading": columns["heading"], "heading_times": times}
    units = [index for index, name in enumerate(lower) if name not in ("time", "x", "y", "heading")]
    if units:
        found |= {"samples": np.array([lists[index] for index in units]).T, "units": [header[index] for index in units]}
    return found


def _number(cell: str, line: int, column: str) -> float:
    try:
        return float(cell) if cell.strip() else np.nan
    except ValueError:
        raise DamagedFile(
            f"line {line}, column {one_line(column, 40)}, must be a number, got {one_line(cell, 40)!r}"
        ) from None


def _path(name: str, value: Any) -> Path:
    return Path(check_type(name, value, (Path, str), "a path"))


def _suffix(name: str, file: Path, allowed: tuple[str, ...]) -> str:
    suffix = file.suffix.lower()
    if suffix not in allowed:
        *others, last = allowed
        raise ValueError(f"{name} must be a {', '.join(others)} or {last} file, got {one_line(file)}")
    if not file.exists():
        raise FileNotFoundError(f"{name} must be a file, got {one_line(file)}, which does not exist")
    return suffix


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Begin messages about what is in a file with its name."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: {one_line(error, 600)}") from error
