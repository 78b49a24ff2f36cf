"""The study of alignment over training: its moments, its table and its figure."""

from pathlib import Path

import pytest
import torch

from analysis import alignment_over_training as study
from analysis import small_nets
from riemod.tasks.navigation import Navigation
from tests.analysis.test_small_nets import small


def test_moments_are_recorded_and_tabulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "PERMUTATIONS", 9)
    monkeypatch.setattr(study, "BASELINE", 3)
    monkeypatch.setattr(study, "MOMENTS", (0.0, 0.5, 1.0))
    file = tmp_path / "records.jsonl"
    small_rows = {"hidden_size": 16, "epochs": 2, "tail_epochs": 1, "batches_per_epoch": 5, "evaluation_batches": 1}
    cases: list[small_nets.Case] = [("torus", 0), ("torus", 1)]
    small_nets.run_missing(file, study.NAMES, cases, lambda *case: study.rows(*case, **small_rows))
    found = small_nets.read(file)
    assert [(row["seed"], row["step"]) for row in found] == [(seed, step) for seed in (0, 1) for step in (0, 5, 10)]
    assert all(row[pair] <= 1 and 0.1 <= row[f"{pair} p"] <= 1 for row in found for pair in study.PAIRS)
    before = file.read_bytes()
    small_nets.run_missing(file, study.NAMES, cases, lambda *case: study.rows(*case, **small_rows))
    assert file.read_bytes() == before
    table = study.tables(found)
    assert "| torus | 5 | 2 |" in table
    assert "±" in table
    assert study.tables([]) == "no records of alignment_over_training"
    study.figure(found, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


def test_a_geometry_agrees_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "PERMUTATIONS", 19)
    monkeypatch.setattr(study, "BASELINE", 19)
    task = Navigation(small("sphere", hidden_size=20))
    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    apart = torch.cdist(points, points)
    found = study.agreements(task, small_nets.fresh(task), {"points": apart, "co-activity": 2 * apart})
    assert found["points, co-activity"] == pytest.approx(1)
    assert found["points, co-activity rank"] == pytest.approx(1)
    assert found["points, co-activity p"] == 0.05
    assert found["points, co-activity baseline"] < 0.5
