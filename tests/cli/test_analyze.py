"""`riemod analyze`: what it prints and writes, for every task, and how it refuses."""

import functools
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from riemod.cli.commands import main
from riemod.inspection import draw_states
from riemod.topology import ModuliRecovery
from riemod.training import RunFolder, load
from tests.cli.text import flat
from tests.tasks.texts import write_text

SMALL = ["--preset", "smoke", "--epochs", "2", "--batches-per-epoch", "2", "--batch-size", "8", "--dense-epochs", "0"]
SMALL += ["--tail-epochs", "1", "--evaluation-batches", "4", "--quiet"]
BARS = ["analysis.json", "analysis.png", "arrays.safetensors", "barcode.png", "diagram.png"]


def small_run(folder: Path, task: str, *options: str) -> Path:
    if task == "language":
        options = (*options, "--data", str(write_text(folder / "text")))
    main(["train", task, *SMALL, *options, "--out", str(folder / "run")])
    return folder / "run"


def analyze(run: Path, *options: str, states: int = 200) -> dict[str, Any]:
    main(["analyze", str(run), "--states", str(states), *options])
    out = Path(options[options.index("--out") + 1]) if "--out" in options else run / "analysis"
    return json.loads((out / "analysis.json").read_text())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def few_nulls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit that takes a tenth of the time; its p-values are coarse."""
    monkeypatch.setattr(
        "riemod.inspection.ModuliRecovery", functools.partial(ModuliRecovery, n_nulls=10, n_subsamples=2)
    )


@pytest.mark.usefixtures("few_nulls")
def test_a_circle_is_analyzed_and_analyzed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = small_run(tmp_path, "navigation", "--arena", "circle", "--manifold", "torus")
    before = contents(run)
    capsys.readouterr()
    record = analyze(run)
    text = flat(capsys.readouterr().out)
    assert "Betti numbers mod 3" in text
    assert f"manifold: {record['verdict']['manifold']}" in text
    for part in (
        "p-value, degree 2",
        "manifold of the arena (circle)",
        "verdict against the arena",
        "circular correlation with true angle",  # the number may stand on the next line
        "cm",
    ):
        assert part in text
    for part in (
        "squared distance correlation",
        "spatially informative units",
        "tuning curves and weight graph",
        "weight graph and points",
        "participation ratio",
    ):
        assert part in text
    points = record["points"]
    # The manifold's name is folded beside the number.
    assert "fixed points: spread on" in text
    assert points["manifold"] == "Torus(dim=2, period=10)"
    assert 0.8 < points["spread"] < 1.2
    assert set(points["agreement"]["with"]) == {
        "tuning", "preferred places", "mean places", "weights", "absolute weights", "incoming rows"
    }  # fmt: skip
    assert points["units"] - points["silent"] - points["unconnected"] == points["agreement"]["units"]
    assert "prove nothing" in points["neutral"]["why"]
    assert record["arena"]["manifold"] == "circle"
    assert record["states"] == 200
    assert set(record["verdict"]["p_values"]) == {"1", "2"}
    assert record["position"]["nearest_position"] < record["position"]["chance"]
    assert names(run / "analysis") == sorted([*BARS, "agreement.png", "arena.png", "points.png", "states.png"])
    assert {name: before[name] for name in before} == {name: contents(run)[name] for name in before}
    (run / "analysis" / "notes.txt").write_text("mine")
    (run / "analysis" / "states_2.png").write_bytes(b"of an earlier analysis")
    again = analyze(run)
    assert again == record
    assert names(run / "analysis") == sorted(
        [*BARS, "agreement.png", "arena.png", "notes.txt", "points.png", "states.png"]
    )


@pytest.mark.usefixtures("few_nulls")
@pytest.mark.parametrize("arena", ["box", "torus", "sphere", "klein"])
def test_every_arena_can_be_analyzed(arena: str, tmp_path: Path) -> None:
    record = analyze(small_run(tmp_path, "navigation", "--arena", arena), "--out", str(tmp_path / "found"))
    assert record["arena"]["name"] == arena
    assert not (tmp_path / "run" / "analysis").exists()
    pairs = [(pair["first"], pair["second"]) for pair in record["alignment"]["pairs"]]
    assert pairs == [("tuning", "weights")]
    assert ("coordinates" in record) == (arena in ("torus", "klein"))
    assert set(names(tmp_path / "found")) >= {*BARS, "arena.png", "states.png"}


@pytest.mark.parametrize("task", ["adding", pytest.param("language", marks=pytest.mark.slow)])
def test_other_tasks_have_a_verdict_and_ranks(task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = analyze(small_run(tmp_path, task, "--manifold", "torus"))
    assert "manifold of the hidden states" in flat(capsys.readouterr().out)
    assert not {"arena", "position", "tuning", "alignment"} & set(record)
    assert record["states"] == 200
    assert record["ranks"]["participation_ratio"] >= 1
    assert {*BARS, "states.png", "points.png"} <= set(names(tmp_path / "run" / "analysis"))


@pytest.mark.parametrize("task", ["navigation", "adding", "language"])
def test_states_are_the_layer_s_own_and_always_the_same(task: str, tmp_path: Path) -> None:
    run = load(RunFolder(small_run(tmp_path, task)))
    first, second = draw_states(run, 150), draw_states(run, 150)
    torch.testing.assert_close(first.states, second.states, rtol=0, atol=0)
    assert len(first.states) == 150
    assert len(first.states.unique(dim=0)) > 75
    if task != "navigation":
        assert first.positions is None
        return
    # The states of one walk lie on a path; these do not.
    assert first.positions is not None
    assert (first.positions[1:] - first.positions[:-1]).norm(dim=1).median() > 0.5


def test_what_cannot_be_analyzed(tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "run must be a folder with a config.json" in fails("analyze", str(tmp_path / "nowhere"))
    run = small_run(tmp_path, "adding")
    assert "states must be an integer >= 100, got 7" in fails("analyze", str(run), "--states", "7")
    assert "threads must be an integer from 1 to 1024, got 0" in fails("analyze", str(run), "--threads", "0")
    (tmp_path / "file").write_text("")
    assert "out must be a folder" in fails("analyze", str(run), "--out", str(tmp_path / "file"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "states.png").write_bytes(b"mine")
    assert "figures of something else" in fails("analyze", str(run), "--out", str(tmp_path / "taken"))
    assert contents(tmp_path / "taken") == {"states.png": b"mine"}
    find = importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "gudhi" else find(name, *rest))
        assert "analyze needs gudhi: pip install 'riemod[topology]'" in fails("analyze", str(run))
    shutil.rmtree(run / "checkpoint")
    assert "checkpoint" in fails("analyze", str(run))
    (run / "metrics.jsonl").unlink()
    assert "has no checkpoint: riemod resume" in fails("analyze", str(run))
    assert not (run / "analysis").exists()
