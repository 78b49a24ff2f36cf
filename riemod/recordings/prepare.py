"""From a recording to points whose shape can be judged, with a count of everything that is left out."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from riemod._checks import check_at_least, check_generator, check_integer, check_number, check_positive
from riemod.recordings.recording import Recording, Spikes, check_recording
from riemod.recordings.steps import (
    bin_activity,
    burst_index,
    inliers,
    mean_rates,
    principal_components,
    smoothed,
    speed,
    stabilized,
    tracked_at,
)

__all__ = ["BIN_WIDTH", "SMOOTHING", "Prepared", "Tally", "prepare"]

BIN_WIDTH, SMOOTHING = 0.1, 0.15
"""The defaults of `prepare`, in s."""
_LEAST_SPEED = 0.025
_FEWEST_BINS = 100
_FEWEST_UNITS = 2
# A fortieth of the bins are a point's neighborhood: with fewer, small clumps of outliers pass for the manifold.
_FEWEST_NEIGHBORS, _MOST_NEIGHBORS = 20, 300
# An arena of more than this many meters is taken for one in another unit, unless a speed is given.
_LARGEST_ARENA = 30.0


@dataclass(frozen=True)
class Tally:
    """Counts what was given, what each step left out, and what is used."""

    units: int
    """Units of the recording."""
    silent: int
    """Units left out: their mean rate is below `least_rate`, or their activity never changes."""
    bursting: int
    """Units left out: their `burst_index` is above `most_bursting`."""
    units_used: int
    seconds: float
    """The recorded time."""
    seconds_cut: float
    """Time at the ends of spans that fills no bin."""
    bins: int
    """Bins of the recorded time."""
    untracked: int
    """Bins left out: the position is not known there."""
    slow: int
    """Bins left out: the animal is slower than `least_speed`."""
    over_budget: int
    """Bins left out, evenly in time: there are more than `most_bins`."""
    outlying: int
    """Bins left out: they are not among the `share` of `inliers`."""
    not_drawn: int
    """Bins left out, at random: there are more than `most_points`."""
    points: int
    """Points of the cloud."""


@dataclass(frozen=True)
class Prepared:
    """Holds the points of a recording, and the activity and behavior in the same bins of time.

    The bins are those in which the animal moved, within the budget; the cloud is the part of them that is judged.
    """

    points: Float[np.ndarray, "t c"]
    """Principal components of the population activity in each bin."""
    drawn: Int[np.ndarray, " m"]
    """The bins of the cloud, ascending."""
    times: Float[np.ndarray, " t"]
    """Middles of the bins, s."""
    activity: Float[np.ndarray, "t n"]
    """Activity of the units used in each bin, as `bin_activity` returns it, neither smoothed nor stabilized."""
    smooth: Float[np.ndarray, "t n"]
    """The same after smoothing in time."""
    stable: Float[np.ndarray, "t n"]
    """The same with a variance that does not depend on the rate: roots, or traces over their standard deviation."""
    units: tuple[str, ...]
    """Names of the units used."""
    position: Float[np.ndarray, "t d"] | None
    """In m, NaN where it is not known; None if it was not recorded."""
    heading: Float[np.ndarray, " t"] | None
    """In rad, from 0 to 2 pi, NaN where it is not known; None if it was not recorded."""
    variance: Float[np.ndarray, " c"]
    """Share of the variance along each principal component."""
    bin_width: float
    """Width of a bin, s."""
    tally: Tally
    settings: dict[str, Any]
    """The arguments of `prepare`."""
    notes: tuple[str, ...] = ()
    """What loading left out."""

    @property
    def cloud(self) -> Float[np.ndarray, "m c"]:
        """The points that are judged, for `riemod.topology.ModuliRecovery`."""
        return self.points[self.drawn]

    def report(self) -> str:
        """Describe what was used and what was left out, one on each line."""
        tally, how = self.tally, self.settings
        lines = [
            f"units: {tally.units_used} of {tally.units} used, {tally.silent} silent (below {how['least_rate']:g}/s), "
            f"{tally.bursting} bursting (index above {how['most_bursting']:g})",
            f"time: {tally.bins:,} bins of {self.bin_width:g} s; left out: {tally.untracked:,} untracked, "
            f"{tally.slow:,} slower than {how['least_speed']:g} m/s, {tally.over_budget:,} over the budget of "
            f"{how['most_bins']:,}, {tally.outlying:,} off the manifold, {tally.not_drawn:,} not "
            f"drawn; {tally.seconds_cut:.3g} s at the ends of spans",
            f"points: {tally.points:,}, {self.points.shape[1]} principal components with "
            f"{self.variance.sum():.0%} of the variance",
        ]
        return "\n".join([*lines, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and settings as JSON-ready values."""
        return {
            "units": list(self.units),
            "tally": asdict(self.tally),
            "settings": self.settings,
            "variance": self.variance.tolist(),
            "notes": list(self.notes),
        }


