"""The figure of a frontier: its lines hold the means, its axes fit the costs, and wrong points are refused."""

import numpy as np
import pytest

from riemod.plotting import FrontierPoint, draw_frontier

COSTS = {"bytes": "kB", "seconds": "ms"}
POINTS = [
    FrontierPoint("dense", "8", [0.4, 0.2], {"bytes": 1.0, "seconds": 2.0}, reference=True),
    FrontierPoint("dense", "16", [0.1], {"bytes": 100.0, "seconds": 3.0}, reference=True),
    FrontierPoint("pruned", "", [0.05, 0.07], {"bytes": 10.0, "seconds": 2.5}),
]


def test_lines_hold_the_means_in_the_order_of_the_points():
    figure = draw_frontier(POINTS, COSTS, "RMSE", "title")
    by_bytes, by_seconds = figure.axes
    assert (by_bytes.get_xscale(), by_seconds.get_xscale(), by_bytes.get_yscale()) == ("log", "linear", "log")
    assert (by_bytes.get_xlabel(), by_seconds.get_xlabel(), by_bytes.get_ylabel()) == ("kB", "ms", "RMSE")
    assert by_seconds.get_xlim()[0] == 0
    joined = [line for line in by_bytes.lines if line.get_linestyle() == "-"]
    np.testing.assert_allclose(joined[0].get_xydata(), [[1.0, 0.3], [100.0, 0.1]])
    np.testing.assert_allclose(joined[1].get_xydata(), [[10.0, 0.06]])
    assert [text.get_text() for text in by_bytes.texts] == ["8", "16"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dense", "pruned"]


@pytest.mark.parametrize(
    ("points", "costs", "message"),
    [
        ([], COSTS, "points must hold at least one"),
        (POINTS, {}, "costs must name at least one panel"),
        (POINTS, {"steps": "steps"}, "costs of 'dense' must have 'steps', got bytes, seconds"),
        ([POINTS[0]._replace(errors=[])], COSTS, "errors of 'dense' must be positive"),
        ([POINTS[0]._replace(errors=[0.0])], COSTS, "errors of 'dense' must be positive"),
        ([POINTS[0]._replace(costs={"bytes": -1.0, "seconds": 1.0})], COSTS, "costs of 'dense' must be positive"),
    ],
)
def test_wrong_points_are_refused(points: list[FrontierPoint], costs: dict[str, str], message: str):
    with pytest.raises(ValueError, match=message):
        draw_frontier(points, costs, "RMSE", "title")


def test_only_points_are_taken():
    with pytest.raises(TypeError, match="points must be a list of FrontierPoints"):
        draw_frontier([("dense", 1)], COSTS, "RMSE", "title")  # pyright: ignore[reportArgumentType]
