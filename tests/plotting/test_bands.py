"""Curves with quartile bands: medians, quartiles, scales, and what is refused."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from riemod.plotting import Curve, plot_bands

VALUES = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, np.nan]])
CURVE = Curve(np.array([0.0, 1.0]), VALUES)


def test_lines_are_medians_and_bands_reach_from_quartile_to_quartile() -> None:
    ax = plot_bands({"none": CURVE}, "epoch", "RMSE", Figure().subplots())
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_xydata(), [[0, 3], [1, 20]])
    edges = np.asarray(ax.collections[0].get_paths()[0].vertices)
    at_zero, at_one = (set(edges[edges[:, 0] == x, 1].round(6)) for x in (0, 1))
    assert at_zero == {1.75, 5.0}
    assert at_one == {15.0, 30.0}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["none"]


def test_wide_ranges_are_logarithmic_and_arms_differ_in_dash() -> None:
    strengths = Curve(np.array([1e-4, 1e-3, 1e-2]), np.ones((2, 3)))
    ax = plot_bands({"a": strengths, "b": strengths}, "strength", "RMSE", Figure().subplots())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({}, "curves must hold at least one curve, got none"),
        ({"a": CURVE._replace(places=np.array([1.0, 0.0]))}, r"curves\['a'\]: places must be finite and rise"),
        ({"a": CURVE._replace(values=np.full((2, 2), np.nan))}, r"curves\['a'\]: values must be finite"),
        ({"a": CURVE._replace(values=np.ones((2, 3)))}, r"curves\['a'\]: values must have the shape \(runs, 2\)"),
    ],
)
def test_bad_curves_are_refused(curves: dict[str, Curve], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_bands(curves, "x", "y")
