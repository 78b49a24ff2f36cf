"""The figure of states shows their principal components."""

import numpy as np
from matplotlib.figure import Figure

from riemod.plotting import plot_states


def test_states_stand_on_their_principal_components():
    angles = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    ring = np.stack((np.zeros(100), 2 * np.cos(angles), np.sin(angles)), 1) + 5
    ax = plot_states(ring, angles, Figure().subplots())
    places = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(np.abs(places), np.abs(ring[:, 1:] - 5), atol=1e-9)
    assert ax.get_xlabel() == "component 1 (80 %)"
    assert ax.get_ylabel() == "component 2 (20 %)"
    np.testing.assert_array_equal(ax.collections[0].get_array(), angles)
