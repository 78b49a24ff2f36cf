"""Figures of the inspection of a run."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from riemod import plotting
from riemod.inspection.coordinates import Coordinates, angles_of_places
from riemod.inspection.navigation import NavigationArena
from riemod.inspection.states import Sample
from riemod.manifolds import Euclidean
from riemod.topology import ModuliRecovery
from riemod.training import Run

_TOGETHER = "analysis"
_PANELS = ("diagram", "barcode", "states", "states_2", "arena", "arena_2", "points")
NAMES = tuple(f"{name}.png" for name in (*_PANELS, _TOGETHER))
# With more points in an arena they would hide each other.
_MOST_PLACES = 1000

Draw = Callable[[plotting.Axes], None]


def draw_figures(
    out: Path,
    run: Run,
    sample: Sample,
    recovery: ModuliRecovery,
    arena: NavigationArena | None,
    coordinates: Coordinates | None,
    places: Tensor | None,
) -> list[Path]:
    """Draw bars, states, positions and the points of the run, each as its own PNG file, and all in one more.

    Args:
        out: folder of the files.
        run: its points are drawn, if it has any.
        sample: the states.
        recovery: fitted to the states.
        arena: of navigation, else None.
        coordinates: recovered angles, if any.
        places: (n, c), where each unit is most active, for navigation.

    Returns:
        The files written.
    """
    diagrams, floors = recovery.bars_.diagrams[2], recovery.floors_
    panels: dict[str, Draw] = {
        "diagram": _titled(
            partial(plotting.plot_persistence_diagram, diagrams, floors), "bars; shaded: no longer than the nulls'"
        ),
        "barcode": _titled(
            partial(plotting.plot_barcode, diagrams, floors), "longest bars; gray: no longer than the nulls'"
        ),
    }
    states = sample.states.double().numpy()
    shown = slice(sample.half, sample.half + _MOST_PLACES)
    angles = None if coordinates is None else coordinates.angles
    if angles is not None:
        for index, (angle, suffix) in enumerate(zip(angles.T, ("", "_2"), strict=False), 1):
            title = f"hidden states by recovered angle {index}"
            panels[f"states{suffix}"] = _titled(partial(plotting.plot_states, states, angle), title)
            if arena is not None and sample.positions is not None:
                draw = partial(plotting.plot_points, sample.positions[shown], arena.manifold, angle[shown])
                panels[f"arena{suffix}"] = _titled(draw, f"positions by recovered angle {index}")
    elif arena is not None and sample.positions is not None:
        colors, by = _colors_of_places(arena, sample.positions)
        panels["states"] = _titled(partial(plotting.plot_states, states, colors), f"hidden states by {by}")
        draw = partial(plotting.plot_points, sample.positions[shown], arena.manifold, colors[shown])
        panels["arena"] = _titled(draw, "positions in these colors")
    else:
        panels["states"] = _titled(partial(plotting.plot_states, states, None), "hidden states")
    embeddings = [] if run.moduli is None else run.moduli.layer_embeddings(0)
    if len(embeddings) == 1 and plotting.has_picture(embeddings[0].manifold):
        points, manifold = embeddings[0].points.detach().cpu(), embeddings[0].manifold
        kept, colors, by = torch.ones(len(points), dtype=torch.bool), None, ""
        if arena is not None and places is not None:
            kept = places.isfinite().all(1)
            colors, by = _colors_of_places(arena, places[kept])
            by = f" by preferred {by}"
        draw = partial(plotting.plot_points, points[kept], manifold, colors)
        panels["points"] = _titled(draw, f"points of the units{by}")
    return plotting.save_panels(panels, out, together=_TOGETHER)


def _titled(draw: Callable[..., plotting.Axes], title: str) -> Draw:
    def panel(ax: plotting.Axes) -> None:
        draw(ax=ax).set_title(title)

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
