"""Figures of several panels: their size in print, their letters, and a clear error for a panel that is missing."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest

from riemod.plotting import Axes, save_composite


def line(ax: Axes) -> None:
    ax.plot([0, 1], [1, 0])


def test_a_composite_has_its_size_and_a_letter_for_each_panel(tmp_path: Path) -> None:
    drawn: dict[str, Axes] = {}

    def keep(ax: Axes) -> None:
        drawn[f"panel {len(drawn)}"] = ax
        line(ax)

    before = dict(mpl.rcParams)
    panels, rows = dict.fromkeys(("wide", "left", "right"), keep), ({"wide": 1}, {"left": 2, "right": 1})
    file = save_composite(panels, rows, tmp_path / "new" / "all.png", (3.0, 2.0), heights=(1, 2))
    assert np.asarray(matplotlib.image.imread(file)).shape[:2] == (600, 900)
    assert [ax.texts[-1].get_text() for ax in drawn.values()] == ["a", "b", "c"]
    (_, left, right), boxes = drawn.values(), [ax.get_window_extent() for ax in drawn.values()]
    assert boxes[1].width > 1.5 * boxes[2].width > boxes[0].width / 8
    assert left.bbox.height == pytest.approx(right.bbox.height)
    assert boxes[1].height > 1.5 * boxes[0].height
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("rows", "heights", "message"),
    [
        ([{"one": 1}], None, r"rows must name each of the panels \['one', 'two'\] once, got \['one'\]"),
        ([{"one": 1, "two": 1}, {"two": 1}], None, r"once, got \['one', 'two', 'two'\]"),
        ([{"one": 1}, {"two": 1}], [1], "heights must be 2 numbers, one a row, got 1"),
    ],
)
def test_panels_rows_and_heights_must_fit(rows: Any, heights: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        save_composite({"one": line, "two": line}, rows, tmp_path / "all.png", (3.0, 2.0), heights)
    assert not list(tmp_path.iterdir())
