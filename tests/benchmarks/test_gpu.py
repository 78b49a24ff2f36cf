"""The command for a CUDA device: its time limit, what it keeps, and its error where there is none."""

import json
import time
from dataclasses import replace

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.__main__ import Options, main, run
from benchmarks.gpu.deadline import TimeIsUp, within
from benchmarks.gpu.navigation import ARMS, train_until
from benchmarks.gpu.rows import DRY
from benchmarks.speed.harness import Result

SMALL = {
    "device": "cpu",
    "epochs": 2,
    "batches_per_epoch": 2,
    "evaluation_batches": 1,
    "dense_epochs": 0,
    "tail_epochs": 0,
}


def test_what_takes_too_long_is_ended():
    with pytest.raises(TimeIsUp), within(0.05):
        time.sleep(60)
    with within(60):
        pass
    time.sleep(0.1)


def test_nothing_begins_without_time():
    begun = False
    with pytest.raises(TimeIsUp), within(0):
        begun = True
    assert not begun


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_is_one_line():
    with pytest.raises(SystemExit, match=r"^make gpu needs a CUDA device; make gpu DRY=1 goes through it on the CPU$"):
        main(Options())


def test_a_stage_that_fails_or_takes_too_long_leaves_the_others(monkeypatch, tmp_path, capsys):
    calls = []

    def rows(name, action=lambda: None):
        def measure(_):
            calls.append(name)
            action()
            return [Result(f"{name}-row", 1.0, "x", 1.0, "itself")]

        return measure

    def fail():
        raise RuntimeError("no kernel")

    groups = {
        "fails": rows("fails", fail),
        "slow": rows("slow", lambda: time.sleep(60)),
        "fine": rows("fine"),
        "before": rows("before"),
    }
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "before-row.json").write_text("{}")
    monkeypatch.setattr(gpu, "GROUPS", groups)
    monkeypatch.setattr(gpu, "run_tests", lambda _: 0)
    monkeypatch.setattr(gpu, "train_until", lambda *_: [])
    assert run(replace(DRY, rows_seconds=0.2), time.monotonic() + 100, tmp_path / "records", tmp_path / "runs") == 1
    assert calls == ["fails", "slow", "fine"]
    told = capsys.readouterr().err
    assert "fails failed: RuntimeError: no kernel" in told
    assert "slow: not finished in its time" in told
    assert "before: measured before" in told
    assert sorted(path.name for path in (tmp_path / "records").iterdir()) == ["before-row.json", "fine-row.json"]


def test_navigation_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.gpu.navigation.ARMS", dict(list(ARMS.items())[:1]))
    assert train_until(time.monotonic(), tmp_path, "smoke", SMALL) == []
    (record,) = train_until(time.monotonic() + 100, tmp_path, "smoke", SMALL)
    assert (record["arm"], record["epochs"], record["of"]) == ("torus-learned", 2, 2)
    assert record["metrics"] is not None
    assert train_until(time.monotonic() + 100, tmp_path, "smoke", SMALL) == [record]
    json.dumps(record)
