"""Figures of the inspection of a run."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from riemod import plotting
from riemod.alignment import distance_matrix
from riemod.inspection.coordinates import Coordinates, angles_of_places
from riemod.inspection.navigation import NavigationArena, Tuning
from riemod.inspection.points import Points
from riemod.inspection.states import Sample
from riemod.manifolds import Euclidean, Sphere
from riemod.topology import ModuliRecovery

_TOGETHER = "analysis"
_PANELS = ("diagram", "barcode", "states", "states_2", "arena", "arena_2", "points", "points_2", "agreement")
NAMES = tuple(f"{name}.png" for name in (*_PANELS, _TOGETHER))
# With more points in an arena they would hide each other.
_MOST_PLACES = 1000

Draw = Callable[[plotting.Axes], object]


def draw_figures(
    out: Path,
    sample: Sample,
    recovery: ModuliRecovery,
    arena: NavigationArena | None,
    coordinates: Coordinates | None,
    found: Tuning | None,
    judged: Points | None,
) -> list[Path]:
    """Draw bars, states, positions and the points of the run, each as its own PNG file, and all in one more.

    Args:
        out: folder of the files.
        sample: the states.
        recovery: fitted to the states.
        arena: of navigation, else None.
        coordinates: recovered angles, if any.
        found: tuning of the units, for navigation.
        judged: points of the units, if the run has any.

    Returns:
        The files written.
    """
    diagrams, floors = recovery.bars_.diagrams[2], recovery.floors_
    panels: dict[str, Draw] = {
        "diagram": titled(
            partial(plotting.plot_persistence_diagram, diagrams, floors), "bars; shaded: no longer than the nulls'"
        ),
        "barcode": titled(
            partial(plotting.plot_barcode, diagrams, floors), "longest bars; gray: no longer than the nulls'"
        ),
    }
    states = sample.states.double().numpy()
    shown = slice(sample.half, sample.half + _MOST_PLACES)
    angles = None if coordinates is None else coordinates.angles
    if angles is not None:
        for index, (angle, suffix) in enumerate(zip(angles.T, ("", "_2"), strict=False), 1):
            title = f"hidden states by recovered angle {index}"
            panels[f"states{suffix}"] = titled(partial(plotting.plot_states, states, angle), title)
            if arena is not None and sample.positions is not None:
                draw = partial(plotting.plot_points, sample.positions[shown], arena.manifold, angle[shown])
                panels[f"arena{suffix}"] = titled(draw, f"positions by recovered angle {index}")
    elif arena is not None and sample.positions is not None:
        colors, by = _colors_of_places(arena, sample.positions)
        panels["states"] = titled(partial(plotting.plot_states, states, colors), f"hidden states by {by}")
        draw = partial(plotting.plot_points, sample.positions[shown], arena.manifold, colors[shown])
        panels["arena"] = titled(draw, "positions in these colors")
    else:
        panels["states"] = titled(partial(plotting.plot_states, states, None), "hidden states")
    if judged is not None:
        panels |= _panels_of_points(judged, arena, found)
    return plotting.save_panels(panels, out, together=_TOGETHER)


def _panels_of_points(judged: Points, arena: NavigationArena | None, found: Tuning | None) -> dict[str, Draw]:
    """Return panels of the points, colored by the preferred places of their units, and of their agreement with tuning.

    With two angles there are two panels. Geodesics lead from each unit to the one with the most similar tuning.
    """
    panels: dict[str, Draw] = {}
    manifold, points, tuning = judged.embedding.manifold, judged.points, judged.tuning
    kind = "learned points" if judged.embedding.points.requires_grad else "fixed points"
    if plotting.has_picture(manifold):
        if arena is None or found is None or tuning is None:
            every = judged.embedding.points.detach().cpu()
            return {"points": titled(partial(plotting.plot_points, every, manifold), f"{kind} of the units")}
        apart = tuning + np.diag(np.full(len(tuning), np.inf))
        partners = points[torch.from_numpy(apart.argmin(axis=1))]
        angles = _colors_of_units(arena, found.places[torch.from_numpy(judged.kept)])
        for (colors, by), suffix in zip(angles, ("", "_2"), strict=False):

            def draw(ax: plotting.Axes, colors: np.ndarray = colors) -> plotting.Axes:
                plotting.plot_geodesics(points, partners, manifold, ax=ax)
                return plotting.plot_points(points, manifold, colors, ax=ax)

            title = f"{kind} by preferred {by}\nlines: geodesics to the unit of most similar tuning"
            panels[f"points{suffix}"] = titled(draw, title)
    if tuning is not None and "tuning" in judged.record["agreement"]["with"]:
        test = judged.record["agreement"]["with"]["tuning"]
        title = f"agreement with tuning: {test['rank_correlation']:.2f}, p = {test['p_value']:.2g}"
        distances = distance_matrix(points, manifold)
        panels["agreement"] = titled(partial(plotting.plot_agreement, distances, tuning), title)
    return panels


def _colors_of_units(arena: NavigationArena, places: Tensor) -> list[tuple[np.ndarray, str]]:
    """Return the colors of places, one set for each angle of the arena, and the name of what they show."""
    angles = None if isinstance(arena.manifold, Euclidean) else angles_of_places(arena, places)
    if angles is not None and angles.shape[1] > 1:
        return [(angle, f"{name} angle") for angle, name in zip(angles.T, ("first", "second"), strict=False)]
    if isinstance(arena.manifold, Sphere) and arena.manifold.dim == 2:
        return [(plotting.sphere_colors(places), "place (hue: longitude, lightness: latitude)")]
    return [_colors_of_places(arena, places)]


def titled(draw: Callable[..., object], title: str) -> Draw:
    """Return a panel that draws by a function of `ax`, with a title above it.

    Args:
        draw: takes `ax` and returns it.
        title: of the panel.
    """

    def panel(ax: plotting.Axes) -> None:
        draw(ax=ax)
        ax.set_title(title)

    return panel


def _colors_of_places(arena: NavigationArena, places: Tensor) -> tuple[np.ndarray, str]:
    """Return colors of places, and the name of what they show."""
    if isinstance(arena.manifold, Euclidean):
        return plotting.position_colors(places, arena.manifold.side), "position"
    angles = angles_of_places(arena, places)
    if angles is None:
        x = places.double().numpy()
        return np.arctan2(x[:, 1], x[:, 0]), "longitude"
    return angles[:, 0], "first angle"
