"""The view of a net's units on their manifold: it turns, and a unit that is pointed at shows its tuning and weights."""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from plotly import graph_objects as go

from riemod.inspection.coordinates import angles_of_places
from riemod.inspection.navigation import NavigationArena
from riemod.inspection.stored import Arrays
from riemod.manifolds import Euclidean, Sphere
from riemod.report.net import Net, strongest
from riemod.report.space import in_space
from riemod.report.style import AMOUNT, ANGLE, MESH, PLACE, REFERENCE

__all__ = ["Coloring", "UnitView", "states_view", "unit_view"]

# A unit's strongest weights that are listed, in each direction.
_PARTNERS = 5
_UNVISITED, _HIGHEST = 255, 254
_GAP = {"l": 0, "r": 0, "t": 0, "b": 56}


@dataclass(frozen=True)
class Coloring:
    """Holds one way to color points."""

    name: str
    values: np.ndarray
    """(n,), NaN for points without one, which are gray."""
    scale: str
    bounds: tuple[float, float] | None
    """None for the least and the largest value."""
    unit: str = ""

    def marker(self) -> dict[str, Any]:
        """Return what plotly needs to know of it."""
        known = self.values[np.isfinite(self.values)]
        low, high = self.bounds or ((float(known.min()), float(known.max())) if known.size else (0.0, 1.0))
        values = [round(float(one), 5) if np.isfinite(one) else REFERENCE for one in self.values]
        return {"name": self.name, "values": values, "scale": self.scale, "low": low, "high": high, "unit": self.unit}


@dataclass(frozen=True)
class UnitView:
    """Holds a figure that turns, and what a page needs to answer when a unit is chosen."""

    figure: go.Figure
    caption: str
    data: dict[str, Any]
    """JSON-ready: ways to color, and for units their strongest weights and tuning."""


def unit_view(net: Net, arena: NavigationArena | None, arrays: Arrays | None) -> UnitView:
    """Draw the points of a net's units, with the tuning and the strongest weights of each.

    Args:
        net: with points.
        arena: of navigation, else None.
        arrays: of the analysis, with the tuning, if there is one.
    """
    assert net.points is not None
    assert net.manifold is not None
    space = in_space(net.points, net.manifold)
    colorings = [*_by_tuning(len(net.weight), arena, arrays), _by_weight(net)]
    figure = _scene(space.points, space.lines, colorings[0], 5, 1.05, "unit %{customdata}<extra></extra>")
    figure.add_scatter3d(x=[], y=[], z=[], mode="lines", line={"width": 4, "color": "#D55E00"}, hoverinfo="skip")
    figure.add_scatter3d(x=[], y=[], z=[], mode="lines", line={"width": 4, "color": "#0072B2"}, hoverinfo="skip")
    chosen = {"size": 11, "symbol": "circle-open", "color": "#D55E00", "line": {"width": 3}}
    figure.add_scatter3d(x=[], y=[], z=[], mode="markers", marker=chosen, hoverinfo="skip")
    incoming, outgoing = strongest(net.weight, _PARTNERS), strongest(net.weight.T, _PARTNERS)
    data = {
        "points": _rounded(space.points),
        "colorings": [coloring.marker() for coloring in colorings],
        "incoming": {"units": incoming.units.tolist(), "weights": _rounded(incoming.weights)},
        "outgoing": {"units": outgoing.units.tolist(), "weights": _rounded(outgoing.weights)},
        "tuning": None if arena is None or arrays is None else _tuning(arena, arrays),
    }
    return UnitView(figure, space.caption, data)


def states_view(arrays: Arrays) -> UnitView:
    """Draw hidden states along their first three principal components, in the colors of the recovered angles.

    Args:
        arrays: of the analysis.
    """
    count = len(arrays.states)
    points = np.pad(arrays.states.astype(float), ((0, 0), (0, 3 - arrays.states.shape[1])))
    turns = [] if arrays.angles is None else list(np.mod(arrays.angles.T.astype(float), 2 * np.pi))
    names = ["recovered angle"] if len(turns) == 1 else ["first recovered angle", "second recovered angle"]
    colorings = [
        Coloring(name, angle, ANGLE, (0.0, 2 * np.pi), "rad") for name, angle in zip(names, turns, strict=False)
    ]
    colorings = colorings or [Coloring("first component", points[:, 0], AMOUNT, None)]
    figure = _scene(points, np.empty((0, 3)), colorings[0], 2.5, 0.9, "%{marker.color:.3g}<extra></extra>")
    caption = (
        f"{count:,} hidden states along their first three principal components, which hold "
        f"{float(arrays.shares.sum()):.0%} of the variance."
    )
    return UnitView(figure, caption, {"colorings": [coloring.marker() for coloring in colorings]})


def _scene(points: np.ndarray, lines: np.ndarray, coloring: Coloring, size: float, eye: float, hover: str) -> go.Figure:
    marker, (x, y, z) = coloring.marker(), points.astype(np.float32).T
    # What is flat is seen from above.
    seen_from = (eye, eye, 0.85 * eye) if np.nanmax(np.abs(z), initial=0.0) > 0 else (0.01, -0.5 * eye, 1.6 * eye)
    figure = go.Figure(
        layout={
            "template": "none",
            "height": 460,
            "margin": _GAP,
            "showlegend": False,
            "scene": {
                "aspectmode": "data",
                "dragmode": "orbit",
                "camera": {"eye": dict(zip("xyz", seen_from, strict=True))},
            },
        }
    )
    title = {"text": _with_unit(marker["name"], marker["unit"]), "side": "bottom", "font": {"size": 12}}
    place = {"orientation": "h", "thickness": 10, "len": 0.8, "x": 0.5, "y": 0, "yanchor": "top"}
    bar = {"title": title, **place}
    figure.add_scatter3d(
        x=x,
        y=y,
        z=z,
        mode="markers",
        customdata=np.arange(len(points)),
        marker={"size": size, "color": marker["values"], "colorscale": marker["scale"], "colorbar": bar}
        | {"cmin": marker["low"], "cmax": marker["high"], "line": {"width": 0.5, "color": REFERENCE}},
        hovertemplate=hover,
    )
    if len(lines):
        x, y, z = lines.astype(np.float32).T
        style = {"width": 1.5, "color": MESH}
        figure.add_scatter3d(x=x, y=y, z=z, mode="lines", line=style, hoverinfo="skip")
    else:
        figure.add_scatter3d(x=[], y=[], z=[], mode="lines", hoverinfo="skip")
    return figure


