"""Going on with a run that stopped: to the same bits, from whatever a kill left, or with a clear refusal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from riemod.training import Run, RunDescription, RunError, RunFolder, load, start, train
from tests.training.killing import Killed, stop_in

Bits = Callable[[Run], dict[str, Tensor]]
Same = Callable[[dict[str, Tensor], dict[str, Tensor]], bool]
Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def finished(tmp_path: Path, begin: Callable[..., Run]) -> Run:
    """A finished run."""
    run = begin(tmp_path / "run")
    train(run)
    return run


@pytest.mark.parametrize("task", ["adding", "navigation"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"learn": False},
        {"manifold": "none", "learn": False},
        {"scope": "tensor", "schedule": "cubic", "learning_rate_decay": "tail", "weight_decay": 0.1},
        {"manifold": "sphere", "inhibitor": "ricker"},
        {"manifold": "poincare"},
    ],
)
def test_a_run_goes_on_to_the_same_bits(
    task: str, changes: dict[str, Any], tmp_path: Path, begin: Callable[..., Run], bits: Bits, same: Same
):
    whole, broken = begin(tmp_path / "whole", task, **changes), begin(tmp_path / "broken", task, **changes)
    train(whole)
    for epochs in (0, 1, 2):
        with pytest.raises(Killed):
            train(broken, stop_in(epochs))
        broken = load(broken.folder)
        assert broken.epoch == epochs
    train(broken)
    assert same(bits(broken), bits(whole))
    assert broken.folder.metrics_file.read_bytes() == whole.folder.metrics_file.read_bytes()
    assert broken.folder.read_record()["metrics"] == whole.folder.read_record()["metrics"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("config", {"epochs": 3}, "no configuration of this version: config lacks the keys"),
        ("config", [], "damaged: config must be an object, got a list"),
        ("task", "subtracting", "no configuration of this version: task must be "),
        ("task", None, "damaged: task must be text, got null"),
        ("ticket_of", 3, "damaged: ticket_of must be text, got 3"),
    ],
)
def test_a_damaged_config_is_named(key: str, value: object, message: str, finished: Run, contents: Contents):
    content = json.loads(finished.folder.config_file.read_text()) | {key: value}
    finished.folder.config_file.write_text(json.dumps(content))
    before = contents(finished.folder.path)
    with pytest.raises(RunError, match=rf"config\.json is {message}"):
        load(finished.folder)
    assert contents(finished.folder.path) == before


def test_a_truncated_or_missing_config_is_named(finished: Run, tmp_path: Path):
    text = finished.folder.config_file.read_text()
    finished.folder.config_file.write_text(text[: len(text) // 2])
    with pytest.raises(RunError, match=r"config\.json is damaged"):
        load(finished.folder)
    finished.folder.config_file.unlink()
    with pytest.raises(RunError, match=rf"run must be a folder with a config\.json, got {finished.folder.path}"):
        load(finished.folder)
    with pytest.raises(RunError, match=r"run must be a folder with a config\.json"):
        load(RunFolder(tmp_path / "nothing"))


def test_a_config_from_before_an_option_was_added_still_loads(finished: Run, bits: Bits, same: Same):
    content = json.loads(finished.folder.config_file.read_text())
    del content["config"]["learning_rate_decay"]
    finished.folder.config_file.write_text(json.dumps(content))
    assert same(bits(load(finished.folder)), bits(finished))


def test_a_run_of_a_gpu_is_loaded_where_there_is_none(
    finished: Run, bits: Bits, same: Same, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("riemod._machine.device_names", lambda: ["cpu"])
    content = json.loads(finished.folder.config_file.read_text())
    content["config"] |= {"device": "cuda:1", "cuda_graph": True}
    finished.folder.config_file.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="the run is of device cuda:1, which is not here: it is loaded on the CPU"):
        found = load(finished.folder)
    assert found.config.computation.device == "cpu"
    assert same(bits(found), bits(finished))
    assert train(found) == finished.folder.read_record()


def test_a_device_that_is_nowhere_is_an_error(finished: Run):
    content = json.loads(finished.folder.config_file.read_text())
    content["config"]["device"] = "typewriter"
    finished.folder.config_file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="device must be one that torch has here"):
        load(finished.folder)


@pytest.mark.parametrize("lines", ['{"epoch": 1, "spars', "{", "\x00\x00\x00", ""])
def test_a_half_written_row_is_dropped_when_the_run_goes_on(
    lines: str, tmp_path: Path, begin: Callable[..., Run], bits: Bits, same: Same
):
    whole, broken = begin(tmp_path / "whole"), begin(tmp_path / "broken")
    train(whole)
    with pytest.raises(Killed):
        train(broken, stop_in(1))
    with broken.folder.metrics_file.open("a") as file:
        file.write(lines)
    assert [row["epoch"] for row in broken.folder.read_metrics()] == [0]
    broken = load(broken.folder)
    train(broken)
    assert broken.folder.metrics_file.read_bytes() == whole.folder.metrics_file.read_bytes()
    assert same(bits(broken), bits(whole))


def test_rows_that_are_ahead_of_the_checkpoint_are_run_again(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run")
    with pytest.raises(Killed):
        train(run, stop_in(1))
    run.folder.append_metrics({"epoch": 1, "train_loss": -1.0})
    run = load(run.folder)
    train(run)
    rows = run.folder.read_metrics()
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert all(row["train_loss"] > 0 for row in rows)


def test_a_run_killed_before_its_first_checkpoint_begins_again(
    tmp_path: Path, describe: Callable[..., RunDescription], begin: Callable[..., Run], bits: Bits, same: Same
):
    whole = begin(tmp_path / "whole")
    train(whole)
    for number, leftovers in enumerate(([], ["checkpoint"], ["checkpoint", "checkpoint/.0.safetensors.partial"])):
        folder = RunFolder(tmp_path / str(number))
        folder.create(describe())
        for name in leftovers:
            path = folder.path / name
            path.write_bytes(b"half") if path.suffix else path.mkdir()
        run = load(folder)
        train(run)
        assert same(bits(run), bits(whole))
        assert len(list(folder.checkpoint.iterdir())) == 2


def test_a_failed_start_can_be_told_from_a_run(tmp_path: Path, describe: Callable[..., RunDescription]):
    start(RunFolder(tmp_path / "run"), describe())
    with pytest.raises(RunError, match=r"is not finished: riemod resume"):
        RunFolder(tmp_path / "run").read_record()
    with pytest.raises(RunError, match=r"run must be a folder with a config\.json"):
        RunFolder(tmp_path / "other").read_record()
    (tmp_path / "run" / "record.json").write_text('{"task": ')
    with pytest.raises(RunError, match=r"record\.json is damaged"):
        RunFolder(tmp_path / "run").read_record()
