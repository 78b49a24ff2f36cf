"""A recording of a population: spike times or samples of each unit, and where the animal was, all in seconds."""

import itertools
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from riemod._arrays import as_array, check_array
from riemod._checks import check_choice, check_items, check_positive, check_text, check_type, shown

__all__ = ["Kind", "Recording", "Samples", "Spikes", "Track", "from_samples", "from_spikes"]

Kind = Literal["counts", "rates", "calcium"]
KINDS = ("counts", "rates", "calcium")
# Neighbors in time that are farther apart than this many median intervals have a gap between them.
GAP = 1.5
_FEWEST_UNITS = 2
_MOST_GAPS = 0.05
_FULL_TURN = 2 * np.pi + 1e-3


class Spikes(NamedTuple):
    """Holds the spike times of each unit."""

    times: tuple[Float[np.ndarray, " s"], ...]
    """One ascending array a unit, s."""


class Samples(NamedTuple):
    """Holds what was sampled of each unit at the same times."""

    times: Float[np.ndarray, " t"]
    """Middles of the samples, ascending, s."""
    values: Float[np.ndarray, "t n"]
    """Spike counts of each sample, rates in 1/s, or calcium traces in any unit."""
    kind: Kind

    @property
    def interval(self) -> float:
        """The median time between two samples, s."""
        return float(np.median(np.diff(self.times)))


class Track(NamedTuple):
    """Holds what was tracked over time: positions or head directions."""

    times: Float[np.ndarray, " p"]
    """Ascending, s."""
    values: Float[np.ndarray, "p c"]
    """Positions (p, 1 or 2) in m, or directions (p, 1) in rad; without samples that were lost (NaN)."""
    lost: int
    """The number of samples that were NaN."""


@dataclass(frozen=True)
class Recording:
    """Holds the activity of units, and position and head direction where they were tracked.

    Make one by `from_spikes`, `from_samples`, `from_pynapple` or `load`, which check what they are given.

    Args:
        units: the name of each unit.
        activity: spike times or samples.
        spans: (e, 2), start and stop of each stretch of time that was recorded, ascending, s.
        position: of the animal, or None.
        heading: direction of its head, or None.
        notes: what loading left out, one sentence each.
    """

    units: tuple[str, ...]
    activity: Spikes | Samples
    spans: Float[np.ndarray, "e 2"]
    position: Track | None = None
    heading: Track | None = None
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """The recorded time, s."""
        return float(np.diff(self.spans).sum())

    def only(self, units: Any) -> "Recording":
        """Return the recording of some units, in the order of the recording.

        Args:
            units: their names, at least 2.

        Raises:
            ValueError: for a name that no unit has, or fewer than 2.

        >>> from_spikes([[0.1], [0.2], [0.3]], units=["a", "b", "c"]).only(["c", "a"]).units
        ('a', 'c')
        """
        wanted = _names(units, None)
        unknown = [name for name in wanted if name not in self.units]
        if unknown or len(wanted) < _FEWEST_UNITS:
            found = f"no unit of the name {unknown[0]!r}" if unknown else f"{len(wanted)}"
            raise ValueError(f"units must be at least {_FEWEST_UNITS} of the recording, got {found}")
        kept = [index for index, name in enumerate(self.units) if name in wanted]
        activity = (
            Spikes(tuple(self.activity.times[index] for index in kept))
            if isinstance(self.activity, Spikes)
            else self.activity._replace(values=self.activity.values[:, kept])
        )
        return replace(self, units=tuple(self.units[index] for index in kept), activity=activity)