def prepare(
    recording: Recording,
    *,
    bin_width: float = BIN_WIDTH,
    smoothing: float = SMOOTHING,
    least_rate: float = 0.05,
    most_bursting: float = 0.8,
    least_speed: float | None = None,
    components: int = 6,
    share: float = 0.8,
    most_bins: int = 50_000,
    most_points: int = 2000,
    generator: torch.Generator | None = None,
) -> Prepared:
    """Turn a recording into points: one for each bin of time, in the principal components of the population.

    1. Units that are silent or fire in bursts are left out.
    2. Spikes are counted in bins (`bin_activity`) and smoothed in time (`smoothed`), as rates are.
    3. Square roots stabilize the variance (`stabilized`); calcium traces are divided by their standard deviation
       instead.
    4. Bins in which the animal is slow, or its position is not known, are left out. Without a position all bins stay.
    5. The bins are projected onto their first principal components (`principal_components`).
    6. Bins off the manifold are left out (`inliers`), and at most `most_points` of the others are drawn at random: the
       cloud.

    The defaults were chosen on simulated head direction cells and grid cells (docs/recordings.md).

    Args:
        recording: of at least 2 units.
        bin_width: s. If samples are farther apart, each is a bin.
        smoothing: standard deviation of the Gaussian, s; 0 for none.
        least_rate: a unit whose mean rate is lower is silent, 1/s. Calcium traces are silent if they are constant.
        most_bursting: a unit with a larger `burst_index` is left out; 1 keeps all. Only spike times tell.
        least_speed: m/s; 0 keeps all bins. 0.025 if None.
        components: number of principal components.
        share: of the bins that are kept by `inliers`, in (0, 1]; 1 keeps all.
        most_bins: the budget: more bins are thinned evenly in time.
        most_points: of the cloud.
        generator: draws the points of the cloud, on the CPU.

    Returns:
        The points, with the activity and behavior in the same bins, and a tally of what was left out.

    Raises:
        TypeError: the recording is none, or the generator is none.
        ValueError: an argument is outside its range; fewer than 2 units or 100 bins are left; no activity varies; or
            the position spans more than 30 m, as numbers in cm do, and `least_speed` is None.

    Reference: Gardner et al. 2022, https://doi.org/10.1038/s41586-021-04268-7; Chaudhuri et al. 2019,
    https://doi.org/10.1038/s41593-019-0460-x
    """
    check_recording(recording)
    least_rate = check_at_least("least_rate", least_rate, 0)
    if not -1 <= check_number("most_bursting", most_bursting) <= 1:
        raise ValueError(f"most_bursting must be from -1 to 1, got {most_bursting:g}")
    smoothing = check_at_least("smoothing", smoothing, 0)
    check_integer("components", components, 1)
    check_integer("most_bins", most_bins, _FEWEST_BINS)
    check_integer("most_points", most_points, 1)
    check_generator(generator)
    slowest = _slowest(recording, least_speed)
    binned = bin_activity(recording, check_positive("bin_width", bin_width))
    silent, bursting = _unfit(recording, binned.values, least_rate, most_bursting)
    used = np.flatnonzero(~(silent | bursting))
    if len(used) < _FEWEST_UNITS:
        raise ValueError(
            f"recording must have at least {_FEWEST_UNITS} units that can be used, got {len(used)} of "
            f"{len(silent)}: {silent.sum()} are silent and {bursting.sum()} fire in bursts"
        )
    binned = binned._replace(values=binned.values[:, used])
    smooth = smoothed(binned, smoothing)
    values = _standardized(smooth) if _is_calcium(recording) else stabilized(smooth)
    untracked, slow = _still(recording, binned.times, slowest)
    moving = np.flatnonzero(~(untracked | slow))
    if len(moving) < _FEWEST_BINS:
        raise ValueError(
            f"recording must have at least {_FEWEST_BINS} bins that can be used, got {len(moving)} of "
            f"{len(untracked)}: {untracked.sum()} have no position and in {slow.sum()} the animal is slower than "
            f"{slowest:g} m/s"
        )
    kept = moving
    if len(moving) > most_bins:
        kept = moving[np.linspace(0, len(moving) - 1, most_bins).round().astype(int)]
    points, variance = principal_components(values[kept], components)
    inner = np.flatnonzero(inliers(points, share, min(_MOST_NEIGHBORS, max(_FEWEST_NEIGHBORS, len(kept) // 40))))
    chosen = inner
    if len(inner) > most_points:
        chosen = inner[torch.randperm(len(inner), generator=generator)[:most_points].sort().values.numpy()]
    tally = Tally(
        units=len(silent),
        silent=int(silent.sum()),
        bursting=int(bursting.sum()),
        units_used=len(used),
        seconds=recording.seconds,
        seconds_cut=binned.cut,
        bins=len(untracked),
        untracked=int(untracked.sum()),
        slow=int(slow.sum()),
        over_budget=len(moving) - len(kept),
        outlying=len(kept) - len(inner),
        not_drawn=len(inner) - len(chosen),
        points=len(chosen),
    )
    settings = {
        "bin_width": bin_width,
        "smoothing": smoothing,
        "least_rate": least_rate,
        "most_bursting": most_bursting,
        "least_speed": slowest,
        "components": components,
        "share": share,
        "most_bins": most_bins,
        "most_points": most_points,
    }
    times = binned.times[kept]
    place, turn = recording.position, recording.heading
    return Prepared(
        points=points,
        drawn=chosen,
        times=times,
        activity=binned.values[kept],
        smooth=smooth[kept],
        stable=values[kept],
        units=tuple(recording.units[index] for index in used),
        position=None if place is None else tracked_at(place, times),
        heading=None if turn is None else tracked_at(turn, times, angle=True)[:, 0],
        variance=variance,
        bin_width=binned.width,
        tally=tally,
        settings=settings,
        notes=recording.notes,
    )


def _is_calcium(recording: Recording) -> bool:
    return not isinstance(recording.activity, Spikes) and recording.activity.kind == "calcium"


def _standardized(values: np.ndarray) -> np.ndarray:
    deviations = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(deviations > 0, deviations, 1.0)


def _unfit(
    recording: Recording, values: np.ndarray, least_rate: float, most_bursting: float
) -> tuple[np.ndarray, np.ndarray]:
    """Tell which units are silent, and which of the others fire in bursts."""
    constant = np.ptp(values, axis=0) <= 0
    silent = constant if _is_calcium(recording) else constant | (mean_rates(recording) < least_rate)
    bursting = np.zeros(len(silent), dtype=bool)
    if isinstance(recording.activity, Spikes):
        for index in np.flatnonzero(~silent):
            bursting[index] = burst_index(recording.activity.times[index]) > most_bursting
    return silent, bursting


def _slowest(recording: Recording, least_speed: float | None) -> float:
    """Return the least speed, m/s; 0 without a position."""
    if least_speed is not None:
        least_speed = check_at_least("least_speed", least_speed, 0)
    if recording.position is None:
        return 0.0
    if least_speed is None:
        extent = float(np.ptp(recording.position.values, axis=0).max())
        if extent > _LARGEST_ARENA:
            raise ValueError(
                f"position must be in m and span at most {_LARGEST_ARENA:g} m, got a span of {extent:.4g}: divide cm "
                "by 100; for a larger arena give least_speed"
            )
        return _LEAST_SPEED
    return least_speed


def _still(recording: Recording, times: np.ndarray, slowest: float) -> tuple[np.ndarray, np.ndarray]:
    """Tell in which bins the position is not known, and in which the animal is too slow."""
    if recording.position is None or slowest == 0:
        return np.zeros(len(times), dtype=bool), np.zeros(len(times), dtype=bool)
    speeds = tracked_at(speed(recording.position), times)[:, 0]
    untracked = np.isnan(speeds)
    return untracked, ~untracked & (np.nan_to_num(speeds) < slowest)
