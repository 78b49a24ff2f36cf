"""Commands that train several runs side by side, or draw a ticket otherwise than by default."""

from pathlib import Path

import pytest

from riemod.cli.commands import main
from riemod.training import RunFolder

SMALL = ["--preset", "smoke", "--epochs", "3", "--batches-per-epoch", "4", "--hidden-size", "8", "--threads", "1"]


def test_replicas_are_runs_of_successive_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(["train", "adding", *SMALL, "--seed", "5", "--replicas", "2", "--out", str(tmp_path / "both")])
    printed = "".join(capsys.readouterr().out.split())  # a title that is wider than its table is folded
    assert f"{tmp_path / 'both'}:adding,presetsmoke,2runs" in printed
    for seed in (5, 6):
        folder = RunFolder(tmp_path / "both" / f"seed{seed}")
        assert folder.read_record()["config"]["seed"] == seed
        assert f"seed{seed}" in printed
        main(["train", "adding", *SMALL, "--seed", str(seed), "--out", str(tmp_path / f"alone{seed}"), "--quiet"])
        alone = RunFolder(tmp_path / f"alone{seed}").read_record()
        assert folder.read_record()["metrics"]["rmse"]["value"] == pytest.approx(alone["metrics"]["rmse"]["value"])
    both = [str(tmp_path / "both" / f"seed{seed}") for seed in (5, 6)]
    main(["resume", *both, "--quiet"])
    assert capsys.readouterr().out == ""
    assert RunFolder(tmp_path / "both" / "seed5").read_record()["machine"]["threads"] == 1


def test_a_ticket_can_be_drawn_and_trained_otherwise(tmp_path: Path):
    main(["train", "adding", *SMALL, "--sparsity", "0.5", "--out", str(tmp_path / "run"), "--quiet"])
    options = ["--initialization", "orthogonal", "--learning-rate", "0.02", "--quiet"]
    main(["lottery", str(tmp_path / "run"), "--out", str(tmp_path / "ticket"), *options])
    config = RunFolder(tmp_path / "ticket").read_record()["config"]
    assert (config["initialization"], config["learning_rate"]) == ("orthogonal", 0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "adding", "--replicas", "0"], "replicas must be an integer >= 1, got 0"),
        (
            ["train", "navigation", "--preset", "smoke", "--replicas", "2"],
            "replicas need a task",
        ),
        (["train", "adding", "--preset", "smoke", "--replicas", "2", "--optimizer", "sgd"], "replicas need optimizer="),
    ],
)
def test_bad_replicas(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--out", str(tmp_path / "runs")])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_folder_in_use_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit):
        main(["train", "adding", *SMALL, "--replicas", "2", "--out", str(tmp_path)])
    assert "out must be a new or empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(SystemExit):
        main(["resume"])
    assert "RUN must name at least one run's folder, got none" in capsys.readouterr().err
