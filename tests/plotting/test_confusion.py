"""The confusion matrix shows every count where it belongs."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from riemod.plotting import plot_confusion

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
