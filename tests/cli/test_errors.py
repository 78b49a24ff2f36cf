"""What the command line says of a mistake: one line that names the nearest right thing, and a status."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import riemod
from riemod.cli import commands
from riemod.cli.commands import main
from riemod.cli.parsing import UsageError, parse_command

TRAIN = ["train", "adding", "--preset", "smoke", "--out", "x"]
NEAR: dict[str, tuple[list[str], str]] = {
    "command": (["analyse", "x"], "got 'analyse': did you mean analyze?"),
    "swapped": (["trian", "adding"], "got 'trian': did you mean train?"),
    "task": (["train", "Navigation", "--out", "x"], "got 'Navigation': did you mean navigation?"),
    "preset": (["train", "adding", "--preset", "smok", "--out", "x"], "got 'smok': did you mean smoke?"),
    "manifold": ([*TRAIN, "--manifold", "tours"], "got 'tours': did you mean torus?"),
    "capital": ([*TRAIN, "--manifold=Torus"], "got 'Torus': did you mean torus?"),
    "arm": ([*TRAIN, "--arm", "random-geometry"], "got 'random-geometry': did you mean random_geometry?"),
    "evidence": ([*TRAIN, "--evidence", "co-activity"], "got 'co-activity': did you mean coactivity?"),
    "option": ([*TRAIN, "--strenth", "1"], "--strenth is no option of riemod train adding: did you mean --strength?"),
    "short": (["lottery", "x", "--ot", "y"], "--ot is no option of riemod lottery: did you mean --out?"),
    "task of presets": (
        ["presets", "navigaton"],
        "task must be 'navigation', 'adding' or 'language', got 'navigaton': did you",
    ),
    "shell": (["completion", "Bash"], "shell must be 'bash', 'zsh' or 'fish', got 'Bash': did you mean bash?"),
}
WRONG: dict[str, tuple[list[str], str]] = {
    "integer": ([*TRAIN, "--seed", "1.5"], "--seed must be an integer, got '1.5'"),
    "or none": ([*TRAIN, "--threads", "all"], "--threads must be an integer or None, got 'all'"),
    "number": ([*TRAIN, "--strength=strong"], "--strength must be a number or 'auto', got 'strong'"),
    "unlike all": ([*TRAIN, "--zzz", "1"], "--zzz is no option of riemod train adding; see riemod train adding --help"),
    "no out": (["train", "adding", "--preset", "smoke"], "--out PATH New folder for the run"),
    "no value": (["train", "adding", "--out"], "--out"),
    "too many": (["show", "a", "b"], "got what it does not take: b; see riemod show --help"),
    "nothing": ([], "riemod needs a command: train, resume, "),
    "gpu": ([*TRAIN, "--device", "gpu"], "got 'gpu': "),
}


@pytest.mark.parametrize(("arguments", "message"), (NEAR | WRONG).values(), ids=(NEAR | WRONG).keys())
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    said = fails(*arguments)
    assert said.startswith("riemod: error: ")
    assert message in said
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_one_line_as_it_is_written(capsys: pytest.CaptureFixture[str]):
    for arguments in (["show"], ["lottery", "x"], [*TRAIN, "--manifold", "tours"], ["train", "adding", "--out"]):
        with pytest.raises(SystemExit):
            main(arguments)
        written = capsys.readouterr().err
        assert written.count("\n") == 1
        assert written.endswith("\n")


def test_a_gpu_that_is_not_there_is_explained(fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("riemod._machine.device_names", lambda: ["cpu"])
    monkeypatch.setattr("torch.version.cuda", None)
    assert "a GPU's name is cuda, but this torch is built without it" in fails(*TRAIN, "--device", "gpu")
    monkeypatch.setattr("torch.version.cuda", "12.8")
    assert "a GPU's name is cuda, but torch finds no GPU or no driver" in fails(*TRAIN, "--device", "cuda:1")
    monkeypatch.setattr("riemod._machine.device_names", lambda: ["cpu", "cuda:0"])
    assert "(cpu, cuda:0), got 'gpu': did you mean cuda:0?" in fails(*TRAIN, "--device", "gpu")


def test_an_out_that_cannot_be_made_is_named_as_out(tmp_path: Path, fails: Callable[..., str]):
    file = tmp_path / "file"
    file.write_text("mine")
    for out, why in ((file, "that is a file, name a folder"), (file / "run", "Not a directory")):
        said = fails(*TRAIN[:-1], str(out))
        assert said.startswith("riemod: error: out must be ")
        assert f"got {out}: {why}" in said
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.name == "nt", reason="folders without permission are a matter of POSIX")
def test_an_out_without_permission_is_named_as_out(
    tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    def refuse(self: Path, *_: object, **__: object) -> None:  # Root may write anywhere.
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    said = fails(*TRAIN[:-1], str(tmp_path / "run"))
    assert f"out must be a folder that can be made and written, got {tmp_path / 'run'}: Permission denied" in said


def test_debug_shows_the_traceback_and_nothing_else_changes(capsys: pytest.CaptureFixture[str]):
    for arguments in (["--debug", "show", "nowhere"], ["show", "nowhere", "--debug"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2
        written = capsys.readouterr().err
        assert written.startswith("Traceback (most recent call last):")
        assert written.splitlines()[-1] == "riemod: error: run must be a folder with a config.json, got nowhere"


def test_a_fault_of_riemod_is_one_line_with_a_status_of_its_own(
    fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def broken() -> None:
        """Break."""
        raise AssertionError("two and\ntwo")

    monkeypatch.setitem(commands.COMMANDS, "break", broken)
    said = fails("break", status=70)
    assert said.startswith("riemod: error: unexpected AssertionError: two and two; please report it")
    with pytest.raises(SystemExit) as end:
        main(["break", "--debug"])
    assert end.value.code == 70
    assert "in broken" in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_lack_of_memory_is_no_fault_of_riemod(
    error: Exception, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    def run_out() -> None:
        """Run out."""
        raise error

    monkeypatch.setitem(commands.COMMANDS, "large", run_out)
    said = fails("large").strip()
    expected = "riemod: error: the memory does not suffice: take a smaller batch_size or a smaller net"
    assert said == (f"{expected}; {error}" if str(error) else expected)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]):
    main(["--version"])
    assert capsys.readouterr().out == f"riemod {riemod.__version__}\n"


def test_a_command_is_parsed_without_being_run():
    def add(first: int, second: float | None = None, loud: bool = False) -> None:
        """Add."""
        sys.exit("never run")

    assert parse_command(add, ["--first", "2", "--second=-1e3", "--loud"], "add").keywords == {
        "first": 2,
        "second": -1000.0,
        "loud": True,
    }
    assert parse_command(add, ["--first", "-2", "--second", "None", "--no-loud"], "add").keywords["first"] == -2
    with pytest.raises(UsageError, match="--no-first is no option of add"):
        parse_command(add, ["--no-first"], "add")
