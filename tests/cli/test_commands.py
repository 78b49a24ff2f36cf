"""The commands on finished and unfinished runs: what they print, what they refuse, and with which status they end."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from riemod.cli.commands import COMMANDS, main
from riemod.training import RunFolder
from tests.cli.runs import SMALL
from tests.cli.text import flat


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = flat(capsys.readouterr().out)
    assert list(COMMANDS) == ["train", "resume", "lottery", "compress", "evaluate", "analyze", "show", "demo"]
    assert all(re.search(rf" {name} [A-Z]", text) for name in COMMANDS)
    for name in COMMANDS:
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0
        assert f"usage: riemod {name}" in capsys.readouterr().out


def test_show_prints_a_finished_run(small_run: Path, capsys: pytest.CaptureFixture[str]):
    main(["show", str(small_run)])
    text = flat(capsys.readouterr().out)
    record = RunFolder(small_run).read_record()
    assert "adding, preset smoke, torus, learned, 50 % sparse" in text
    for group, heading in {"metrics": "metrics", "levels": "for comparison"}.items():
        assert f" {heading} " in text
        for name, entry in record[group].items():
            assert f" {name} {entry['value']:.4g} " in text
    for name, share in record["sparsity"].items():
        assert f" {name} {share:.4f} fraction of zeros" in text
    assert f"parameters {record['parameters']:,}" in text
    assert "training time" in text
    assert torch.__version__ in text


def test_show_says_how_far_an_unfinished_run_is(small_run: Path, capsys: pytest.CaptureFixture[str]):
    (small_run / "record.json").unlink()
    folder = RunFolder(small_run)
    folder.drop_metrics_from(2)
    main(["show", str(small_run)])
    text = flat(capsys.readouterr().out)
    assert "adding, preset smoke, 2 of 3 epochs: riemod resume" in text
    assert f"{folder.read_metrics()[1]['eval_rmse']:.4g}" in text
    folder.metrics_file.unlink()
    main(["show", str(small_run)])
    assert "0 of 3 epochs" in flat(capsys.readouterr().out)


def test_evaluate_prints_the_record_s_metrics(small_run: Path, capsys: pytest.CaptureFixture[str]):
    main(["evaluate", str(small_run)])
    printed = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    metrics = RunFolder(small_run).read_record()["metrics"]
    assert printed == {name: f"{entry['value']:.6g} {entry['unit']}" for name, entry in metrics.items()}


def test_a_ticket_is_trained_and_shown(small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["lottery", str(small_run), "--out", str(tmp_path / "ticket"), "--quiet"])
    ticket, parent = RunFolder(tmp_path / "ticket").read_record(), RunFolder(small_run).read_record()
    assert ticket["sparsity"] == parent["sparsity"]
    assert ticket["ticket_of"] == str(small_run)
    capsys.readouterr()
    main(["show", str(tmp_path / "ticket")])
    assert re.sub(r"\s", "", f"torus, fixed, 50 % sparse, ticket of {small_run}") in re.sub(
        r"\s", "", capsys.readouterr().out
    )


def test_a_ticket_can_be_drawn_and_trained_otherwise(tmp_path: Path):
    main(["train", "adding", *SMALL, "--sparsity", "0.5", "--out", str(tmp_path / "run")])
    options = ["--initialization", "orthogonal", "--learning-rate", "0.02", "--quiet"]
    main(["lottery", str(tmp_path / "run"), "--out", str(tmp_path / "ticket"), *options])
    config = RunFolder(tmp_path / "ticket").read_record()["config"]
    assert (config["initialization"], config["learning_rate"]) == ("orthogonal", 0.02)


def test_resuming_a_finished_run_changes_nothing(small_run: Path):
    before = {path: path.read_bytes() for path in small_run.rglob("*") if path.is_file()}
    main(["resume", str(small_run), "--quiet"])
    assert {path: path.read_bytes() for path in small_run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "subtracting", "--out", "x"],
            "task must be 'navigation', 'adding' or 'language', got 'subtracting'",
        ),
        (["train"], "navigation,adding,language"),
        (["train", "adding", "--preset", "smoke"], "--out"),
        (["train", "adding", "--preset"], "--preset"),
        (["fly"], "fly"),
        ([], "train"),
        (["resume"], "RUN must name at least one run's folder, got none"),
        (["lottery", "x"], "--out"),
        (["show", "a", "b"], "b"),
    ],
)
def test_a_bad_command_is_named(
    arguments: list[str], message: str, tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert message in fails(*arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["resume", "evaluate", "show", "lottery"])
def test_a_run_that_is_not_there_is_named(command: str, tmp_path: Path, fails: Callable[..., str]):
    missing = str(tmp_path / "x")
    more = ["--out", str(tmp_path / "y")] if command == "lottery" else []
    expected = f"riemod: error: run must be a folder with a config.json, got {missing}"
    assert expected in fails(command, missing, *more)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_folder_is_refused(small_run: Path, tmp_path: Path, fails: Callable[..., str]):
    before = {path: path.read_bytes() for path in small_run.rglob("*") if path.is_file()}
    expected = f"out must be a new or empty folder, got {small_run}"
    assert expected in fails("train", "adding", *SMALL, "--out", str(small_run))
    assert expected in fails("lottery", str(small_run), "--out", str(small_run))
    file = tmp_path / "file"
    file.write_text("")
    assert f"got {file}" in fails("train", "adding", *SMALL, "--out", str(file))
    # A folder that cannot be made, below a file.
    assert "riemod: error:" in fails("train", "adding", *SMALL, "--out", str(file / "run"))
    assert {path: path.read_bytes() for path in small_run.rglob("*") if path.is_file()} == before


def test_a_damaged_run_is_named(small_run: Path, fails: Callable[..., str]):
    (weights,) = small_run.glob("checkpoint/*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    for command in ("resume", "evaluate"):
        assert "is truncated or corrupted" in fails(command, str(small_run))
    (small_run / "record.json").write_text("{")
    assert "record.json is damaged" in fails("show", str(small_run))
    (small_run / "config.json").write_text("{}")
    assert "config.json is damaged" in fails("resume", str(small_run))


def test_an_unfinished_run_has_no_ticket(small_run: Path, tmp_path: Path, fails: Callable[..., str]):
    other = tmp_path / "other"
    main(["train", "adding", *SMALL, "--out", str(other)])
    (other / "record.json").unlink()
    (other / "metrics.jsonl").unlink()
    for file in (other / "checkpoint").iterdir():
        file.unlink()
    assert "is not finished: riemod resume" in fails("lottery", str(other), "--out", str(tmp_path / "ticket"))
    assert not (tmp_path / "ticket").exists()


def test_python_m_riemod_is_the_same_command(small_run: Path):
    command = [sys.executable, "-W", "error", "-m", "riemod", "show", str(small_run)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "rmse" in done.stdout
    assert done.stderr == ""
