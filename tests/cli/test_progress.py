"""What a training run says of its progress where there is no terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from riemod.cli import console as module
from riemod.cli.console import show_progress
from riemod.tasks import TASKS
from riemod.training import Run, RunDescription, RunFolder, build


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return build(RunFolder(tmp_path / "run"), RunDescription("adding", TASKS["adding"].presets["smoke"], None))


def test_a_pipe_gets_a_line_every_ten_seconds_and_one_at_the_end(run: Run, monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 0.0, 4.0, 11.0, 20.0, 20.5])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    out = io.StringIO()
    with show_progress(run, Console(file=out, width=120)) as report:
        report(100, 200, {})
        report(120, 200, {})
        report(155, 200, {"eval_rmse": 0.25})
        report(199, 200, {"eval_rmse": 0.125})
        report(200, 200, {"eval_rmse": 0.125})
    assert out.getvalue().splitlines() == [
        "adding 155/200, RMSE 0.25, 5 steps/s, 9 s left",
        "adding 200/200, RMSE 0.125, 4.88 steps/s",
    ]


def test_a_terminal_gets_a_bar(run: Run):
    out = io.StringIO()
    with show_progress(run, Console(file=out, width=120, force_terminal=True)) as report:
        report(240, 240, {"eval_rmse": 0.125})
    assert "240/240" in out.getvalue()
    assert "RMSE 0.125" in out.getvalue()


def test_a_quiet_console_gets_nothing(run: Run):
    out = io.StringIO()
    with show_progress(run, Console(file=out, quiet=True)) as report:
        report(240, 240, {})
    assert out.getvalue() == ""
