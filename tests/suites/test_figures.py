"""Figures of tables: the file says which numbers it shows."""

from pathlib import Path

from PIL import Image

from riemod.suites.figures import figure_digest, save_figure, shown_numbers
from riemod.suites.tables import Metric, SuiteTable, suite_table
from tests.suites.rows import rows


def table(value: float = 2.0, tables: tuple[int, ...] = (8,)) -> SuiteTable:
    runs = rows({"none": [1.0, value, 3.0], "torus fixed": [1.0, 1.5, 1.7], "none, lottery": [3.0]}, 0.95)
    return suite_table(runs, "Adding", [Metric("rmse", "RMSE", "1")], "none", tables)[0]


def test_lines_are_the_cells() -> None:
    panels = shown_numbers(table())
    assert list(panels) == ["95 % sparse", "95 % sparse, tickets: lottery"]
    none, torus, ticket = (line for lines in panels.values() for line in lines)
    assert (none.values, none.control, none.paper, none.fair) == ((1.0, 2.0, 3.0), True, (0.142,), True)
    assert (torus.control, torus.paper) == (False, (0.111,))
    assert (ticket.name, ticket.control, ticket.paper, ticket.fair) == ("none", True, (0.407,), False)


def test_the_file_holds_the_digest_of_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "figure.png"
    save_figure(table(), path)
    with Image.open(path) as image:
        assert image.text["Shown"] == figure_digest(table())  # pyright: ignore[reportAttributeAccessIssue]
        assert image.width > 900


def test_the_digest_tells_other_numbers_apart() -> None:
    digests = {figure_digest(one) for one in (table(), table(2.001), table(tables=()))}
    assert len(digests) == 3
    assert figure_digest(table(2 + 1e-12)) == figure_digest(table())
