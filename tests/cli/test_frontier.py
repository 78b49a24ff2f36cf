"""`riemod measure` and `riemod frontier`: from trained nets to a table and a figure."""

from pathlib import Path

import pytest
from matplotlib.image import imread

from riemod.cli import main
from riemod.suites import load_suite
from riemod.suites.runner import run_suite
from tests.suites.conftest import TINY, Inline


def test_nets_are_measured_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out, figure = tmp_path / "tiny.toml", tmp_path / "out", tmp_path / "frontier.png"
    text = TINY.split("[tickets")[0].replace('"none" = {}', '"none" = { sparsities = [0.0] }')
    path.write_text(text, encoding="utf-8")
    common = [str(path), "--preset", "smoke"]
    run_suite(load_suite(path, "smoke", {"threads": 1}), out, Inline, lambda: 1)
    with pytest.raises(SystemExit):
        main(["frontier", *common, "--records", str(out)])
    assert "measured.json is missing: riemod measure tiny --preset smoke" in capsys.readouterr().err
    main(["measure", *common, "--results", str(out), "--rounds", "1"])
    assert capsys.readouterr().out == f"{out / 'tiny' / 'smoke' / 'measured.json'}\n"
    main(["frontier", *common, "--records", str(out), "--out", str(figure)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "# Runs that take milliseconds (smoke)"
    assert lines[2].startswith(
        "| net | sparsity | n | RMSE (each run) | multiply-adds a step | kB | ms, one sequence |"
    )
    assert len(lines) == 4 + 5
    assert imread(figure).shape[1] > 1000
    with pytest.raises(SystemExit):
        main(["frontier", *common, "--records", str(out), "--out", str(tmp_path / "frontier.svg")])
    assert r"out must end with .png" in capsys.readouterr().err
