"""The command line: what it prints, what it refuses, and with which status it ends."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from riemod.cli.commands import COMMANDS, main
from riemod.tasks import TASKS
from riemod.training import RunFolder
from tests.cli.text import flat

SMALL = ["--preset", "smoke", "--epochs", "3", "--batches-per-epoch", "2", "--batch-size", "8", "--hidden-size", "8"]
SMALL += ["--dense-epochs", "0", "--tail-epochs", "1", "--evaluation-batches", "2", "--quiet"]
TORUS = ["--manifold", "torus", "--learn", "--sparsity", "0.5"]


@pytest.fixture
def small_run(tmp_path: Path) -> Path:
    """A finished run of a few steps."""
    path = tmp_path / "run"
    main(["train", "adding", *SMALL, *TORUS, "--out", str(path)])
    return path


@pytest.mark.parametrize(("task", "preset"), [(task, preset) for task in TASKS for preset in TASKS[task].presets])
def test_help_shows_every_option_with_its_default(
    task: str, preset: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")  # where more fits, groups of options stand side by side
    with pytest.raises(SystemExit) as end:
        main(["train", task, "--preset", preset, "--help"])
    assert end.value.code == 0
    text = flat(capsys.readouterr().out)
    values = TASKS[task].presets[preset]
    for name, value in values.to_dict().items():
        option = f"--{name.replace('_', '-')}"
        # From the option's name to its default: a type, a text that says what it is, and the preset's own number.
        entry = re.search(rf" {option}[ ,](?:(?! --(?!no-)[a-z]).)*?\(default: ([^)]*)\)", text)
        assert entry is not None, option
        assert entry[1] == str(value), option
        assert len(entry[0].split()) > 6, option
    assert "--out PATH New folder for the run. (required)" in text


def test_help_says_the_units(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["train", "navigation", "--help"])
    text = flat(capsys.readouterr().out)
    for option, unit in {
        "side": "m",
        "width": "m",
        "step-seconds": "s",
        "turn-std": "rad/s",
        "speed-scale": "m/s",
        "border": "m",
    }.items():
        assert re.search(rf"--{option} FLOAT [^(]*, {re.escape(unit)}\. \(default", text), option


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = flat(capsys.readouterr().out)
    assert {"train", "resume", "lottery", "compress", "evaluate", "analyze", "show", "demo"} <= set(COMMANDS)
    assert all(re.search(rf" {name} [A-Z]", text) for name in COMMANDS)


def test_the_same_command_twice_gives_the_same_run(tmp_path: Path):
    command = ["train", "navigation", "--preset", "smoke", "--manifold", "torus", "--learn", "--sparsity", "0.9"]
    folders = [RunFolder(tmp_path / name) for name in ("a", "b")]
    for folder in folders:
        main([*command, "--seed", "0", "--out", str(folder.path), "--quiet"])
    first, second = (folder.read_record() for folder in folders)
    for key in ("config", "metrics", "levels", "sparsity", "parameters"):
        assert first[key] == second[key]
    assert folders[0].metrics_file.read_bytes() == folders[1].metrics_file.read_bytes()
    weights = [next(folder.checkpoint.glob("*.safetensors")) for folder in folders]
    tensors = [path.read_bytes()[8 + int.from_bytes(path.read_bytes()[:8], "little") :] for path in weights]
    assert tensors[0] == tensors[1]
    assert first["sparsity"]["total"] == pytest.approx(0.9, abs=1e-3)
    assert first["config"]["learn"] is True


def test_the_options_reach_the_config(small_run: Path):
    config = json.loads((small_run / "config.json").read_text())["config"]
    expected = {"preset": "smoke", "epochs": 3, "batches_per_epoch": 2, "batch_size": 8, "hidden_size": 8}
    expected |= {"manifold": "torus", "learn": True, "sparsity": 0.5, "tail_epochs": 1, "evaluation_batches": 2}
    assert config == TASKS["adding"].presets["smoke"].to_dict() | expected


def test_threads_are_those_asked_for(tmp_path: Path):
    out = tmp_path / "run"
    main(["train", "adding", *SMALL, "--threads", "2", "--out", str(out)])
    assert torch.get_num_threads() == 2
    assert RunFolder(out).read_record()["machine"]["threads"] == 2
    torch.set_num_threads(1)
    main(["resume", str(out), "--quiet"])
    assert torch.get_num_threads() == 2


def test_quiet_says_nothing_and_loud_shows_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["train", "adding", *SMALL, "--out", str(tmp_path / "quiet")])
    assert capsys.readouterr() == ("", "")
    main(["train", "adding", *SMALL, "--no-quiet", "--out", str(tmp_path / "loud")])
    out, errors = capsys.readouterr()
    assert errors == ""
    assert "6/6" in out
    assert " RMSE " in out


def test_show_prints_a_finished_run(small_run: Path, capsys: pytest.CaptureFixture[str]):
    main(["show", str(small_run)])
    text = flat(capsys.readouterr().out)
    record = RunFolder(small_run).read_record()
    assert "adding, preset smoke, torus, learned, 50 % sparse" in text
    metrics, levels = record["metrics"], record["levels"]
    assert f"loss {metrics['loss']['value']:.4g} RMSE {metrics['rmse']['value']:.4g} " in text
    assert f"reference: RMSE of always answering 1 {levels['rmse of always answering 1']['value']:.4g} " in text
    assert set(metrics) == {"loss", "rmse"}
    for name, share in record["sparsity"].items():
        assert f"sparsity {name} {share:.4f}" in text
    assert f"parameters {record['parameters']:,}" in text
    assert "training time" in text
    assert torch.__version__ in text


def test_show_says_how_far_an_unfinished_run_is(small_run: Path, capsys: pytest.CaptureFixture[str]):
    (small_run / "record.json").unlink()
    folder = RunFolder(small_run)
    folder.drop_metrics_from(2)
    main(["show", str(small_run)])
    text = flat(capsys.readouterr().out)
    assert "adding, preset smoke, 2 of 3 epochs" in text
    assert "go on with: riemod resume" in text
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


def test_resuming_a_finished_run_changes_nothing(small_run: Path):
    before = {path: path.read_bytes() for path in small_run.rglob("*") if path.is_file()}
    main(["resume", str(small_run), "--quiet"])
    assert {path: path.read_bytes() for path in small_run.rglob("*") if path.is_file()} == before


# One of each kind: what a configuration says of its own values is in tests/tasks/test_config.py.
BAD_OPTIONS: list[tuple[list[str], str]] = [
    (
        ["--preset", "tiny"],
        "preset must be 'smoke', 'cpu', 'paper', 'cpu-small', 'cpu-box', 'cpu-circle', 'cpu-torus', 'cpu-sphere', "
        "'cpu-klein', 'map-circle', 'map-torus' or 'map-sphere', got 'tiny'",
    ),
    (
        ["--preset=tiny"],
        "preset must be 'smoke', 'cpu', 'paper', 'cpu-small', 'cpu-box', 'cpu-circle', 'cpu-torus', 'cpu-sphere', "
        "'cpu-klein', 'map-circle', 'map-torus' or 'map-sphere', got 'tiny'",
    ),
    (["--manifold", "mobius"], "--manifold"),
    (["--momentum", "0.9"], "--momentum"),
    (["--learn", "False", "--manifold", "torus"], "False"),
    (["--epochs", "many"], "--epochs"),
    (["--epochs", "6.5"], "--epochs"),
    (["--sparsity", "2"], "sparsity must be in [0, 1], got 2.0"),
    (["--epochs", "0"], "epochs must be an integer >= 1, got 0"),
    (["--epochs", "6", "--dense-epochs", "4", "--tail-epochs", "2"], "dense_epochs and tail_epochs must be >= 0"),
    (["--max-grad-norm", "-1"], "max_grad_norm must be positive, got -1.0"),
    (["--learn"], "learn needs a manifold, got manifold='none'"),
    (["--seed", "-1"], "seed must be an integer >= 0, got -1"),
    (["--device", "nonsense"], "device must be one that torch has here (cpu"),
    (["--hidden-size", "0"], "hidden_size must be an integer >= 1, got 0"),
    (["--landmarks", "3"], "landmarks must be an integer >= 4, got 3"),
    (["--manifold", "torus", "--learn", "--inhibitor", "diffusion"], "learn"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=[" ".join(options) for options, _ in BAD_OPTIONS])
def test_a_bad_option_is_named_and_makes_no_folder(
    options: list[str], message: str, tmp_path: Path, fails: Callable[..., str]
):
    preset = [] if any("--preset" in option for option in options) else ["--preset", "smoke"]
    out = tmp_path / "deep" / "run"
    assert message in fails("train", "navigation", *preset, *options, "--out", str(out))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "subtracting", "--out", "x"],
            "task must be 'navigation', 'adding' or 'language', got 'subtracting'",
        ),
        (["train"], "riemod train needs a task: navigation, adding, language"),
        (["train", "adding", "--preset", "smoke"], "--out"),
        (["train", "adding", "--preset"], "--preset"),
        (["fly"], "fly"),
        ([], "train"),
        (["resume"], "RUN"),
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


def test_a_run_that_diverges_ends_with_status_1(tmp_path: Path, fails: Callable[..., str]):
    out = tmp_path / "run"
    options = [*SMALL, "--learning-rate", "1e12", "--max-grad-norm", "None", "--out", str(out)]
    message = fails("train", "adding", *options, status=1)
    assert re.search(r"riemod: error: .* at step \d+ of epoch \d", message)
    assert f"is kept in {out / 'checkpoint'}" in message
    assert not (out / "record.json").exists()


def test_an_interrupted_run_says_how_to_go_on(
    tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("riemod.training.loop._train_epoch", interrupt)
        message = fails("train", "adding", *SMALL, "--out", str(out), status=130)
    assert message.strip() == f"riemod: interrupted after 0 epochs: riemod resume {out}"
    main(["resume", str(out), "--quiet"])
    assert RunFolder(out).read_record()["task"] == "adding"


def test_python_m_riemod_is_the_same_command(small_run: Path):
    command = [sys.executable, "-W", "error", "-m", "riemod", "show", str(small_run)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert " RMSE " in done.stdout
    assert done.stderr == ""
