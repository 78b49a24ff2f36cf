"""Runs whose nets are compressed: every task, in every order of the units, with the same metrics."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from riemod import sparse
from riemod.cli.commands import main
from riemod.sparse import CompressedRecurrent
from riemod.training import RunError, RunFolder, compress_run, evaluate, load
from tests.cli.text import flat
from tests.tasks.texts import write_text

SMALL = ["--preset", "smoke", "--epochs", "2", "--batches-per-epoch", "2", "--batch-size", "8", "--dense-epochs", "0"]
SMALL += ["--tail-epochs", "1", "--evaluation-batches", "2", "--quiet", "--scope", "tensor", "--sparsity", "0.95"]


def small_run(folder: Path, task: str, *options: str) -> RunFolder:
    if task == "language":
        options = (*options, "--data", str(write_text(folder / "text")), "--layers", "2")
    main(["train", task, *SMALL, *options, "--out", str(folder / "run")])
    return RunFolder(folder / "run")


@pytest.mark.parametrize("task", ["navigation", "adding", "language"])
@pytest.mark.parametrize("order", ["geometric", "graph", "index"])
def test_the_compressed_net_scores_what_the_run_scores(task: str, order: Any, tmp_path: Path):
    run = load(small_run(tmp_path, task, "--manifold", "torus"))
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    record = compress_run(run, tmp_path / "small", order)
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())
    for metric in record["metrics"].values():
        assert metric["after"] == pytest.approx(metric["before"], rel=1e-4)
    assert json.loads((tmp_path / "small" / "compression.json").read_text()) == record
    loaded = sparse.load(tmp_path / "small" / "model.safetensors", run.task.build_model())
    run.model = loaded
    assert evaluate(run) == {name: metric["after"] for name, metric in record["metrics"].items()}


def test_a_net_whose_loss_reads_its_states_is_compressed_too(tmp_path: Path):
    """With a cost of units' parts the training loss does not call the net as a whole."""
    run = load(small_run(tmp_path, "navigation", "--contribution-cost", "0.003"))
    record = compress_run(run, tmp_path / "small")
    for metric in record["metrics"].values():
        assert metric["after"] == pytest.approx(metric["before"], rel=1e-4)
    assert min(record["seconds_a_batch"].values()) > 0


def test_every_layer_is_sparse_where_that_is_fastest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def favor_rows(alternatives: dict[str, Any], _: torch.device) -> dict[str, float]:
        return {name: 1.0 if name in ("csr", "compressed", "after") else 2.0 for name in alternatives}

    # The function hides the module of the same name.
    monkeypatch.setattr(importlib.import_module("riemod.sparse.compress"), "median_seconds", favor_rows)
    monkeypatch.setattr("riemod.training.compression.median_seconds", favor_rows)
    run = load(small_run(tmp_path, "navigation", "--manifold", "torus"))
    record = compress_run(run, tmp_path / "small")
    chosen = {timing["name"]: timing["layout"] for timing in record["timings"] if timing["chosen"]}
    assert chosen == {
        "encoder.weight": "csr",
        "encoder": "compressed",
        "rnn.weight_ih_l0": "csr",
        "rnn.weight_hh_l0": "csr",
        "rnn": "compressed",
        "decoder.weight": "csr",
        "decoder": "compressed",
    }
    assert record["bytes_in_memory"]["after"] < 0.2 * record["bytes_in_memory"]["before"]
    loaded = sparse.load(tmp_path / "small" / "model.safetensors", run.task.build_model())
    assert isinstance(loaded.get_submodule("rnn"), CompressedRecurrent)


def test_the_order_of_the_blocks_is_the_order_of_the_units(tmp_path: Path):
    run = load(small_run(tmp_path, "adding", "--hidden-size", "64", "--manifold", "torus", "--blocks", "16"))
    record = compress_run(run, tmp_path / "small")
    share = record["occupancy"]["rnn.weight_hh_l0"]["16"]
    assert share["after"] == 1 / 16  # of 16 tiles 95 % is 15
    assert share["before"] > share["after"]


def test_the_command_prints_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    small_run(tmp_path, "navigation")
    capsys.readouterr()
    main(["compress", str(tmp_path / "run"), "--out", str(tmp_path / "small")])
    text = flat(capsys.readouterr().out)
    for part in (
        "rnn.weight_hh_l0",
        "layout",
        "top-3 position error",
        "cm",
        "in memory",
        "on disk",
        "KiB",
        "of a batch",
        "ms",
    ):
        assert part in text
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == ["compression.json", "model.safetensors"]


def test_a_folder_that_is_taken_is_left_alone(tmp_path: Path):
    run = load(small_run(tmp_path, "adding"))
    with pytest.raises(RunError, match="out must be a new or empty folder"):
        compress_run(run, run.folder.path)
