"""What `riemod show`, `resume`, `lottery` and `compress` print, as tables and as JSON."""

import copy
import json
import shutil
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from riemod.cli.commands import main
from riemod.cli.presets import presets_of
from riemod.cli.replica_tables import replicas_record
from riemod.cli.tables import compression_notes
from riemod.training import RunFolder
from riemod.training.remarks import remarks
from tests.cli.text import flat

SMALL = ["--epochs", "3", "--batches-per-epoch", "2", "--batch-size", "8", "--hidden-size", "8", "--dense-epochs", "0"]
SMALL += ["--tail-epochs", "1", "--threads", "1"]


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three finished replicas."""
    path = tmp_path_factory.mktemp("runs") / "three"
    pruned = ["--sparsity", "0.5", "--scope", "tensor"]
    main(["train", "adding", "--preset", "smoke", *SMALL, *pruned, "--replicas", "3", "--quiet", "--out", str(path)])
    return path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    capsys.readouterr()
    main(list(arguments))
    return capsys.readouterr()


def test_a_folder_of_replicas_is_one_table_of_mean_and_spread(replicas: Path, capsys: pytest.CaptureFixture[str]):
    records = [RunFolder(replicas / f"seed{seed}").read_record() for seed in range(3)]
    values = [record["metrics"]["rmse"]["value"] for record in records]
    mean, std = sum(values) / 3, statistics.stdev(values)
    text = flat(printed(capsys, "show", str(replicas))[0])
    assert (
        f"RMSE {mean:.4g} {std:.4g} {min(values):.4g} {max(values):.4g} " + " ".join(f"{value:.4g}" for value in values)
        in text
    )
    assert "reference: RMSE of a perfect net 0" in text
    assert "seed0 seed1 seed2" in text
    assert "sparsity rnn.weight_hh_l0" in text
    found = json.loads(printed(capsys, "show", str(replicas), "--json")[0])
    assert found["summary"]["rmse"] == pytest.approx(
        {"mean": mean, "std": std, "least": min(values), "most": max(values), "unit": "1"}
    )
    assert found["runs"] == {f"seed{seed}": record for seed, record in enumerate(records)}
    assert found["unfinished"] == []


def test_replicas_that_are_not_finished_are_named(
    replicas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fails: Callable[..., str]
):
    folder = tmp_path / "three"
    shutil.copytree(replicas, folder)
    (folder / "seed1" / "record.json").unlink()
    text = flat(printed(capsys, "show", str(folder))[0])
    assert "2 runs" in text
    assert f"not finished: riemod resume {folder / 'seed1'}" in text
    for seed in (0, 2):
        (folder / f"seed{seed}" / "record.json").unlink()
    assert f"no run in {folder} is finished: riemod resume {folder / 'seed0'}" in fails("show", str(folder))


def test_one_replica_has_no_spread_and_many_have_no_columns_of_their_own(
    replicas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for seed in range(8):
        shutil.copytree(replicas / f"seed{seed % 3}", tmp_path / "many" / f"seed{seed}")
    text = flat(printed(capsys, "show", str(tmp_path / "many"))[0])
    assert "8 runs" in text
    assert "seed7" not in text
    single = {"seed0": RunFolder(replicas / "seed0").read_record()}
    assert replicas_record(single)["summary"]["rmse"]["std"] is None


def test_an_unfinished_run_is_shown_with_units_and_the_whole_command_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / ("a-long-name-" * 6) / "run"
    main(["train", "navigation", "--preset", "smoke", *SMALL, "--landmarks", "16", "--quiet", "--out", str(out)])
    (out / "record.json").unlink()
    text, _ = printed(capsys, "show", str(out))
    assert flat(text).startswith("navigation, preset smoke, 3 of 3 epochs")
    errors = " ".join(f"{row['eval_error_top3']:.4g}" for row in RunFolder(out).read_metrics())
    assert "epoch 0 1 2 unit" in flat(text)
    assert f"validation top-3 position error {errors} cm" in flat(text)
    assert f"riemodresume{out}" in "".join(text.split())  # folded where the table ends
    assert len(text.splitlines()) < 18
    found = json.loads(printed(capsys, "show", str(out), "--json")[0])
    assert found["task"] == "navigation"
    assert [row["epoch"] for row in found["epochs"]] == [0, 1, 2]


def test_what_smoke_runs_are_is_said(replicas: Path, capsys: pytest.CaptureFixture[str]):
    assert "smoke runs are too short to learn anything" in flat(printed(capsys, "show", str(replicas / "seed0"))[0])
    record = RunFolder(replicas / "seed0").read_record()
    other = copy.deepcopy(record)
    other["config"]["preset"] = "cpu"
    assert remarks(other) == []
    other["sparsity"]["decoder.weight"] = 1.0
    assert remarks(other) == ["decoder.weight has no weights left"]


def test_resuming_finished_runs_says_so_and_shows_no_bar(replicas: Path, capsys: pytest.CaptureFixture[str]):
    out, errors = printed(capsys, "resume", str(replicas / "seed0"))
    assert errors == f"riemod: note: run {replicas / 'seed0'} is finished: there is nothing to resume\n"
    assert "steps/s" not in out
    assert " RMSE " in out
    out, errors = printed(capsys, "resume", *(str(replicas / f"seed{seed}") for seed in range(3)))
    assert errors == "riemod: note: these runs are finished: there is nothing to resume\n"
    assert "3 runs" in out
    assert "steps/s" not in out


def test_json_is_all_of_standard_output(replicas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    seed0 = str(replicas / "seed0")
    record = RunFolder(replicas / "seed0").read_record()
    assert json.loads(printed(capsys, "show", seed0, "--json")[0]) == record
    assert json.loads(printed(capsys, "resume", seed0, "--json")[0]) == record
    assert json.loads(printed(capsys, "evaluate", seed0, "--json")[0]) == record["metrics"]
    out, errors = printed(capsys, "lottery", seed0, "--out", str(tmp_path / "ticket"), "--json")
    assert json.loads(out) == RunFolder(tmp_path / "ticket").read_record()
    assert "6/6" in errors
    out, _ = printed(capsys, "compress", seed0, "--out", str(tmp_path / "compressed"), "--json")
    assert json.loads(out) == json.loads((tmp_path / "compressed" / "compression.json").read_text())
    train = ["train", "adding", "--preset", "smoke", *SMALL, "--json", "--quiet", "--out"]
    out, errors = printed(capsys, *train, str(tmp_path / "one"))
    assert (json.loads(out), errors) == (RunFolder(tmp_path / "one").read_record(), "")


@pytest.mark.filterwarnings("default:module has no weight")
def test_a_run_that_was_never_pruned_is_named_where_that_matters(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    dense = str(tmp_path / "dense")
    main(["train", "adding", "--preset", "smoke", *SMALL, "--quiet", "--out", dense])
    _, errors = printed(capsys, "lottery", dense, "--out", str(tmp_path / "ticket"), "--quiet")
    assert errors == f"riemod: note: run {dense} was never pruned (sparsity 0): its ticket keeps every weight\n"
    _, errors = printed(capsys, "compress", dense, "--out", str(tmp_path / "compressed"))
    assert "riemod: warning: module has no weight that is 0, so it stays dense" in errors
    assert "riemod: note: the file did not get smaller: " in errors


@pytest.mark.parametrize(
    ("sparsity", "layouts", "after", "expected"),
    [
        (0.9, ("rows", "dense"), 50, []),
        (0.9, ("dense", "dense"), 50, ["all layers stay dense, for no sparse layout is faster here at 90 % sparsity"]),
        (0.9, ("rows",), 100, ["the file did not get smaller: 100 bytes before, 100 after"]),
    ],
)
def test_a_compression_that_gains_nothing_says_why(
    sparsity: float, layouts: tuple[str, ...], after: int, expected: list[str]
):
    record: dict[str, Any] = {
        "sparsity": {"total": sparsity},
        "timings": [{"layout": layout, "chosen": True} for layout in layouts] + [{"layout": "rows", "chosen": False}],
        "bytes_on_disk": {"before": 100, "after": after},
    }
    assert [line.partition("; ")[0] for line in compression_notes(record)] == expected


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def warn(task: str) -> list[dict[str, Any]]:
        warnings.warn("first\nsecond", UserWarning, stacklevel=2)
        return presets_of(task)

    monkeypatch.setattr("riemod.cli.presets.presets_of", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        usual = warnings.showwarning
        _, errors = printed(capsys, "presets", "adding")
        assert errors == "riemod: warning: first second\n"
        assert warnings.showwarning is usual
