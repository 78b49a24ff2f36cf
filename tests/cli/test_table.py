"""`riemod table`: prints what it should, or writes a table and its figures."""

import csv
from pathlib import Path

import pytest

from riemod.cli import main
from riemod.suites import load_suite
from riemod.suites.runner import run_suite
from tests.suites.conftest import TINY, Inline

RECORDS = Path(__file__).parents[2] / "benchmarks" / "records"
COMMAND = ["table", "proximal-alone", "--records", str(RECORDS)]


def test_prints_markdown_with_its_legend(capsys: pytest.CaptureFixture[str]) -> None:
    main(COMMAND)
    text = capsys.readouterr().out
    assert text.startswith("# Soft thresholding in place of magnitude pruning (cpu)\n\n| arm | sparsity | n | RMSE |")
    assert "| shuffled | 0 % | 5 | 0.0220 ± 0.0067 [" in text
    assert "Could have shown: the smallest true difference" in text


def test_writes_a_file_and_the_figure_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "table.csv"
    main([*COMMAND, "--format", "csv", "--out", str(out)])
    figure = out.with_name("table-rmse.png")
    assert capsys.readouterr().out.splitlines() == [str(out), str(figure)]
    assert figure.read_bytes().startswith(b"\x89PNG")
    with out.open(newline="", encoding="utf-8") as file:
        assert [row["arm"] for row in csv.DictReader(file)] == ["torus", "matched L1", "shuffled"]


def test_latex_names_its_columns_in_comments(capsys: pytest.CaptureFixture[str]) -> None:
    main([*COMMAND, "--format", "latex"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("%") for line in lines[:4]] == [True, True, True, False]
    assert r"\begin{table}" in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table", "nothing"], "nothing"),
        (["table", "proximal-alone", "--preset", "huge"], "huge"),
        (["table", "proximal-alone", "--records", "/nowhere"], "/nowhere has no finished run of suite"),
        ([*COMMAND, "--out", "/"], "out must be a file, got the folder /"),
    ],
)
def test_bad_requests_end_with_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_bench_ends_with_the_table_beside_the_paper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declaration = tmp_path / "tiny.toml"
    declaration.write_text("tables = [8]\n" + TINY.replace("seeds = [0]", "seeds = [0, 1]"), encoding="utf-8")
    suite = load_suite(declaration, "smoke", {"threads": 1})
    run_suite(suite, tmp_path / "out", Inline, lambda: 1)
    main(["bench", str(declaration), "--preset", "smoke", "--out", str(tmp_path / "out")])
    text = " ".join(capsys.readouterr().out.split())
    assert "all 20 runs were done before, nothing to do" in text
    assert "0.036" in text
    assert "no (1)" in text
    assert "(1) These runs are of preset smoke, which is smaller than the paper's nets." in text
    assert "With 2 pairs of seeds at most and 4 comparisons" in text