def from_spikes(
    times: Any,
    ids: Any = None,
    *,
    spans: Any = None,
    units: Any = None,
    position: Any = None,
    position_times: Any = None,
    heading: Any = None,
    heading_times: Any = None,
) -> Recording:
    """Make a recording of spike times.

    Args:
        times: a list of arrays, the ascending spike times of each unit; or with `ids` one array of all spikes, s.
        ids: the unit of each spike, numbers or text.
        spans: (2,) or (e, 2), starts and stops of the recording, s. If None, from the first to the last tracked time;
            without tracking from the first to the last spike.
        units: names, one a unit; with `ids`, all units, those without a spike too. Numbers from 0, or the ids, if None.
        position: (p, 1) or (p, 2), m. Samples that hold NaN count as lost.
        position_times: (p,), s.
        heading: (p,), direction of the head, rad. Samples that are NaN count as lost.
        heading_times: (p,), s; those of the position if None.

    Returns:
        The recording.

    Raises:
        TypeError: an argument is no array of numbers.
        ValueError: fewer than 2 units; times that are not finite, not ascending or outside of the spans; spans that
            overlap; values and times of different lengths; directions beyond 2 pi, as degrees are.

    >>> from_spikes([[0.1, 0.2, 0.9], [0.5]]).spans
    array([[0.1, 0.9]])
    """
    names, trains = _by_unit(times, ids, units)
    if len(names) < _FEWEST_UNITS:
        raise ValueError(f"times must be those of at least {_FEWEST_UNITS} units, got {len(names)}")
    for name, train in zip(names, trains, strict=True):
        check_ascending(f"times of unit {name}", train, ties=True)
    if not any(map(len, trains)):
        raise ValueError("times must hold spikes, got none of any unit")
    tracks = _tracks(position, position_times, heading, heading_times, None)
    if spans is None:
        seen = [track.times[[0, -1]] for track in tracks if track is not None] or [
            train[[0, -1]] for train in trains if len(train)
        ]
        spans = [min(first for first, _ in seen), max(last for _, last in seen)]
    checked = _check_spans(spans)
    _check_inside(names, trains, checked)
    return Recording(names, Spikes(tuple(trains)), checked, *tracks)


def from_samples(
    values: Any,
    times: Any = None,
    *,
    kind: str,
    seconds: float | None = None,
    units: Any = None,
    position: Any = None,
    position_times: Any = None,
    heading: Any = None,
    heading_times: Any = None,
) -> Recording:
    """Make a recording of spike counts, rates or calcium traces, sampled at the same times for all units.

    Args:
        values: (t, n), one row a sample.
        times: (t,), middles of the samples, s; `seconds` apart from each other if None. Stretches of time between gaps
            (more than 1.5 intervals) are the spans of the recording.
        kind: "counts" of spikes in each sample, "rates" in 1/s, or "calcium" in any unit.
        seconds: between two samples; needed without times.
        units: names, one a unit; numbers from 0 if None.
        position: (p, 1) or (p, 2), m. Samples that hold NaN count as lost.
        position_times: (p,), s; those of the samples if None.
        heading: (p,), direction of the head, rad. Samples that are NaN count as lost.
        heading_times: (p,), s; those of the position, or else of the samples, if None.

    Returns:
        The recording.

    Raises:
        TypeError: an argument is no array of numbers.
        ValueError: fewer than 2 units or samples; values that are not finite, or negative counts or rates; counts that
            are not whole; times that are not ascending, or with a gap after more than 5 % of the samples.

    >>> from_samples([[0, 1], [2, 0], [1, 1]], kind="counts", seconds=0.5).spans
    array([[0. , 1.5]])
    """
    check_choice("kind", kind, KINDS)
    array = check_array("values", values, ("t", "n"))
    if array.shape[1] < _FEWEST_UNITS or len(array) < 2:
        raise ValueError(f"values must be at least 2 samples of {_FEWEST_UNITS} units, got the shape {array.shape}")
    _check_values(array, kind)
    if times is None:
        if seconds is None:
            raise ValueError("times or seconds must be given, got neither")
        middles = (np.arange(len(array)) + 0.5) * check_positive("seconds", seconds)
    else:
        if seconds is not None:
            raise ValueError(f"seconds must be None beside times, got {shown(seconds)}")
        middles = check_array("times", times, (len(array),))
        check_ascending("times", middles)
    samples = Samples(middles, array, kind)  # pyright: ignore[reportArgumentType], it was checked
    names = _names(units, array.shape[1])
    tracks = _tracks(position, position_times, heading, heading_times, middles)
    return Recording(names, samples, _stretches(samples), *tracks)


