"""`riemod report`: what it prints, where the page goes, and how it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from riemod.cli import main
from tests.report.conftest import small_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    for name, manifold in (("a", "circle"), ("b", "none")):
        small_run(folder / name, "adding", hidden_size=10, manifold=manifold, learn=False)
    return [folder / "a", folder / "b"]


def test_the_page_of_one_run_goes_into_its_folder(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", str(runs[0])])
    out, errors = capsys.readouterr()
    page = runs[0] / "report.html"
    assert out == f"{page}\n"
    assert (
        f"riemod: note: not analyzed yet: no verdict, no bars, no tuning of the units: riemod analyze {runs[0]}"
        in errors
    )
    assert "smoke runs are too short" in errors
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_json_says_where_the_page_is_and_what_is_in_it(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    main(["report", *map(str, runs), "--out", str(page), "--json"])
    out, errors = capsys.readouterr()
    assert errors == ""
    written = json.loads(out)
    assert (written["page"], written["bytes"]) == (str(page), page.stat().st_size)
    assert [(run["run"], run["finished"], run["epochs"], run["verdict"]) for run in written["runs"]] == [
        (str(path), True, 3, None) for path in runs
    ]
    record = json.loads((runs[0] / "record.json").read_text())
    assert written["runs"][0]["metrics"] == record["metrics"]
    assert {"runs", "text", "is_warning", "command"} == set(written["remarks"][0])


def test_bad_requests_end_with_one_line(runs: list[Path], tmp_path: Path, fails: Callable[..., str]) -> None:
    first, second = map(str, runs)
    assert "RUN must name at least one run's folder, got none" in fails("report")
    assert "--out must name the page of several runs, such as report.html" in fails("report", first, second)
    assert "out must end with .html or .htm, got page.pdf" in fails("report", first, "--out", "page.pdf")
    foreign = tmp_path / "page.html"
    foreign.write_text("mine")
    message = fails("report", first, "--out", str(foreign))
    assert f"out must not be a file of something else, got {foreign}: name another, or take --overwrite" in message
    assert foreign.read_text() == "mine"
    main(["report", first, "--out", str(foreign), "--overwrite"])
    assert foreign.stat().st_size > 1_000_000
    nowhere = tmp_path / "nowhere"
    assert f"run must be a folder with a config.json, got {nowhere}" in fails("report", str(nowhere))
    assert "compressed must be folders that riemod compress made" in fails("report", first, "--compressed", second)


def test_without_its_libraries_it_says_what_to_install(
    runs: list[Path], fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "plotly" else find(name, *rest)
    )
    assert "report needs plotly: pip install 'riemod[report]' brings it" in fails("report", str(runs[0]))
