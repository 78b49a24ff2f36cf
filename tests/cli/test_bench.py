"""`riemod bench`: what it prints and refuses, and with which status it ends; its processes are those of other tests."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from riemod.cli import bench
from riemod.cli.commands import main
from tests.cli.text import flat
from tests.suites.conftest import TINY, Inline
from tests.tasks.texts import write_text

Fails = Callable[..., str]


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> Inline:
    """Jobs run in this process."""
    executor = Inline()
    monkeypatch.setattr(bench, "Processes", lambda jobs: executor)
    return executor


@pytest.fixture
def declaration(tmp_path: Path) -> Path:
    """Three runs that take milliseconds."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.split("[tickets")[0].replace("sparsities = [0.0, 0.5]", "sparsities = [0.5]"))
    return path


def command(declaration: object, out: Path, *more: str) -> list[str]:
    return ["bench", str(declaration), "--preset", "smoke", "--out", str(out), *more]


def test_a_suite_is_trained_once_and_its_means_are_shown(
    declaration: Path, tmp_path: Path, inline: Inline, capsys: pytest.CaptureFixture[str]
):
    main(command(declaration, tmp_path / "out"))
    shown, errors = capsys.readouterr()
    assert errors == ""
    assert shown.startswith("tiny smoke: 3 runs trained, 0 were done before, 0 failed\n")
    assert "torus learned" in shown
    assert "RMSE" in shown
    records = [json.loads(file.read_text()) for file in (tmp_path / "out/tiny/smoke").iterdir()]
    assert len(records) == 3
    (mean,) = {f"{record['metrics']['rmse']['value']:.2f}" for record in records}
    rows = [line for line in shown.splitlines() if "50 %" in line]
    assert [mean in row for row in rows] == [True] * 3
    assert "too short to learn anything" in flat(shown)
    assert len(inline.calls) == 2
    main(command(declaration, tmp_path / "out"))
    assert capsys.readouterr().out.startswith("tiny smoke: all 3 runs were done before, nothing to do\n")
    assert len(inline.calls) == 2
    main(command(declaration, tmp_path / "out", "--seeds", "3", "4", "--quiet"))
    assert capsys.readouterr() == ("", "")
    assert len(list((tmp_path / "out/tiny/smoke").iterdir())) == 9


def test_runs_that_fail_are_named_and_end_the_command_with_status_2(
    declaration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    declaration.write_text(declaration.read_text().replace('"none" = {}', '"none" = { learning_rate = 1e20 }'))
    with pytest.raises(SystemExit) as end:
        main(command(declaration, tmp_path / "out"))
    assert end.value.code == 2
    shown, errors = capsys.readouterr()
    assert "2 runs trained, 0 were done before, 1 failed" in shown
    first, second = errors.splitlines()
    assert first.startswith("riemod: none, 0.5, seed 0: TrainingDiverged: the loss became ")
    assert second == "riemod: error: 1 of 3 runs failed twice; the others are done"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ading", "--preset", "smoke"), "suite must be .* did you mean 'adding'"),
        (("adding", "--preset", "smok"), "preset must be .* did you mean 'smoke'"),
        (("adding", "--preset", "smoke", "--jobs", "0"), "jobs must be an integer from 1 to 1024, got 0"),
        (("adding", "--preset", "smoke", "--device", "gpu"), "device must be one that torch has here"),
        (("adding", "--preset", "smoke", "--data", "x"), "unknown keys .*data"),
        (("language", "--preset", "smoke"), "data must be a folder with train.txt, valid.txt and test.txt, got None"),
        (("language", "--preset", "smoke", "--data", "nowhere"), "nowhere"),
        (("adding", "--preset", "smoke", "--seeds", "-1"), "seeds must be an integer >= 0, got -1"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_written(
    arguments: tuple[str, ...], message: str, tmp_path: Path, fails: Fails
):
    assert re.search(message, fails("bench", *arguments, "--out", str(tmp_path / "out")))
    assert not list(tmp_path.rglob("config.json"))


def test_rows_name_no_place_on_the_machine(declaration: Path, tmp_path: Path):
    text = write_text(tmp_path / "secret" / "words")
    path = tmp_path / "words.toml"
    changes = {
        'task = "adding"': 'task = "language"',
        'metrics = ["rmse"]': 'metrics = ["loss"]',
        "replicas = 3\n": "",
        'metric = "rmse"\nabove = 0.75\nof = "rmse of always answering 1"': 'metric = "collapsed"\nabove = 0.0',
        "steps = 4\n": 'embedding_size = 6\nbptt = 5\nsoftmax = "full"\n',
        '"torus learned" = { manifold = "torus", learn = true }\n': "",
    }
    declared = declaration.read_text()
    for old, new in changes.items():
        assert old in declared
        declared = declared.replace(old, new)
    path.write_text(declared)
    main(command(path, tmp_path / "out", "--data", str(text), "--quiet"))
    rows = list((tmp_path / "out/words/smoke").iterdir())
    assert len(rows) == 2
    assert all(str(tmp_path) not in row.read_text() and '"data": "words"' in row.read_text() for row in rows)
