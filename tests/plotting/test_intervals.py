"""Dot plots of suites: what is drawn where."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from riemod.plotting import Dots, draw_intervals, plot_intervals

NONE = Dots("none", (1.0, 2.0, 3.0), (1.2, 2.8), control=True)
TORUS = Dots("torus", (1.5, 1.6), (math.nan, math.nan), paper=(1.1, 4.0), fair=True)
NOTHING = (math.nan, math.nan)


def points(ax: object, marker: str) -> list[tuple[float, float]]:
    """The places of the marks of one kind."""
    lines = [line for line in ax.lines if line.get_marker() == marker]  # pyright: ignore[reportAttributeAccessIssue]
    return [tuple(map(float, xy)) for line in lines for xy in np.asarray(line.get_xydata())]


def test_means_runs_interval_and_paper_stand_in_their_line() -> None:
    ax = plot_intervals([NONE, TORUS], "RMSE", Figure().subplots())
    assert points(ax, "D") == [(2.0, 0.0)]
    assert points(ax, "^") == [(1.1, 1.0), (4.0, 1.0)]
    dots = points(ax, "o")
    assert [x for x, y in dots if y == 1.0] == [pytest.approx(1.55)]
    assert [x for x, y in dots if 0 < y < 0.5] == [1.0, 2.0, 3.0]
    intervals = [line.get_xdata() for line in ax.lines if line.get_linestyle() == "-" and len(line.get_xydata()) == 2]
    np.testing.assert_allclose(intervals, [[1.2, 2.8]])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["none", "torus"]
    assert ax.get_xlabel() == "RMSE"
    assert ax.get_ylim() == (1.5, -0.5)


@pytest.mark.parametrize(
    ("values", "scale"), [((0.01, 0.4), "log"), ((1.0, 5.0), "linear"), ((0.0, 9.0), "linear"), ((-1.0, 9.0), "linear")]
)
def test_wide_ranges_get_a_logarithmic_axis(values: tuple[float, ...], scale: str) -> None:
    assert plot_intervals([Dots("a", values, NOTHING)], "x", Figure().subplots()).get_xscale() == scale


def test_panels_share_an_axis_and_the_legend_names_what_is_there() -> None:
    figure = draw_intervals({"0 %": [NONE], "90 %": [NONE, TORUS]}, "RMSE", "Adding")
    first, second = figure.axes
    assert first.get_xlim() == second.get_xlim()
    assert (first.get_title("left"), second.get_title("left")) == ("0 %", "90 %")
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["one run", "mean, 95 % interval", "control", "paper, a fair target"]
    unfair = draw_intervals({"": [TORUS._replace(fair=False)]}, "RMSE", "")
    assert "paper, no fair target" in [text.get_text() for text in unfair.legends[0].get_texts()]


def test_bad_lines_are_refused() -> None:
    with pytest.raises(ValueError, match="lines must hold at least one line, got none"):
        plot_intervals([], "x")
    with pytest.raises(ValueError, match="values of 'a' must be finite numbers, at least one"):
        plot_intervals([Dots("a", (), NOTHING)], "x")
    with pytest.raises(ValueError, match="paper of 'a' must be finite numbers"):
        plot_intervals([Dots("a", (1.0,), NOTHING, paper=(math.inf,))], "x")
    with pytest.raises(TypeError, match="lines must be a list of Dots, got tuple"):
        plot_intervals([("a", (1.0,))], "x")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="panels must hold at least one panel, got none"):
        draw_intervals({}, "x", "t")
