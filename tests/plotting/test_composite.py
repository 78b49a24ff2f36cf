"""Figures of several panels: their size in print, their letters, and a clear error for a panel that is missing."""

from pathlib import Path

import matplotlib as mpl
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
    rows = (("wide", "wide"), ("left", "right"))
    file = save_composite({"wide": keep, "left": keep, "right": keep}, rows, tmp_path / "new" / "all.png", (3.0, 2.0))
    assert np.asarray(mpl.image.imread(file)).shape[:2] == (600, 900)
    assert [ax.texts[-1].get_text() for ax in drawn.values()] == ["a", "b", "c"]
    first, second, _ = (ax.get_position() for ax in drawn.values())
    assert first.width > 1.5 * second.width
    assert dict(mpl.rcParams) == before


def test_panels_and_rows_must_name_the_same(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rows must name each of the panels \['one', 'two'\], got \['one'\]"):
        save_composite({"one": line, "two": line}, (("one",),), tmp_path / "all.png", (3.0, 2.0))
    assert not list(tmp_path.iterdir())
