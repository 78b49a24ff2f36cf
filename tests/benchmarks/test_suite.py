"""Suites: runs in processes or side by side, resumed, recorded once, and summed up in a table."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks import suite as suites
from benchmarks.adding import is_guessing
from benchmarks.suite import Suite, print_table, read_records, run_processes, run_together

SUITE = Suite(
    name="smoke",
    task="adding",
    preset="smoke",
    options={"epochs": 3},
    arms={"none": {}, "torus fixed": {"manifold": "torus"}},
    sparsities=(0.5,),
    seeds=(0,),
    metrics={"rmse": "1"},
    hidden="rnn.weight_hh_l0",
    lost=is_guessing,
)


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the records, away from the committed ones."""
    monkeypatch.setattr(suites, "RECORDS", tmp_path / "records")
    return tmp_path / "records" / "smoke"


def test_processes_run_what_has_no_record(tmp_path: Path, records: Path, capsys: pytest.CaptureFixture[str]):
    run_processes(SUITE, tmp_path / "runs")
    assert sorted(path.name for path in records.iterdir()) == ["none-50-seed0.json", "torus-fixed-50-seed0.json"]
    assert read_records(SUITE)["none", 0.5][0]["config"]["threads"] == 1
    capsys.readouterr()
    run_processes(SUITE, tmp_path / "runs")
    assert capsys.readouterr().out == ""
    print_table(SUITE)
    assert "torus fixed" in capsys.readouterr().out


def test_runs_side_by_side_leave_the_same_records(tmp_path: Path, records: Path):
    run_processes(SUITE, tmp_path / "apart")
    apart = read_records(SUITE)
    for path in records.iterdir():
        path.unlink()
    two = dataclasses.replace(SUITE, seeds=(0, 1))
    run_together(two, tmp_path / "together", threads=1)
    assert len(list(records.iterdir())) == 4
    for key, (record, *_) in read_records(two).items():
        assert record["sparsity"] == apart[key][0]["sparsity"]
        assert record["metrics"]["rmse"]["value"] == pytest.approx(apart[key][0]["metrics"]["rmse"]["value"], rel=1e-3)


def test_the_command_runs_on_as_many_as_it_is_told_and_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked: list[int] = []
    for arguments in (["suite"], ["suite", "3"], ["suite", "--table"]):
        monkeypatch.setattr("sys.argv", arguments)
        suites.main(asked.append, [SUITE])
        assert "smoke" in capsys.readouterr().out
    assert asked == [2, 3]
