"""Figures of topology show what they are given: bars, verdicts and states."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from riemod.plotting import plot_barcode, plot_confusion, plot_persistence_diagram, plot_states

DIAGRAMS = [
    np.array([[0.0, 1.0], [0.0, np.inf]]),
    np.array([[0.5, 0.6], [0.5, 2.0], [0.4, 0.5]]),
    np.empty((0, 2)),
]


def test_diagram_shows_every_class_and_a_band_a_floor() -> None:
    ax = Figure().subplots()
    assert plot_persistence_diagram(DIAGRAMS, {1: 2.5}, ax) is ax
    assert sum(len(np.asarray(marks.get_offsets())) for marks in ax.collections) == 5
    assert len(ax.patches) == 1
    line = ax.lines[-1].get_xydata()
    assert isinstance(line, np.ndarray)
    assert line[1, 1] / line[1, 0] == pytest.approx(2.5)


def test_barcode_shows_the_longest_bars() -> None:
    ax = Figure().subplots()
    assert plot_barcode(DIAGRAMS, {1: 2.5, 2: 1.3}, most=2, ax=ax) is ax
    spans = [tuple(np.asarray(line.get_xdata()).tolist()) for line in ax.lines]
    assert spans == [(0.5, 2.0), (0.5, 1.25), (0.4, 0.5), (0.4, 0.5)]


def test_empty_diagrams_can_be_drawn() -> None:
    empty = [np.empty((0, 2))] * 3
    plot_persistence_diagram(empty, None, Figure().subplots())
    plot_barcode(empty, None, ax=Figure().subplots())


COUNTS = np.array([[5, 0, 0], [1, 3, 1]])


def test_counts_stand_in_their_cells() -> None:
    ax = Figure().subplots()
    assert plot_confusion(COUNTS, ["box", "circle"], ["contractible", "circle", "undecided"], ax) is ax
    cells = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in ax.texts}
    assert cells == {place: str(count) for place, count in np.ndenumerate(COUNTS)}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["contractible", "circle", "undecided"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["box", "circle"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("verdict", "arena")
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), [[1, 0, 0], [0.2, 0.6, 0.2]])


def test_an_arena_without_runs_is_blank() -> None:
    ax = plot_confusion(np.zeros((1, 2), dtype=int), ["box"], ["circle", "torus"], Figure().subplots())
    np.testing.assert_array_equal(np.asarray(ax.images[0].get_array()), 0)


def test_names_must_match() -> None:
    with pytest.raises(ValueError, match=r"counts must have the shape \(1, 3\) of the names, got \(2, 3\)"):
        plot_confusion(COUNTS, ["box"], ["contractible", "circle", "undecided"], Figure().subplots())


def test_states_stand_on_their_principal_components():
    angles = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    ring = np.stack((np.zeros(100), 2 * np.cos(angles), np.sin(angles)), 1) + 5
    ax = plot_states(ring, angles, Figure().subplots())
    places = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(np.abs(places), np.abs(ring[:, 1:] - 5), atol=1e-9)
    assert ax.get_xlabel() == "component 1 (80 %)"
    assert ax.get_ylabel() == "component 2 (20 %)"
    np.testing.assert_array_equal(ax.collections[0].get_array(), angles)


def test_a_bar_that_never_dies_has_an_arrow_beyond_all_others() -> None:
    ax = plot_barcode([np.empty((0, 2)), np.array([[0.5, np.inf], [0.4, 2.0]])], {1: 2.5}, ax=Figure().subplots())
    spans = [tuple(np.asarray(line.get_xdata()).tolist()) for line in ax.lines]
    assert spans == [(0.5, 2.4), (2.4,), (0.5, 1.25), (0.4, 2.0), (0.4, 1.0)]
