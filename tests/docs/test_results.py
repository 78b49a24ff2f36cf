"""docs/results.md is what `make tables` makes of the committed records."""

import shutil
from pathlib import Path

import pytest

from benchmarks import tables

TEXT = tables.PAGE.read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    assert tables.rebuilt(TEXT) == TEXT, "make tables rewrites docs/results.md"


def test_the_figures_are_up_to_date_and_all_are_shown() -> None:
    shown = tables.figures(TEXT)
    stale = [path.name for path, figure in shown.items() if not tables.is_current(path, figure)]
    assert not stale, f"make tables draws {stale}"
    assert {path for path in tables.FIGURES.iterdir() if path.suffix == ".png"} == set(shown)


def test_what_stands_between_the_comments_is_made_anew() -> None:
    page = "before\n<!-- table proximal-alone cpu rmse -->\nold\n<!-- end -->\nafter\n"
    new = tables.rebuilt(page)
    assert "| shuffled | 0 % | 5 | 0.0220 ± 0.0067" in new
    assert "old" not in new
    assert new.startswith("before\n<!-- table")
    assert new.endswith("<!-- end -->\nafter\n")
    assert tables.rebuilt(new) == new


def test_a_figure_of_other_numbers_is_drawn_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, folder = tmp_path / "results.md", tmp_path / "_static"
    page.write_text("<!-- figure proximal-alone cpu rmse -->\n<!-- end -->\n", encoding="utf-8")
    monkeypatch.setattr(tables, "PAGE", page)
    monkeypatch.setattr(tables, "FIGURES", folder)
    tables.main()
    (path,) = folder.iterdir()
    assert capsys.readouterr().out == f"rewritten: {page}\ndrawn: {path}\n"
    tables.main()
    assert capsys.readouterr().out == ""
    other = next(iter(tables.Path(__file__).parents[2].glob("docs/_static/results/*.png")))
    shutil.copy(other, path)
    tables.main()
    assert capsys.readouterr().out == f"drawn: {path}\n"


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("<!-- table proximal-alone cpu loss -->\n<!-- end -->\n", "metric of proximal-alone must be one of rmse"),
        ("<!-- table proximal-alon cpu rmse -->\n<!-- end -->\n", "proximal-alon"),
        ("<!-- table proximal-alone cpu rmse -->\n", "must have an <!-- end -->"),
    ],
)
def test_a_wrong_comment_is_refused(mark: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tables.rebuilt(mark)
