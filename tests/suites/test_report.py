"""Tables of declared suites, from the committed records."""

from pathlib import Path

import pytest

from riemod.suites import SuiteError, load_suite
from riemod.suites.published import Protocol
from riemod.suites.report import scale_of, tables_of
from riemod.suites.tables import Metric, suite_table
from tests.suites.rows import rows

RECORDS = Path(__file__).parents[2] / "benchmarks" / "records"


def test_a_table_has_every_finished_run_and_counts_the_lost() -> None:
    suite = load_suite("adding-30", "paper")
    (table,) = tables_of(suite, RECORDS, str.upper)
    assert sum(entry.cell.n for entry in table.entries) == 60
    assert (table.metric.label, table.metric.unit, table.control) == ("RMSE", "1", "shuffled")
    lost = {entry.cell.arm: entry.cell.lost for entry in table.entries}
    assert (lost["none, paper"], lost["none, ours"], lost["none"]) == (5, 0, 0)
    compared = {entry.cell.arm: entry.comparison for entry in table.entries}
    assert compared["shuffled"] is None
    assert compared["none, ours"] is not None
    assert compared["none, ours"].control == "shuffled, ours"


def test_scale_is_that_of_the_paper_s_preset() -> None:
    assert scale_of(load_suite("adding", "paper")) is None
    assert scale_of(load_suite("adding-30", "paper")) == (
        "These runs differ from the paper's in scale: steps 30 in place of 50."
    )
    for name in ("adding", "navigation", "language"):
        suite = load_suite(f"{name}-published", "paper", {"data": "text"} if name == "language" else None)
        assert (suite.protocol, scale_of(suite)) == ("published", None)
    assert "smaller than the paper's nets" in str(scale_of(load_suite("navigation", "cpu")))


def test_a_folder_without_runs_says_how_to_train_them(tmp_path: Path) -> None:
    message = f"no finished run of suite 'apriori' at preset 'cpu': riemod bench apriori --preset cpu --out {tmp_path}"
    with pytest.raises(SuiteError, match=message):
        tables_of(load_suite("apriori", "cpu"), tmp_path)


def test_without_the_control_nothing_is_compared(tmp_path: Path) -> None:
    (tmp_path / "proximal-alone").mkdir()
    for record in (RECORDS / "proximal-alone").glob("torus-*.json"):
        (tmp_path / "proximal-alone" / record.name).write_bytes(record.read_bytes())
    (table,) = tables_of(load_suite("proximal-alone", "cpu"), tmp_path)
    assert [(entry.cell.arm, entry.cell.n, entry.comparison) for entry in table.entries] == [("torus", 5, None)]
    assert table.notes == ("No run of the control, shuffled, is finished: nothing is compared.",)


def test_targets_follow_the_protocol() -> None:
    runs = rows({"none": [0.1, 0.2], "shuffled": [0.1, 0.3], "shuffled, lottery": [0.4, 0.4]}, 0.95)
    cases: dict[Protocol, tuple[bool, ...]] = {"matched": (True, False, False), "published": (True, True, True)}
    for protocol, expected in cases.items():
        (table,) = suite_table(runs, "title", [Metric("rmse", "RMSE", "1")], "none", [8], None, protocol)
        assert tuple(entry.fair for entry in table.entries) == expected
    (table,) = suite_table(runs, "title", [Metric("rmse", "RMSE", "1")], "none", [8], "Smaller nets.", "published")
    assert not any(entry.fair for entry in table.entries)