def _by_tuning(size: int, arena: NavigationArena | None, arrays: Arrays | None) -> list[Coloring]:
    """Return colors by where units are most active, one set a coordinate of the arena; none without tuning."""
    if arena is None or arrays is None or arrays.places is None or arrays.units is None:
        return []
    places = np.full((size, arrays.places.shape[1]), np.nan)
    places[arrays.units] = arrays.places
    known = np.isfinite(places).all(axis=1)
    where = "place of most activity"
    if isinstance(arena.manifold, Euclidean):
        half = arena.manifold.side / 2
        axes = zip("xy", places.T, strict=False)
        return [Coloring(f"{where}, {axis}", values, PLACE, (-half, half), "m") for axis, values in axes]
    if isinstance(arena.manifold, Sphere) and arena.manifold.dim == 2:
        longitude = np.mod(np.arctan2(places[:, 1], places[:, 0]), 2 * np.pi)
        latitude = np.arcsin(np.clip(places[:, 2], -1, 1))
        return [
            Coloring(f"{where}, longitude", longitude, ANGLE, (0.0, 2 * np.pi), "rad"),
            Coloring(f"{where}, latitude", latitude, PLACE, (-np.pi / 2, np.pi / 2), "rad"),
        ]
    angles = angles_of_places(arena, torch.from_numpy(places[known]))
    if angles is None:
        return []
    names = [f"{where}, angle"] if angles.shape[1] == 1 else [f"{where}, {one} angle" for one in ("first", "second")]
    found = []
    for name, column in zip(names, angles.T, strict=False):
        values = np.full(size, np.nan)
        values[known] = np.mod(column, 2 * np.pi)
        found.append(Coloring(name, values, ANGLE, (0.0, 2 * np.pi), "rad"))
    return found


def _by_weight(net: Net) -> Coloring:
    others = np.abs(net.weight - np.diag(np.diag(net.weight))).sum(axis=1)
    return Coloring("sum of incoming |weights|", others, AMOUNT, None)


def _tuning(arena: NavigationArena, arrays: Arrays) -> dict[str, Any] | None:
    """Return the rate maps of the tested units, as bytes from none to the highest activity, and the bins' places."""
    if arrays.units is None or arrays.rates is None or arrays.p_values is None:
        return None
    rates = arrays.rates.astype(float)
    with np.errstate(invalid="ignore"):
        low = np.nanmin(rates, axis=1, initial=np.inf, where=np.isfinite(rates))[:, None]
        high = np.nanmax(rates, axis=1, initial=-np.inf, where=np.isfinite(rates))[:, None]
        levels = np.where(high > low, (rates - low) / np.where(high > low, high - low, 1.0), 0.0) * _HIGHEST
    bytes_of = np.where(np.isfinite(rates), np.nan_to_num(levels).round(), _UNVISITED).astype(np.uint8)
    return {
        "units": arrays.units.tolist(),
        "p_values": [round(float(p), 4) for p in arrays.p_values],
        "peaks": _rounded(np.where(np.isfinite(high), high, 0.0)[:, 0]),
        "maps": [base64.b64encode(row.tobytes()).decode() for row in bytes_of],
        "bins": _bins(arena),
    }


def _bins(arena: NavigationArena) -> dict[str, Any]:
    """Return how the page draws a rate map: as an image, along a circle, or by longitude and latitude."""
    centers, shape = arena.bins.centers.numpy(), arena.bins.shape
    if len(shape) == 2:
        axes = centers.reshape(*shape, -1)
        return {"kind": "image", "x": _rounded(axes[:, 0, 0]), "y": _rounded(axes[0, :, 1]), "unit": "m"}
    if arena.manifold.dim == 1:
        angles = angles_of_places(arena, arena.bins.centers)
        assert angles is not None
        return {"kind": "line", "x": _rounded(np.mod(angles[:, 0], 2 * np.pi)), "unit": "rad"}
    longitude, latitude = np.arctan2(centers[:, 1], centers[:, 0]), np.arcsin(np.clip(centers[:, 2], -1, 1))
    return {"kind": "globe", "x": _rounded(longitude), "y": _rounded(latitude), "unit": "rad"}


def _rounded(values: np.ndarray) -> list[Any]:
    """Return numbers with four significant digits, as a page needs no more."""
    with np.errstate(divide="ignore", invalid="ignore"):
        digits = 3 - np.floor(np.log10(np.abs(np.where(values == 0, 1.0, values))))
        scale = 10.0 ** np.nan_to_num(digits)
        rounded = np.round(values * scale) / scale
    exact = rounded.astype(object)
    exact[~np.isfinite(rounded)] = None
    return exact.tolist()


def _with_unit(name: str, unit: str) -> str:
    return f"{name}, {unit}" if unit else name
