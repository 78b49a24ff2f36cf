"""The paper's tables as data: shapes, units, ranges, conversions, and what is said of each number as a target."""

import math

import pytest

from riemod.suites.published import (
    Protocol,
    Published,
    PublishedTable,
    published_numbers,
    published_table,
    read_table,
    table_numbers,
    true_perplexity,
)
from riemod.tasks import TASKS, task_class

TABLES = [published_table(number) for number in table_numbers()]
CELLS = [(table, cell) for table in TABLES for cell in table.cells]


def cell(number: int, arm: str, sparsity: float, **more: float) -> Published:
    found = published_table(number).find(arm, sparsity, **more)
    assert found is not None
    return found


def test_all_tables_are_there_with_all_their_cells() -> None:
    counts = {table.number: len(table.cells) for table in TABLES}
    columns = {1: 4, 2: 4, 3: 5, 4: 4, 5: 4, 6: 5, 7: 4, 8: 4, 9: 4, 10: 5, 15: 2, 16: 3, 17: 3, 18: 3, 19: 3, 20: 3}
    rows = {7: 2, 8: 3, 9: 3, 10: 3, 15: 4}
    assert counts == {number: columns[number] * rows.get(number, 5) for number in columns}
    assert sum(counts.values()) == 260


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"table {table.number}")
def test_a_table_names_a_task_a_preset_and_a_metric_of_riemod(table: PublishedTable) -> None:
    assert table.task in TASKS
    assert table.preset in task_class(table.task).presets
    assert table.metric in task_class(table.task).units
    assert table.unit == {"navigation": "cm", "adding": "1", "language": "2^(nats per token)"}[table.task]
    assert (table.conversion is not None) == (table.task == "language")
    assert len({(c.arm, c.sparsity, c.ticket, c.strength) for c in table.cells}) == len(table.cells)


@pytest.mark.parametrize(
    ("task", "low", "high"), [("navigation", 4.4, 99), ("adding", 0.03, 0.41), ("language", 40, 185)]
)
def test_numbers_lie_where_nets_of_the_task_can(task: str, low: float, high: float) -> None:
    means = [cell.mean for table, cell in CELLS if table.task == task]
    assert low <= min(means)
    assert max(means) <= high
    assert all(0 <= cell.std <= 2 * cell.mean for _, cell in CELLS)


def test_every_number_says_what_it_is_worth() -> None:
    targets = [cell.target(protocol) for _, cell in CELLS for protocol in ("matched", "published")]
    assert all(target.why.endswith(".") and len(target.why) > 20 for target in targets)
    tasks, alike = ("navigation", "adding"), ("none", "torus fixed", "torus learned")
    assert fair_arms("matched") == {(task, arm, False) for task in tasks for arm in alike}
    assert not any(cell.matched.fair or cell.as_published.fair for _, cell in CELLS if cell.strength is not None)


def fair_arms(protocol: Protocol) -> set[tuple[str, str, bool]]:
    """Task, arm, and whether it is a ticket, of every number that is a fair target."""
    return {(table.task, cell.arm, cell.ticket) for table, cell in CELLS if cell.target(protocol).fair}


def test_the_constants_of_the_paper_s_own_code_make_most_of_its_arms_targets() -> None:
    alike = {"none", "shuffled", "torus fixed", "torus learned", "R3 fixed", "circle", "sphere", "Klein", "6-torus"}
    expected = {("navigation", arm, ticket) for arm in alike for ticket in (True, False)}
    expected |= {("adding", arm, ticket) for arm in {*alike, "L1"} for ticket in (True, False)}
    assert fair_arms("published") == expected
    # As published, navigation's L1 has coefficient 0 there and 1 here; so its tickets are not alike either.
    found = cell(1, "L1, lottery", 0.9)
    assert (found.as_published.fair, "coefficient of L1 is 0" in found.as_published.why) == (False, True)
    assert (found.matched.fair, "new points" in found.matched.why) == (False, True)


def test_known_numbers() -> None:
    assert (cell(1, "torus fixed", 0.9).mean, cell(1, "torus fixed", 0.9).std) == (5.69, 0.43)
    assert cell(1, "none", 0.9).value == 71.75
    assert cell(8, "L1", 0.95).value == 0.265
    assert cell(9, "R3 learned", 0.95).value == 0.044
    assert cell(10, "6-torus, lottery", 0.95).value == 0.353
    assert cell(17, "torus fixed", 0.9, strength=0.1).value == 9.13
    assert cell(1, "matched L1", 0.75) == cell(1, "L1", 0.75)
    assert published_table(1).find("torus fixed", 0.95) is None
    assert published_table(17).find("torus fixed", 0.9) is None
    assert cell(17, "torus fixed 0.1", 0.9) == cell(17, "torus fixed", 0.9, strength=0.1)
    assert cell(18, "matched L1 0.0006", 0.9).mean == 57.54


def test_perplexities_are_powers_of_two_of_the_loss_in_nats() -> None:
    for _, found in CELLS:
        if found.unit == "2^(nats per token)":
            assert math.log(found.value) == pytest.approx(math.log2(found.mean), rel=1e-12)
    assert math.log(true_perplexity(114.56)) == pytest.approx(6.84, abs=0.001)
    assert cell(4, "torus fixed", 0.9).value == pytest.approx(230.5, abs=0.5)
    assert cell(5, "torus fixed", 0.9).value == pytest.approx(207.4, abs=0.1)
    with pytest.raises(ValueError, match=r"published must be finite and >= 1, got 0\.5"):
        true_perplexity(0.5)


def test_two_printed_numbers_of_one_arm_are_both_returned() -> None:
    assert [c.mean for c in published_numbers([1, 2, 3], "error_top3", "torus fixed", 0.0)] == [4.67, 4.70]
    assert [c.table for c in published_numbers([8, 9, 10], "rmse", "torus fixed", 0.95)] == [8]
    assert published_numbers([8], "loss", "torus fixed", 0.95) == []


TEXT = """
title = "t"
task = "adding"
preset = "paper"
metric = "rmse"
unit = "1"
arms = ["none"]
rows = [{ sparsity = 0.9, ticket = false, means = [0.1], stds = [0.0] }]
targets = { none = { fair = true, why = "w" } }
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "1"', 'unit = "m"', "unit must be 'cm', '1' or"),
        ("means = [0.1]", "means = [0.1, 0.2]", "means must have 1 numbers, one an arm, got 2"),
        ("means = [0.1]", "means = [nan]", "finite|number"),
        ("sparsity = 0.9", "sparsity = 90", "sparsity must be from 0 to 1, got 90"),
        ("targets = { none", "targets = { torus", "targets must say whether 'none' is fair"),
        ('title = "t"', "", "title"),
        ('unit = "1"', 'unit = "1"\nconversion = "x"', "conversion must be given for the unit"),
        ('unit = "1"', 'unit = "1"\nbeside = { none = "L1" }', "beside must name arms that are not in the table"),
        ("arms = [", "arms = ", "table 1 of the paper is damaged"),
    ],
)
def test_a_damaged_table_is_refused(old: str, new: str, message: str) -> None:
    assert read_table(1, TEXT).cells[0].mean == 0.1
    with pytest.raises(ValueError, match=message) as error:
        read_table(1, TEXT.replace(old, new))
    assert str(error.value).startswith("table 1 of the paper is damaged: ")


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(ValueError, match=r"number must be that of a table of the paper, 1, 2, .*, got 11"):
        published_table(11)
