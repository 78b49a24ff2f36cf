"""Figures of neurons on their manifold: colors, marks and what is refused."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from riemod.manifolds import Euclidean, Torus
from riemod.plotting import plot_joined_neurons, plot_neuron_values

TORUS = Torus(2, period=10.0)
POINTS = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])


def lightness(colors: np.ndarray) -> np.ndarray:
    return colors[:, :3] @ np.array([0.299, 0.587, 0.114])


def test_numbers_of_one_sign_get_lighter_and_the_neuron_is_a_star() -> None:
    ax = plot_neuron_values(POINTS, TORUS, [9.0, 1.0, 2.0, 3.0], "cost", neuron=0, ax=Figure().subplots())
    (marks,) = ax.collections
    np.testing.assert_allclose(marks.get_offsets(), POINTS[1:])
    assert (np.diff(lightness(marks.get_facecolor())) > 0).all()
    (star,) = ax.lines
    assert (star.get_marker(), star.get_xydata().tolist()) == ("*", [[1.0, 2.0]])
    bar = ax.figure.axes[-1]
    assert bar.get_ylabel() == "cost"
    assert bar.get_ylim() == (1.0, 9.0)


def test_numbers_of_both_signs_meet_at_zero() -> None:
    ax = plot_neuron_values(POINTS, TORUS, [-1.0, 0.0, 0.5, 3.0], "weight", ax=Figure().subplots())
    assert ax.figure.axes[-1].get_ylim() == (-3.0, 3.0)
    below, zero, _, above = ax.collections[0].get_facecolor()[:, :3]
    assert zero.min() > 0.95
    assert not np.allclose(below, above, atol=0.2)


def test_joined_neurons_are_drawn_above_the_others() -> None:
    ax = plot_joined_neurons(POINTS, TORUS, 3, [0, 2], ax=Figure().subplots())
    (marks,) = ax.collections
    np.testing.assert_allclose(marks.get_offsets()[-2:], POINTS[[0, 2]])
    colors = marks.get_facecolor()[:, :3]
    np.testing.assert_allclose(colors[2], colors[3])
    assert np.ptp(colors[0]) == 0
    assert ax.lines[0].get_xydata().tolist() == [[7.0, 8.0]]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"values must have the shape \(4\), got \(2,\)|values must have the shape"):
        plot_neuron_values(POINTS, TORUS, [1.0, 2.0], "x")
    with pytest.raises(ValueError, match="values must be finite"):
        plot_neuron_values(POINTS, TORUS, [1.0, 2.0, 3.0, np.nan], "x")
    with pytest.raises(ValueError, match="neuron must be an integer from 0 to 3, got 4"):
        plot_joined_neurons(POINTS, TORUS, 4, [0])
    with pytest.raises(ValueError, match="joined must be some of the indices 0 to 3"):
        plot_joined_neurons(POINTS, TORUS, 0, [9])
    with pytest.raises((TypeError, ValueError), match="manifold"):
        plot_neuron_values(torch.rand(4, 3), Euclidean(3), [1.0, 2.0, 3.0, 4.0], "x")
