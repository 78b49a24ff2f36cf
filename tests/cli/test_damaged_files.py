"""Files of a run that someone has changed: one line on standard error, status 2, and markup is text."""

import json
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from riemod.cli.commands import main
from riemod.cli.tables import comparison_table, progress_table, record_table
from riemod.tasks import TASKS
from riemod.training import RunFolder

OLD = Path(__file__).parents[1] / "training" / "old_layout"
SMALL = ["--preset", "smoke", "--epochs", "3", "--batches-per-epoch", "2", "--batch-size", "4", "--tail-epochs", "1"]


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    shutil.copytree(OLD / "navigation-finished", tmp_path / "run")
    return tmp_path / "run"


def printed(table: Any) -> str:
    file = StringIO()
    Console(file=file, width=400).print(table)
    return file.getvalue()


def change(path: Path, *keys: str, value: object) -> None:
    content = json.loads(path.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("metrics", "loss", "value"), None, "metrics.loss.value must be a number, got null"),
        (("metrics", "loss", "unit"), 3, "metrics.loss.unit must be text, got 3"),
        (("metrics",), [], "metrics must be an object, got a list"),
        (("sparsity", "total"), 1.5, "sparsity.total must be from 0 to 1, got 1.5"),
        (("sparsity",), {}, "sparsity must have the key 'total'"),
        (("parameters",), -1, "parameters must be >= 0, got -1"),
        (("parameters",), "552", "parameters must be a whole number, got '552'"),
        (("versions", "torch"), None, "versions.torch must be text, got null"),
        (("wall_time", "value"), 10**400, "wall_time.value must be a number, got a whole number of 1329 bits"),
        (("commit",), "\ud800", "must be text in UTF-8"),
        (("config",), {"seed": 3}, "config lacks the keys"),
        (("ticket_of",), ["a"], "ticket_of must be text, got a list"),
    ],
)
def test_a_changed_record_is_refused(
    keys: tuple[str, ...], value: object, message: str, finished: Path, fails: Callable[..., str]
):
    change(finished / "record.json", *keys, value=value)
    said = fails("show", str(finished))
    assert message in said
    # A configuration without this version's keys is what a record of another version has.
    outdated = message == "config lacks the keys"
    assert ("record.json is no record of this version" if outdated else "record.json is damaged") in said


def test_damage_of_metrics_is_refused_and_a_line_that_was_cut_off_is_not(
    finished: Path, fails: Callable[..., str], capsys: pytest.CaptureFixture[str]
):
    (finished / "record.json").unlink()
    first, second = (finished / "metrics.jsonl").read_text().splitlines()
    for rows, message in (
        ("null\n", "line 1: it must be an object, got null"),
        (f"{first}\n{first}\n", "line 2: epoch must be above 0"),
        (f"{first[:40]}\n{second}\n", "line 1: it must be JSON"),
        (f"{first}\n" + '{"epoch": 1, "loss": "[red]"}\n', "line 2: loss must be a number, got '[red]'"),
        ('{"epoch": null}\n', "line 1: epoch must be a whole number, got null"),
    ):
        (finished / "metrics.jsonl").write_text(rows)
        assert message in fails("show", str(finished))
    (finished / "metrics.jsonl").write_text(f"{first}\n{second[:40]}")
    main(["show", str(finished)])
    assert "1 of 2 epochs" in " ".join(capsys.readouterr().out.split())


def test_a_record_of_two_gigabytes_is_refused_at_once(finished: Path, fails: Callable[..., str]):
    for name in ("record.json", "config.json"):
        with (finished / name).open("r+b") as file:
            file.truncate(2 * 2**30)
        assert "bytes, got 2,147,483,648" in fails("show", str(finished))
        if name == "record.json":
            (finished / name).unlink()


