"""The study of populations of several kinds: what a row holds, and what the table makes of rows."""

from analysis import kinds


def test_untuned_cells_beside_grid_cells_are_of_no_module() -> None:
    found = kinds.row(1, "40 grid and 20 untuned cells")
    assert found["sizes"] == [40]
    assert found["unassigned"] == 20
    assert found["index"] == 1.0


def test_the_table_counts_modules_and_shows_the_lowest_index() -> None:
    rows = [
        {"seed": seed, "population": "40 grid and 40 place cells", "index": index, "sizes": sizes, "unassigned": left}
        for seed, index, sizes, left in ((1, 1.0, [40, 40], 0), (2, 0.5, [79], 1), (3, 0.95, [40, 39], 1))
    ]
    assert "| 40 grid and 40 place cells | 2 | 2 of 3 | 0.95 | 0.50 | 0.7 |" in kinds.tables(rows)
