"""Figures of one run: its weights in geometric order, and its bars beside those of null data."""

from typing import NamedTuple

import numpy as np
import torch
from plotly import graph_objects as go
from plotly.subplots import make_subplots

from riemod.alignment import distance_matrix
from riemod.inspection.stored import Stored
from riemod.plotting import mean_weights_by_distance
from riemod.report.net import Net
from riemod.report.style import REFERENCE, RUNS, WEIGHT
from riemod.report.text import p_value, value

__all__ = ["Matrix", "bars_of", "by_distance_of", "matrix_of"]

# A larger matrix would make a page of many megabytes, and a screen has no more dots for it.
_MOST_CELLS = 320
_MOST_UNITS, _BINS = 1000, 14
_BELOW = {"orientation": "h", "thickness": 10, "len": 0.8, "x": 0.5, "y": -0.08, "yanchor": "top"}
_HOLES = {1: "loops", 2: "voids"}
_MOST_BARS = 8


class Matrix(NamedTuple):
    """Holds the picture of a weight matrix."""

    figure: go.Figure
    caption: str


def matrix_of(net: Net) -> Matrix:
    """Draw the hidden weights in the order of the units; of more than 320 units, means over square blocks.

    Args:
        net: of a run.
    """
    ordered = net.weight[np.ix_(net.order, net.order)]
    size = len(ordered)
    block = -(-size // _MOST_CELLS)
    cells = _block_means(ordered, block)
    parts = [f"Rows are targets, columns sources, both {net.ordered_by}."]
    if net.gates > 1:
        parts.append(f"The weights of all {net.gates} gates are summed.")
    if block > 1:
        parts.append(
            f"Each cell is the mean of {block} x {block} weights: {size:,} units are too many to draw one by one."
        )
    if net.layers > 1:
        parts.append(f"The first of {net.layers} recurrent layers is shown.")
    names = [str(unit) if block == 1 else f"from {unit}" for unit in net.order[::block]]
    kept = np.abs(cells[cells != 0])
    reach = float(np.quantile(kept, 0.99)) if kept.size else 1.0
    blank = np.where(cells == 0, np.nan, cells).astype(np.float32)
    figure = go.Figure(
        go.Heatmap(
            x=names,
            y=names,
            z=blank,
            colorscale=WEIGHT,
            zmin=-reach,
            zmax=reach,
            colorbar={"title": {"text": "weight", "side": "bottom", "font": {"size": 12}}, **_BELOW},
            hovertemplate="from unit %{x} to unit %{y}: %{z:.3g}<extra></extra>",
            hoverongaps=False,
        ),
        layout={
            "template": "none",
            "height": 420,
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
            "xaxis": {"type": "category", "showticklabels": False, "ticks": "", "title": {"text": "source, in order"}}
            | {"showgrid": False, "constrain": "domain"},
            "yaxis": {"type": "category", "showticklabels": False, "ticks": "", "title": {"text": "target, in order"}}
            | {"showgrid": False, "autorange": "reversed", "scaleanchor": "x", "constrain": "domain"},
        },
    )
    return Matrix(figure, " ".join(parts))


def by_distance_of(net: Net) -> go.Figure:
    """Draw mean excitation, inhibition and weight of pairs of units by their distance on the manifold.

    Args:
        net: with points; of more than 1,000 units, 1,000 spread over the layer are taken.
    """
    assert net.points is not None
    assert net.manifold is not None
    size = len(net.weight)
    chosen = np.linspace(0, size - 1, min(size, _MOST_UNITS)).round().astype(int)
    distances = torch.from_numpy(distance_matrix(net.points[chosen], net.manifold))
    weight = torch.from_numpy(net.weight[np.ix_(chosen, chosen)])
    apart, *means = mean_weights_by_distance(weight, distances, min(_BINS, size * (size - 1)))
    figure = go.Figure(
        layout={
            "template": "none",
            "height": 420,
            "margin": {"l": 8, "r": 12, "t": 40, "b": 8},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "xaxis": {"title": {"text": "distance of two units on the manifold"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "mean weight"}, "zeroline": True},
        }
    )
    blue, orange = WEIGHT[0][1], WEIGHT[-1][1]
    for name, values, color, symbol in zip(
        ("excitation", "inhibition", "sum"),
        means,
        (orange, blue, REFERENCE),
        ("triangle-up", "triangle-down", "circle"),
        strict=True,
    ):
        figure.add_scatter(
            x=apart,
            y=values,
            name=name,
            mode="lines+markers",
            line={"color": color, "width": 2},
            marker={"symbol": symbol, "size": 7, "color": color},
            hovertemplate=f"{name} %{{y:.3g}}<br>at distance %{{x:.3g}}<extra></extra>",
        )
    return figure


def bars_of(stored: Stored) -> go.Figure:
    """Draw the longest bars of each degree, as death / birth, over the band that bars of null data reach.

    Args:
        stored: an analysis; one without arrays has its longest bar alone.
    """
    verdict = stored.record["verdict"]
    degrees = [degree for degree in (1, 2) if str(degree) in verdict["floors"]]
    titles = [_title(degree, verdict["p_values"].get(str(degree))) for degree in degrees]
    figure = make_subplots(len(degrees), 1, shared_xaxes=True, vertical_spacing=0.2, subplot_titles=titles)
    figure.update_layout(template="none", height=470, margin={"l": 8, "r": 16, "t": 28, "b": 8}, showlegend=False)
    for row, degree in enumerate(degrees, 1):
        name, floor = _HOLES[degree], verdict["floors"][str(degree)]
        ratios = _ratios(stored, degree)
        bottom, top = len(ratios) + 1.0, -1.0
        figure.add_scatter(
            x=[1, floor, floor, 1, 1],
            y=[top, top, bottom, bottom, top],
            fill="toself",
            fillcolor="rgba(128,128,128,0.25)",
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            row=row,
            col=1,
        )
        drawn = np.array([]) if stored.arrays is None else stored.arrays.nulls[degree]
        if len(drawn):
            figure.add_scatter(
                x=drawn,
                y=np.full(len(drawn), bottom - 0.7),
                mode="markers",
                marker={"symbol": "line-ns-open", "size": 9, "color": REFERENCE, "line": {"width": 1}},
                hovertemplate="longest of one null data set: %{x:.3g}<extra></extra>",
                row=row,
                col=1,
            )
        for index, ratio in enumerate(ratios):
            counted = ratio > floor
            figure.add_scatter(
                x=[1, ratio],
                y=[index, index],
                mode="lines",
                line={"width": 7, "color": RUNS[0].color if counted else REFERENCE},
                hovertemplate=f"{name[:-1]} {index + 1}: death / birth {value(ratio)}<extra></extra>",
                row=row,
                col=1,
            )
        figure.update_yaxes(range=[bottom, top], showticklabels=False, showgrid=False, zeroline=False, row=row, col=1)
    figure.update_xaxes(
        type="log", dtick="D1" if _longest(stored) > 10 else None, nticks=6, tickangle=0, zeroline=False
    )
    figure.update_xaxes(title={"text": "how long it lasts: death / birth"}, row=len(degrees), col=1)
    figure.update_annotations(font={"size": 13}, x=0, xanchor="left")
    return figure


def _title(degree: int, p: float | None) -> str:
    return f"<b>{_HOLES[degree]}</b> (degree {degree}), p = {p_value(p)}"


def _ratios(stored: Stored, degree: int) -> list[float]:
    if stored.arrays is None:
        return [stored.record["verdict"]["longest"][str(degree)]]
    bars = stored.arrays.bars[degree][:_MOST_BARS]
    return (bars[:, 1] / bars[:, 0]).tolist()


def _longest(stored: Stored) -> float:
    return max([1.0, *(ratio for degree in (1, 2) for ratio in _ratios(stored, degree))])


def _block_means(matrix: np.ndarray, block: int) -> np.ndarray:
    """Return the means over square blocks; those at the end may be smaller."""
    if block == 1:
        return matrix
    starts = np.arange(0, len(matrix), block)
    sizes = np.diff(np.append(starts, len(matrix)))
    sums = np.add.reduceat(np.add.reduceat(matrix, starts, axis=0), starts, axis=1)
    return sums / np.outer(sizes, sizes)