def test_keys_of_a_config_are_named_with_the_nearest_one(finished: Path, fails: Callable[..., str]):
    change(finished / "config.json", "config", "hiden_size", value=3)
    said = fails("resume", str(finished))
    assert "unknown keys ['hiden_size']" in said
    assert "did you mean hidden_size?" in said
    assert "damaged" not in said
    assert len(said) < 300


def test_a_checkpoint_file_outside_its_folder_is_not_read(finished: Path, fails: Callable[..., str]):
    for name in ("../record.json", "/etc/passwd", "..", "a/b.safetensors", "\x1b.safetensors"):
        change(finished / "checkpoint" / "latest.json", "file", value=name)
        assert "must be the name of a safetensors file in its folder" in fails("evaluate", str(finished))


def test_runs_that_are_tickets_of_each_other_are_refused(tmp_path: Path, fails: Callable[..., str]):
    config = TASKS["adding"].presets["smoke"].to_dict()
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        content = {"task": "adding", "config": config, "ticket_of": str(tmp_path / other)}
        (tmp_path / name / "config.json").write_text(json.dumps(content))
    assert "is not finished" in fails("resume", str(tmp_path / "a"))


def test_markup_in_names_units_and_titles_is_text(finished: Path):
    folder = RunFolder(finished)
    record = folder.read_record()
    record["metrics"]["[bold]loss[/bold] :smile:"] = {"value": 1.0, "unit": "[/] [link=file:///x]nats"}
    record["versions"]["torch"] = "2.0 [red]\x1b[31m"
    text = printed(record_table("runs/[blue]x[/]", record))
    for expected in ("runs/[blue]x[/]", "[bold]loss[/bold] :smile:", "[/] [link=file:///x]nats", r"[red]\x1b[31m"):
        assert expected in text
    assert "\x1b" not in text
    text = printed(comparison_table("[i]title", {"[b]one": record, "two": folder.read_record()}))
    assert "[i]title" in text
    assert "[b]one" in text
    rows = [{"epoch": 0, "[u]loss": 2.0}, {"epoch": 1, "[u]loss": 1.0, "[u]more": float("nan")}]
    text = printed(progress_table("[i]run", folder.read_description(), rows))
    assert "[u]loss" in text
    assert "nan" in text


def test_a_long_text_is_cut(finished: Path):
    record = RunFolder(finished).read_record()
    record["metrics"]["loss"]["unit"] = "x" * 10**6
    assert len(printed(record_table("run", record))) < 10**5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--hidden-size", str(10**12)), "hidden_size must be at most 2147483647 in size, got 1000000000000"),
        (("--hidden-size", str(10**9)), "hidden_size must fit the"),
        (("--epochs", str(10**12)), "epochs must be at most 2147483647 in size, got 1000000000000"),
        (("--batch-size", str(2**63)), "batch_size must be at most 2147483647 in size"),
        (("--batch-size", str(2**31 - 1)), "evaluation_batches x steps x batch_size must fit the"),
        (("--batches-per-epoch", str(2**31 - 1)), "batches_per_epoch x steps x batch_size must fit the"),
        (("--evaluation-batches", str(2**31 - 1)), "evaluation_batches x steps x batch_size must fit the"),
        (("--replicas", str(10**9)), "replicas x"),
        (("--threads", str(10**9)), "threads must be an integer from 1 to 1024, got 1000000000"),
        (("--device", "vulkan"), "device must be one that torch has here (cpu"),
        (("--device", "hpu"), "device must be one that torch has here (cpu"),
        (("--device", "gpu"), "device must be one that torch has here (cpu"),
        (("--device", "meta"), "device must be one that torch has here (cpu"),
    ],
)
def test_what_this_machine_cannot_hold_is_refused_before_anything_is_written(
    options: tuple[str, ...], message: str, tmp_path: Path, fails: Callable[..., str]
):
    said = fails("train", "adding", *SMALL, *options, "--out", str(tmp_path / "run"))
    assert message in said
    assert len(said) < 400
    assert not (tmp_path / "run").exists()
