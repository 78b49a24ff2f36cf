"""Tables say the unit of each number, and stay readable in a narrow terminal."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from riemod.cli.tables import comparison_table, record_table
from tests.cli.text import flat

FINISHED = Path(__file__).parents[1] / "training" / "old_layout" / "navigation-finished" / "record.json"


@pytest.fixture
def record() -> dict[str, Any]:
    """The record of a finished navigation run."""
    return json.loads(FINISHED.read_text())


def printed(table: Table, width: int = 160) -> str:
    text = io.StringIO()
    Console(file=text, width=width).print(table)
    return flat(text.getvalue())


def test_every_number_of_a_record_has_its_unit(record: dict[str, Any]):
    text = printed(record_table("run", record))
    terse = {"beyond_10_cm": "fraction of errors >= 10 cm", "beyond_50_cm": "fraction of errors >= 50 cm"}
    assert terse.keys() <= record["metrics"].keys()
    for group in ("metrics", "levels"):
        for name, entry in record[group].items():
            assert f" {name} {entry['value']:.4g} {terse.get(name, entry['unit'])} " in text
    for name, share in record["sparsity"].items():
        assert f" {name} {share:.4f} fraction of zeros " in text


def test_a_number_without_a_unit_stands_alone(record: dict[str, Any]):
    record["metrics"] = {"rmse": {"value": 0.25, "unit": "1"}}
    text = printed(record_table("run", record))
    assert " rmse 0.25 " in text
    assert " rmse 0.25 1 " not in text


def test_numbers_are_whole_in_a_narrow_terminal(record: dict[str, Any]):
    runs = dict.fromkeys(("learned torus", "no regularizer", "ticket of the torus"), record)
    text = printed(comparison_table("runs", runs), width=80)
    for entry in record["metrics"].values():
        assert text.count(f"{entry['value']:.4g} ") >= 3
