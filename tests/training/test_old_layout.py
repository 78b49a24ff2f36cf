"""Runs of the old layout of the code (commit 61c638d) load, measure the same, and go on to the same end.

Each folder in `old_layout` is a run stopped after its first epoch, with `expected.json`: what the code of that commit
measured there and after its second epoch. Metrics agree to float rounding, for processors differ in their last bits.
"""

import json
import shutil
from pathlib import Path

import pytest

from riemod.cli.tables import record_table
from riemod.training import CheckpointError, RunFolder, evaluate, load, train

OLD = Path(__file__).parent / "old_layout"
# Its points followed co-activity by a law that is gone.
ANOTHER_LAW = "navigation-learned"
STOPPED = sorted(path.parent.name for path in OLD.glob("*/expected.json") if path.parent.name != ANOTHER_LAW)


@pytest.mark.parametrize("name", STOPPED)
def test_a_stopped_run_goes_on(name: str, tmp_path: Path) -> None:
    shutil.copytree(OLD / name, tmp_path / name)
    expected = json.loads((OLD / name / "expected.json").read_text())
    run = load(RunFolder(tmp_path / name))
    assert run.epoch == 1
    assert run.moduli is not None
    assert evaluate(run) == pytest.approx(expected["evaluate"], rel=1e-4)
    assert run.moduli().item() == pytest.approx(expected["penalty"], rel=1e-4)
    record = train(run)
    for metric, entry in expected["metrics"].items():
        assert record["metrics"][metric]["value"] == pytest.approx(entry["value"], rel=1e-3), metric
        assert record["metrics"][metric]["unit"] == entry["unit"]
    assert record["sparsity"] == pytest.approx(expected["sparsity"], abs=1e-6)


def test_there_is_a_run_of_each_kind() -> None:
    assert len(STOPPED) == 3


def test_a_run_whose_points_followed_another_law_is_refused_by_name(tmp_path: Path) -> None:
    shutil.copytree(OLD / ANOTHER_LAW, tmp_path / ANOTHER_LAW)
    with pytest.raises(CheckpointError, match="followed evidence by the law of an earlier version"):
        load(RunFolder(tmp_path / ANOTHER_LAW))


def test_a_finished_run_is_shown_and_not_trained_again() -> None:
    folder = RunFolder(OLD / "navigation-finished")
    record = folder.read_record()
    with pytest.warns(UserWarning, match=r"evidence\.seen\.0\.count.* are not loaded"):
        run = load(folder)
    assert run.epoch == run.config.training.epochs
    assert train(run) == record
    assert record_table("old", record).row_count > 10
    assert evaluate(run) == pytest.approx({name: entry["value"] for name, entry in record["metrics"].items()}, rel=1e-4)
