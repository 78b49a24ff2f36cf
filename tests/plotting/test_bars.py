"""Diagrams and barcodes show what they are given."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from riemod.plotting import plot_barcode, plot_persistence_diagram

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
