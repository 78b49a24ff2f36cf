"""Tables of suites in Markdown, LaTeX and CSV: what they show, and that no text breaks them."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riemod.suites.formats import FORMATS, escape_latex, escape_markdown, to_csv, to_latex, to_markdown
from riemod.suites.tables import Metric, SuiteTable, suite_table
from tests.suites.rows import Row, rows

RMSE = Metric("rmse", "RMSE", "1")
VALUES = {
    "none": [0.011, 0.012, 0.016],
    "torus fixed": [0.013, 0.011, 0.012],
    "R3 fixed": [0.41, 0.40, 0.41],
    "own": [0.02],
}


def adding(scale: str | None = None, values: dict[str, list[float]] = VALUES) -> list[SuiteTable]:
    return suite_table(rows(values, 0.95), "Adding problem", [RMSE], "none", [8, 9], scale)


def cells(text: str) -> list[list[str]]:
    """The cells of a Markdown table, unescaped."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[re.sub(r"\\(.)", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_markdown_has_the_numbers_and_the_paper_beside_them() -> None:
    header, rule, none, torus, space, own = cells(to_markdown(adding()))
    assert header == [
        *("arm", "sparsity", "n", "RMSE", "less none", "p (Holm)", "could have shown", "paper", "fair target")
    ]
    assert set(rule) == {"---"}
    assert none[:5] == ["none", "95 %", "3", "0.0130 ± 0.0026 [0.0064, 0.0196]", "control"]
    assert none[7:] == ["0.142 ± 0.122 (Table 8)", "yes (1)"]
    assert torus[3] == "0.0120 ± 0.0010 [0.0095, 0.0145]"
    assert torus[4].startswith("\N{MINUS SIGN}0.0010 [")
    assert torus[5] == "1"
    assert space[7:] == ["0.050 ± 0.026 (Table 9)", "no (2)"]
    assert own == ["own", "95 %", "1", "0.0200", "0.0090", "1", "\N{EN DASH}", "\N{EN DASH}", ""]


def test_notes_say_what_could_not_be_shown_and_why_a_target_is_not_fair() -> None:
    text = to_markdown(adding())
    assert "With 3 pairs of seeds at most and 3 comparisons, no corrected p-value" in text
    assert "(2) In the reference the coefficient of this arm is 0" in text
    other = to_markdown(adding("30 numbers in place of 50."))
    assert [line[-1] for line in cells(other)[2:]] == ["no (1)", "no (1)", "no (1), (2)", ""]
    assert "- (1) 30 numbers in place of 50." in other


def test_enough_seeds_leave_the_note_out() -> None:
    values = {"none": [float(i) for i in range(6)], "torus fixed": [i + 1.0 for i in range(6)]}
    table = adding(values=values)
    assert not table[0].notes
    assert cells(to_markdown(table))[3][5] == "0.031"


def test_lost_and_collapsed_runs_have_columns_where_there_are_any() -> None:
    runs = [
        Row("none", 0.9, seed, {"test_perplexity": 900.0, "lost": 1.0, "test_collapsed": seed % 2.0})
        for seed in range(3)
    ]
    table = suite_table(runs, "t", [Metric("test_perplexity", "perplexity", "words")], "none", [4, 5])
    header, _, line = cells(to_markdown(table))
    assert header == ["arm", "sparsity", "n", "lost", "collapsed", "perplexity, words", "paper", "fair target"]
    assert line[:6] == ["none", "90 %", "3", "3", "1", "900 ± 0 [900, 900]"]
    assert line[6] == "672 (Table 4, printed 91.12 ± 34.21)"
    assert "published^(1 / ln 2)" in table[0].notes[0]


def test_csv_keeps_every_digit() -> None:
    read = list(csv.DictReader(io.StringIO(to_csv(adding()))))
    none, torus, _, own = read
    assert [float(x) for x in none["values"].split()] == VALUES["none"]
    assert float(torus["difference"]) == pytest.approx(-0.001)
    assert (torus["paper"], torus["paper_std"], torus["paper_table"], torus["fair"]) == ("0.111", "0.035", "8", "yes")
    assert (none["p_value"], own["std"], own["paper"]) == ("", "", "")


@given(st.text(max_size=30))
def test_latex_of_any_text_has_no_bare_command(text: str) -> None:
    escaped = escape_latex(text)
    commands = r"\\text(?:backslash|asciitilde|asciicircum|less|greater|bar|quotedbl|asciigrave)\{\}"
    rest = re.sub(rf"{commands}|\\[{{}}$&%#_]|\$(?:\\pm|-|\^3)\$|--", "", escaped)
    assert not set(rest) & set('\\{}$&%#_~^<>|"`')
    assert rest.isprintable()


@given(st.text(max_size=30))
def test_markdown_of_any_text_is_one_cell_that_reads_back(text: str) -> None:
    line = f"| {escape_markdown(text)} |"
    (read,) = cells(line)
    assert read == ["".join(char if char.isprintable() else " " for char in text).strip()]


@given(st.text(max_size=12))
def test_arms_of_any_name_keep_every_table_in_shape(arm: str) -> None:
    table = suite_table(rows({"none": [1.0], f"x{arm}": [2.0]}), "t & u", [RMSE], "none")
    header, _, *lines = cells(to_markdown(table))
    assert all(len(line) == len(header) for line in lines)
    assert len(list(csv.reader(io.StringIO(to_csv(table), newline="")))) == 3
    body = [line for line in to_latex(table).splitlines() if line.endswith("\\\\")]
    assert all(len(re.findall(r"(?<!\\)&", line)) == len(header) - 1 for line in body)


def test_latex_uses_booktabs_and_escapes() -> None:
    text = to_latex(adding(values={"none": [1.0, 2.0, 4.0], "a_b & 50%": [2.0, 3.0, 5.0]}))
    assert r"\toprule" in text
    assert r"a\_b \& 50\% & 95 \% & 3 & 3.3 $\pm$ 1.5 [$-$0.5, 7.1]" in text
    assert text.count(r"\begin{tabular}{lrrrrrrrr}") == 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    body = to_latex(adding())
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + body + "\\end{document}\n"
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_formats_are_by_name() -> None:
    assert list(FORMATS) == ["markdown", "csv", "latex"]


def test_bad_tables_are_refused() -> None:
    with pytest.raises(ValueError, match="metrics must hold at least one metric, got none"):
        suite_table(rows(VALUES), "t", [], "none")
    with pytest.raises(TypeError, match="metrics must be Metric, got str"):
        suite_table(rows(VALUES), "t", ["rmse"], "none")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="number must be that of a table of the paper"):
        suite_table(rows(VALUES), "t", [RMSE], "none", [99])
