"""Figures of rate maps and states show what they were given."""

import numpy as np
from matplotlib.figure import Figure

from riemod.plotting import plot_rate_map, plot_states


def test_a_rate_map_has_its_first_coordinate_to_the_right():
    ax = Figure().subplots()
    image = np.array([[0.0, 1.0], [2.0, np.nan]])
    assert plot_rate_map(image, (-1.0, 1.0), "rate, 1/s", ax) is ax
    (shown,) = ax.images
    np.testing.assert_array_equal(np.ma.filled(shown.get_array(), np.nan), image.T)
    assert shown.get_extent() == [-1.0, 1.0, -1.0, 1.0]
    assert shown.get_clim() == (0, 2)
    signed = plot_rate_map(image - 0.5, (0.0, 1.0), "correlation", Figure().subplots())
    assert signed.images[0].get_clim() == (-1.5, 1.5)


def test_states_stand_on_their_principal_components():
    angles = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    ring = np.stack((np.zeros(100), 2 * np.cos(angles), np.sin(angles)), 1) + 5
    ax = plot_states(ring, angles, Figure().subplots())
    places = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(np.abs(places), np.abs(ring[:, 1:] - 5), atol=1e-9)
    assert ax.get_xlabel() == "component 1 (80 %)"
    assert ax.get_ylabel() == "component 2 (20 %)"
    np.testing.assert_array_equal(ax.collections[0].get_array(), angles)
