"""Figures of the analysis of a recording, each with the verdict in it."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from riemod import plotting
from riemod.inspection.coordinates import Coordinates
from riemod.inspection.figures import Draw, titled
from riemod.inspection.recording_maps import Maps
from riemod.manifolds import Euclidean
from riemod.recordings import Prepared
from riemod.topology import ModuliRecovery
from riemod.tuning import RateMaps, spatial_information

_TOGETHER = "analysis"
_PANELS = (
    "diagram",
    "barcode",
    "states",
    "states_2",
    "arena",
    "arena_2",
    "angles",
    "tuning",
    "maps",
    "places",
    "heading",
)
NAMES = tuple(f"{name}.png" for name in (*_PANELS, _TOGETHER))
# With more points in a panel they would hide each other.
_MOST_DOTS = 1500
_MOST_MAPS = 16


def draw_figures(
    out: Path, name: str, prepared: Prepared, recovery: ModuliRecovery, found: Coordinates | None, maps: Maps
) -> list[Path]:
    """Draw bars, points, coordinates, tuning curves and rate maps, each as its own PNG file, and all in one more.

    Args:
        out: folder of the files.
        name: of the recording.
        prepared: its points.
        recovery: fitted to the cloud.
        found: recovered coordinates, if any.
        maps: rates of the units.

    Returns:
        The files written.
    """
    diagrams, floors = recovery.bars_.diagrams[2], recovery.floors_
    verdict = verdict_line(recovery)
    panels: dict[str, Draw] = {
        "diagram": titled(
            partial(plotting.plot_persistence_diagram, diagrams, floors),
            f"{name}: {verdict}\nbars; shaded: no longer than the nulls'",
        ),
        "barcode": titled(
            partial(plotting.plot_barcode, diagrams, floors),
            f"{verdict}\nlongest bars; gray: no longer than the nulls'",
        ),
    }
    angles = None if found is None else found.angles
    some = _some(np.arange(len(prepared.drawn)))
    cloud = prepared.cloud[some]
    if angles is None:
        panels["states"] = titled(partial(plotting.plot_states, cloud, None), "population activity")
    else:
        for index, (angle, suffix) in enumerate(zip(angles.T, ("", "_2"), strict=False), 1):
            which = "recovered angle" if angles.shape[1] == 1 else f"recovered angle {index}"
            colors = angle[prepared.drawn][some]
            panels[f"states{suffix}"] = titled(partial(plotting.plot_states, cloud, colors), f"activity by {which}")
            if prepared.position is not None and prepared.position.shape[1] == 2:
                panels[f"arena{suffix}"] = titled(_places(prepared.position, angle), f"places by {which}")
    panels |= _tuning(prepared, found, maps)
    return plotting.save_panels(panels, out, together=_TOGETHER)


def verdict_line(recovery: ModuliRecovery) -> str:
    """Return the verdict with its p-values on one line.

    Args:
        recovery: fitted.
    """
    p = recovery.p_values_
    return f"{recovery.manifold_}, p = {p[1]:.2g} (loops), {p[2]:.2g} (voids)"


def _tuning(prepared: Prepared, found: Coordinates | None, maps: Maps) -> dict[str, Draw]:
    """Return the panels of tuning curves and rate maps, over recovered coordinates and over what was tracked."""
    panels: dict[str, Draw] = {}
    angles = None if found is None else found.angles
    if angles is not None and angles.shape[1] == 1 and prepared.heading is not None:
        known = np.isfinite(prepared.heading)
        draw = partial(plotting.plot_angles, angles[known, 0], prepared.heading[known], "head direction, rad")
        title = "recovered angle against head direction"
        if found is not None and found.correlations is not None:
            title += f"\ncircular correlation {found.correlations[0]:.2f}, in time that was not fitted"
        panels["angles"] = titled(draw, title)
    over = maps.angles
    if over is not None and len(over.bins.shape) == 1:
        draw = partial(plotting.plot_tuning_curves, over.rates, "recovered angle, rad")
        panels["tuning"] = titled(draw, "tuning curves by recovered angle")
    chosen = _best(over if over is not None and len(over.bins.shape) == 2 else maps.places)
    if over is not None and len(over.bins.shape) == 2:
        draw = _sheet(over, chosen, prepared.units)
        panels["maps"] = titled(draw, "rate maps by recovered angles\n1 to the right, 2 up, 0 to 2π rad")
    if maps.places is not None and len(maps.places.bins.shape) == 2:
        panels["places"] = titled(
            _sheet(maps.places, chosen, prepared.units), "rate maps of the arena\nx to the right, y up"
        )
    if maps.heading is not None and "maps" not in panels:
        draw = partial(plotting.plot_tuning_curves, maps.heading.rates, "head direction, rad")
        panels["heading"] = titled(draw, "tuning curves by head direction")
    return panels


def _best(maps: RateMaps | None) -> np.ndarray:
    """Return the units whose maps say most of a place, at most 16, in their own order."""
    if maps is None:
        return np.zeros(0, dtype=int)
    active = np.flatnonzero(np.nanmax(maps.rates, axis=1) > 0)
    order = np.argsort(-spatial_information(maps.only(active)), kind="stable")
    return np.sort(active[order[:_MOST_MAPS]])


def _sheet(maps: RateMaps, chosen: np.ndarray, units: tuple[str, ...]) -> Draw:
    peaks = np.nanmax(maps.rates[chosen], axis=1)
    titles = [f"{units[unit]}: {peak:.3g}" for unit, peak in zip(chosen, peaks, strict=True)]

    def draw(ax: plotting.Axes) -> plotting.Axes:
        plotting.plot_rate_maps(maps.images[chosen], titles, ax)
        ax.text(0, -0.02, "above each map: unit and peak rate", transform=ax.transAxes, va="top", fontsize="x-small")
        return ax

    return draw


def _places(position: np.ndarray, angle: np.ndarray) -> Draw:
    known = _some(np.flatnonzero(np.isfinite(position).all(axis=1)))
    low, high = np.nanmin(position, axis=0), np.nanmax(position, axis=0)
    side = float((high - low).max()) or 1.0
    centered = torch.from_numpy(position[known] - (low + high) / 2)

    def draw(ax: plotting.Axes) -> None:
        plotting.plot_points(centered, Euclidean(2, side=side), angle[known], ax)
        ax.set(xlabel="x, m", ylabel="y, m")

    return draw


def _some(indices: np.ndarray) -> np.ndarray:
    return indices[np.linspace(0, len(indices) - 1, min(len(indices), _MOST_DOTS)).round().astype(int)]
