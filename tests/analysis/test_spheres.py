"""Points on spheres: rows of small nets and of a finished run, and the table that they make."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis import coactivity, small_nets, spheres
from riemod.manifolds import Sphere, Torus
from riemod.regularization import NeuronEmbedding
from riemod.training import RunDescription, RunFolder, start, train
from tests.analysis.test_small_nets import SMALL, small

LARGER: dict[str, Any] = SMALL | {"hidden_size": 40}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = small_nets.config
    monkeypatch.setattr(small_nets, "config", lambda arena, seed, **changes: plain(arena, seed, **LARGER | changes))
    monkeypatch.setattr(spheres, "WALKS", 200)
    for name in ("OWN_RESTARTS", "RESTARTS"):
        monkeypatch.setattr(spheres, name, 1)
    for name in ("OWN_STEPS", "STEPS"):
        monkeypatch.setattr(spheres, name, 2)


def test_a_net_gives_a_row_for_points_of_training_and_of_afterwards() -> None:
    during, after = spheres.training_rows("circle", 0)
    assert (during["points"], after["points"]) == ("during", "after")
    assert during["ceiling tuning"] == after["ceiling tuning"]
    assert during["tuning"] != after["tuning"]
    assert 0 < during["leading 4"] <= during["leading 6"] <= 1 + 1e-6


def test_finished_runs_are_read_and_left_as_they_are(tmp_path: Path) -> None:
    run = start(RunFolder(tmp_path / "torus-seed0"), RunDescription("navigation", small("torus", hidden_size=40), None))
    with pytest.raises(FileNotFoundError, match=r"--runs: no finished run .*torus-seed0"):
        spheres.trained_rows(tmp_path, "torus", 0)
    train(run)
    before = {file: file.read_bytes() for file in sorted(tmp_path.rglob("*")) if file.is_file()}
    rows = spheres.trained_rows(tmp_path, "torus", 0)
    assert [row["points"] for row in rows] == ["own", "S^3", "S^5"]
    assert before == {file: file.read_bytes() for file in sorted(tmp_path.rglob("*")) if file.is_file()}


@pytest.mark.slow
def test_true_points_of_the_arena_are_right() -> None:
    angle = torch.arange(120) * (2 * math.pi / 120)
    points = torch.stack((angle.cos(), angle.sin()), 1)
    embedding = NeuronEmbedding(Sphere(1), 120, learn=False, points=points)
    correlations = points @ points.T
    found = spheres.measure(embedding, correlations, {"tuning": 1 - correlations}, "circle", 0)
    assert (found["betti"], found["right betti"], found["verdict"]) == ("(1, 1, 0)", "True", "circle")
    assert found["tuning"] == pytest.approx(1, abs=1e-3)
    assert found["leading 4"] == pytest.approx(1, abs=1e-4)
    assert spheres.measure(embedding, correlations, {}, "torus", 0)["right betti"] == "False"


def test_a_torus_is_looked_at_without_a_seam() -> None:
    points = torch.tensor([[0.01, 5.0], [9.99, 5.0], [2.5, 5.0]])
    found = spheres.in_space(NeuronEmbedding(Torus(2), 3, learn=False, points=points))
    assert torch.dist(found[0], found[1]) == pytest.approx(2 * math.sin(0.002 * math.pi), rel=1e-3)
    assert torch.dist(found[0], found[2]) == pytest.approx(math.sqrt(2), rel=0.01)


def test_tables_have_means_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coactivity, "RECORDS", tmp_path)
    assert coactivity.table("training") == "no records of training"
    rows = [
        {"points": points, "tuning": value, "verdict": verdict, "longest": {"1": 2.0}}
        for points, value, verdict in (("during", 0.5, "circle"), ("after", 0.75, "torus"))
    ]
    for arena in ("circle", "torus"):
        small_nets.run_missing(coactivity.file_of("training"), ("arena", "seed"), [(arena, 0)], lambda *_: rows)
    small_nets.run_missing(coactivity.file_of("training"), ("arena", "seed"), [("circle", 1)], lambda *_: rows)
    lines = coactivity.table("training").splitlines()
    assert lines[0] == "| arena | points | n | tuning | verdict |"
    assert lines[2:] == [
        "| circle | during | 2 | 0.50 ± 0.00 | circle: 2 |",
        "| circle | after | 2 | 0.75 ± 0.00 | torus: 2 |",
        "| torus | during | 1 | 0.50 | circle: 1 |",
        "| torus | after | 1 | 0.75 | torus: 1 |",
    ]