def pieces(samples: Samples) -> list[slice]:
    """Return the stretches of samples between gaps."""
    ends = np.flatnonzero(np.diff(samples.times) > GAP * samples.interval) + 1
    edges = [0, *ends.tolist(), len(samples.times)]
    return [slice(first, last) for first, last in itertools.pairwise(edges)]


def _stretches(samples: Samples) -> np.ndarray:
    parts = pieces(samples)
    if len(parts) - 1 > _MOST_GAPS * len(samples.times):
        raise ValueError(
            f"times must be evenly spaced, with a gap after at most {_MOST_GAPS:.0%} of the samples, got "
            f"{len(parts) - 1} gaps among {len(samples.times)} samples"
        )
    half = samples.interval / 2
    return np.array([[samples.times[part][0] - half, samples.times[part][-1] + half] for part in parts])


def _by_unit(times: Any, ids: Any, units: Any) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Return the names of the units and their spike times."""
    if ids is None:
        trains = [
            check_array(f"times of unit {index}", train, ("s",)) if np.size(train) else np.zeros(0)
            for index, train in enumerate(check_items("times", times, "a list of arrays, one a unit, or have ids"))
        ]
        return _names(units, len(trains)), trains
    together = check_array("times", times, ("s",))
    labels = np.asarray(ids)
    if labels.shape != together.shape or labels.dtype.kind not in "iufUS":
        raise ValueError(f"ids must be the unit of each of the {len(together)} spikes, got {shown(labels)}")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("ids must be finite, got NaN or infinity")
    whole = labels.dtype.kind == "f" and np.array_equal(labels, np.round(labels))
    labels = labels.astype(np.int64) if whole else labels
    present, index = np.unique(labels, return_inverse=True)
    order = np.argsort(index, kind="stable")
    parts = np.split(together[order], np.cumsum(np.bincount(index, minlength=len(present)))[:-1])
    found = dict(zip(map(_name, present), parts, strict=True))
    if units is None:
        return tuple(found), list(found.values())
    names = _names(units, None)
    unknown = [name for name in found if name not in names]
    if unknown:
        raise ValueError(f"units must name every unit of ids, got none of the name {unknown[0]!r}")
    return names, [found.get(name, np.zeros(0)) for name in names]


def _name(unit: Any) -> str:
    return unit.decode(errors="replace") if isinstance(unit, bytes) else str(unit)


def _names(units: Any, count: int | None) -> tuple[str, ...]:
    if units is None:
        return tuple(str(index) for index in range(count or 0))
    names = tuple(check_text("units", _name(unit)) for unit in check_items("units", units, "a list of names"))
    if count is not None and len(names) != count:
        raise ValueError(f"units must be one name for each of the {count} units, got {len(names)}")
    if len(set(names)) < len(names):
        raise ValueError(f"units must differ, got {next(name for name in names if names.count(name) > 1)!r} twice")
    return names


def _check_values(array: np.ndarray, kind: str) -> None:
    bad = ~np.isfinite(array)
    if bad.any():
        raise ValueError(f"values must be finite, got NaN or infinity in {bad.any(axis=1).sum()} of {len(array)} rows")
    if kind == "calcium":
        return
    if array.min() < 0:
        raise ValueError(f"{kind} must not be negative, got {array.min():g}")
    if kind == "counts" and not np.array_equal(array, np.round(array)):
        raise ValueError("counts must be whole numbers, got fractions: give rates or calcium as such by `kind`")


def check_ascending(name: str, times: np.ndarray, *, ties: bool = False) -> None:
    """Raise a ValueError unless times are finite and ascend.

    Args:
        name: of the argument.
        times: (n,), s.
        ties: whether equal times are allowed.
    """
    if not np.isfinite(times).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    steps = np.diff(times)
    wrong = steps < 0 if ties else steps <= 0
    if wrong.any():
        at = int(wrong.argmax())
        raise ValueError(f"{name} must ascend, got {times[at + 1]:g} s after {times[at]:g} s: sort them")


def _check_spans(spans: Any) -> np.ndarray:
    array = as_array(spans, "spans")
    array = array[None] if array.shape == (2,) else array
    if array.ndim != 2 or array.shape[1] != 2 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"spans must be finite starts and stops, (2,) or (e, 2), got {shown(np.asarray(spans))}")
    if np.any(array[:, 1] <= array[:, 0]) or np.any(array[1:, 0] < array[:-1, 1]):
        raise ValueError(f"spans must ascend and not overlap, got {shown(array.tolist())}")
    return array


def _check_inside(names: tuple[str, ...], trains: list[np.ndarray], spans: np.ndarray) -> None:
    total, outside, first = 0, 0, None
    for name, train in zip(names, trains, strict=True):
        span = np.searchsorted(spans[:, 0], train, side="right") - 1
        wrong = (span < 0) | (train > spans[np.maximum(span, 0), 1])
        total, outside = total + len(train), outside + int(wrong.sum())
        if wrong.any() and first is None:
            first = f"unit {name} at {train[wrong.argmax()]:g} s"
    if first is not None:
        where = f"{spans[0, 0]:g} to {spans[-1, 1]:g} s" + (f" in {len(spans)} spans" if len(spans) > 1 else "")
        raise ValueError(
            f"times must lie within the recording, {where}, got {outside} of {total} spikes outside, the first of "
            f"{first}"
        )


def _tracks(
    position: Any, position_times: Any, heading: Any, heading_times: Any, default: np.ndarray | None
) -> tuple[Track | None, Track | None]:
    """Return the tracks of position and heading; a missing time axis is that of the position, or else the default."""
    place_times = default if position_times is None else position_times
    place = _track("position", position, place_times, (1, 2))
    if heading is not None and np.ndim(heading) == 2 and np.shape(heading)[1] == 1:
        heading = np.ravel(heading)
    turn = _track("heading", heading, place_times if heading_times is None else heading_times, None)
    if turn is not None and np.abs(turn.values).max() > _FULL_TURN:
        raise ValueError(f"heading must be in rad, from -2 pi to 2 pi, got up to {np.abs(turn.values).max():g}")
    return place, turn


def _track(name: str, values: Any, times: Any, widths: tuple[int, ...] | None) -> Track | None:
    if values is None:
        return None
    array = as_array(values, name)
    if widths is None and array.ndim == 1:
        array = array[:, None]
    elif widths is None or array.ndim != 2 or array.shape[1] not in widths:
        wanted = "(p,)" if widths is None else "(p, 1) or (p, 2)"
        raise ValueError(f"{name} must have the shape {wanted}, got {array.shape}")
    if times is None:
        raise ValueError(f"{name}_times must be given with {name}, got None")
    moments = check_array(f"{name}_times", times, (len(array),))
    check_ascending(f"{name}_times", moments)
    if np.isinf(array).any():
        raise ValueError(f"{name} must be finite, or NaN where it was lost, got infinity")
    kept = ~np.isnan(array).any(axis=1)
    if kept.sum() < 2:
        raise ValueError(f"{name} must have at least 2 samples that are not NaN, got {kept.sum()} of {len(array)}")
    return Track(moments[kept], array[kept], int((~kept).sum()))


def check_recording(recording: Any) -> Recording:
    """Return the recording; raise a TypeError unless it is one."""
    return check_type("recording", recording, Recording, "a Recording")
