"""The study of confusion: what it counts, and one small net of each kind of states."""

from pathlib import Path

import numpy as np
import pytest

from analysis import confusion, small_nets
from riemod.tasks.navigation import Navigation, NavigationConfig


def row(arena: str, seed: int, control: str, manifold: str) -> small_nets.Row:
    numbers = {"error": 2.0 + seed, "error floor": 1.0, "likelihood": 0.5, "likelihood floor": 0.25, "still": 9.0}
    angles = [0.99, 0.9] if arena == "torus" and control == "trained" else []
    names = {"arena": arena, "seed": seed, "control": control, "manifold": manifold}
    return {**names, **numbers, "circular correlations": angles}


ROWS = [
    row("torus", 0, "trained", "torus"),
    row("torus", 1, "trained", "undecided"),
    row("klein", 0, "trained", "circle"),
    row("klein", 0, "untrained", "undecided"),
    row("klein", 0, "shuffled", "torus"),
]


def test_table_counts_right_wrong_and_false_verdicts() -> None:
    text = confusion.table(ROWS)
    assert "Trained: 1 of 3 right, 1 wrong, the others undecided. Controls: 1 of 2 called a closed manifold." in text
    assert "| trained | torus |  |  | 1 |  |  | 1 |" in text
    assert "0.945 (0.900)" in text
    np.testing.assert_array_equal(confusion.counts(ROWS, "trained").sum(axis=1), [0, 0, 2, 0, 1])


def test_figure_is_drawn(tmp_path: Path) -> None:
    confusion.draw(ROWS, tmp_path / "new" / "confusion.png")
    assert (tmp_path / "new" / "confusion.png").stat().st_size > 5000


def test_a_net_and_its_controls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = Navigation.presets["cpu-circle"]
    assert isinstance(preset, NavigationConfig)
    short = preset.replace(
        epochs=2, dense_epochs=0, tail_epochs=1, batches_per_epoch=2, evaluation_batches=1, hidden_size=16
    )
    monkeypatch.setitem(Navigation.presets, "cpu-circle", short)
    monkeypatch.setattr(confusion, "WALKS", 120)
    found = {control: confusion.row_of("circle", 3, control, tmp_path, 1) for control in confusion.CONTROLS}
    assert (tmp_path / "circle-seed3" / "record.json").is_file()
    assert all(each["manifold"] in confusion.VERDICTS for each in found.values())
    assert len(found["trained"]["circular correlations"]) == 1
    run = confusion.finished_run("circle", 3, tmp_path)
    states = {control: confusion.states_of(run, control)[0] for control in confusion.CONTROLS}
    assert not np.array_equal(states["untrained"], states["trained"])
    np.testing.assert_array_equal(np.sort(states["shuffled"], axis=0), np.sort(states["trained"], axis=0))
    assert not np.array_equal(states["shuffled"], states["trained"])
