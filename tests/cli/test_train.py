"""`riemod train`: its options and their defaults, what it prints and refuses, and replicas."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from riemod.cli.commands import main
from riemod.tasks import TASKS
from riemod.training import RunFolder
from tests.cli.runs import SMALL
from tests.cli.text import flat

REPLICAS = ["--preset", "smoke", "--epochs", "3", "--batches-per-epoch", "4", "--hidden-size", "8", "--threads", "1"]


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
    assert "rmse" in out


# One of each kind: what a configuration says of its own values is in tests/tasks/test_config.py.
BAD_OPTIONS: list[tuple[list[str], str]] = [
    (["--preset", "tiny"], "preset must be 'smoke', 'cpu', 'paper', 'cpu-box', 'cpu-circle', "),
    (["--preset=tiny"], " or 'cpu-klein', got 'tiny'"),
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
    (["--device", "nonsense"], "device must name one that torch has here, got 'nonsense'"),
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
        message = fails("train", "adding", *SMALL, "--out", str(out))
    assert f"interrupted after 0 epochs: riemod resume {out}" in message
    main(["resume", str(out), "--quiet"])
    assert RunFolder(out).read_record()["task"] == "adding"


def test_replicas_are_runs_of_successive_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["train", "adding", *REPLICAS, "--seed", "5", "--replicas", "2", "--out", str(tmp_path / "both")])
    printed = capsys.readouterr().out
    for seed in (5, 6):
        folder = RunFolder(tmp_path / "both" / f"seed{seed}")
        assert folder.read_record()["config"]["seed"] == seed
        assert folder.path.name in printed
        main(["train", "adding", *REPLICAS, "--seed", str(seed), "--out", str(tmp_path / f"alone{seed}"), "--quiet"])
        alone = RunFolder(tmp_path / f"alone{seed}").read_record()
        assert folder.read_record()["metrics"]["rmse"]["value"] == pytest.approx(alone["metrics"]["rmse"]["value"])
    both = [str(tmp_path / "both" / f"seed{seed}") for seed in (5, 6)]
    main(["resume", *both, "--quiet"])
    assert capsys.readouterr().out == ""
    assert RunFolder(tmp_path / "both" / "seed5").read_record()["machine"]["threads"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["adding", "--replicas", "0"], "replicas must be an integer >= 1, got 0"),
        (["navigation", "--preset", "smoke", "--replicas", "2"], "replicas need a task"),
        (["adding", "--preset", "smoke", "--replicas", "2", "--optimizer", "sgd"], "replicas need optimizer="),
    ],
)
def test_bad_replicas_are_named_and_make_no_folder(
    arguments: list[str], message: str, tmp_path: Path, fails: Callable[..., str]
):
    assert message in fails("train", *arguments, "--out", str(tmp_path / "runs"))
    assert list(tmp_path.iterdir()) == []


def test_replicas_need_an_empty_folder(tmp_path: Path, fails: Callable[..., str]):
    (tmp_path / "notes.txt").write_text("mine")
    message = fails("train", "adding", *SMALL, "--replicas", "2", "--out", str(tmp_path))
    assert f"out must be a new or empty folder, got {tmp_path}" in message
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
