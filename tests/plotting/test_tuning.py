"""Figures of tuning show what they are given: curves by their peaks, maps with the first axis to the right."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from riemod.plotting import plot_angles, plot_rate_maps, plot_tuning_curves


def test_curves_are_in_the_order_of_their_peaks() -> None:
    rates = np.array([[0, 0, 4.0], [2, 0, 0], [0, 8, np.nan], [0, 0, 0]])
    ax = Figure().subplots()
    assert plot_tuning_curves(rates, "head direction, rad", ax) is ax
    shown = np.asarray(ax.images[0].get_array())
    np.testing.assert_array_equal(shown[:, :2], [[1, 0], [0, 0], [0, 1], [0, 0]])
    assert ax.get_xlabel() == "head direction, rad"


def test_maps_stand_upright_with_their_titles() -> None:
    one = np.zeros((4, 4))
    one[3, 0] = 5  # far along the first coordinate, at the start of the second: the lower right corner
    ax = Figure().subplots()
    assert plot_rate_maps(np.stack([one, 0 * one, np.full((4, 4), np.nan)]), ["a", "b", "c"], ax) is ax
    sheet = np.asarray(ax.images[0].get_array())
    found = np.argwhere(sheet == 1)
    assert found.tolist() == [[5, 3]]
    assert [text.get_text() for text in ax.texts] == ["a", "b", "c"]
    assert np.isnan(sheet[8:, :4]).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_angles_are_turned_and_mirrored_to_fit(sign: int) -> None:
    true = np.linspace(0.1, 6.1, 50)
    ax = Figure().subplots()
    assert plot_angles(sign * true + 2, true, ax=ax) is ax
    places = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(places[:, 0], places[:, 1])
    assert len(places) == 50


@pytest.mark.parametrize(
    ("draw", "arguments", "message"),
    [
        (plot_tuning_curves, ([[-1.0, 2]],), "rates must be finite and >= 0"),
        (plot_tuning_curves, ([1.0, 2],), r"rates must have the shape \(n, b\)"),
        (plot_rate_maps, (np.ones((2, 3)),), r"images must have the shape \(n, h, w\)"),
        (plot_rate_maps, (np.ones((2, 3, 3)), ["a"]), "titles must be as many as maps, 2, got 1"),
        (plot_rate_maps, (np.ones((0, 3, 3)),), "images must not be empty"),
        (plot_angles, ([0.1, np.nan], [0.1, 0.2]), "found and true must be"),
        (plot_angles, ([0.1, 0.2], [0.1]), "true must have the shape"),
    ],
)
def test_bad_input(draw: object, arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(*arguments)  # type: ignore[operator]
