"""Help: every command has examples, each of which is right; what people need first stands first."""

import re
import shlex
from pathlib import Path
from typing import get_args

import pytest

from riemod.cli.commands import COMMANDS, main
from riemod.cli.parsing import examples_of, parse_command
from riemod.cli.presets import TaskName, presets_of
from riemod.cli.train import examples_of_task, parse_train
from riemod.tasks import TASKS
from tests.cli.text import flat


def helped(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert end.value.code == 0
    out, errors = capsys.readouterr()
    assert errors == ""
    return out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_shows_examples_that_parse(name: str, capsys: pytest.CaptureFixture[str]):
    examples = examples_of(COMMANDS[name].__doc__ or "")
    text = helped(capsys, name)
    assert f"usage: riemod {name}" in text
    assert examples
    for example in examples:
        assert example in text
        program, command, *arguments = shlex.split(example.partition(" > ")[0])
        assert (program, command) == ("riemod", name)
        if name == "train" and arguments[1:] != ["--help"]:
            parse_train(arguments[0], arguments[1:])
        elif name != "train":
            assert parse_command(COMMANDS[name], arguments, f"riemod {name}").func is COMMANDS[name]


@pytest.mark.parametrize("task", TASKS)
def test_help_of_a_task_opens_with_what_people_need_first(
    task: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    text = helped(capsys, "train", task)
    for example in examples_of_task(task):
        assert example in text
        parse_train(task, shlex.split(example)[3:])
    # Captured output is not in UTF-8: a box is then a title above a rule.
    _, *boxes = re.split(r"^ ((?:[a-z]+ )?options) *\n -+ *$", text, flags=re.MULTILINE)
    titles, first = boxes[::2], boxes[1]
    found = re.findall(r"^  --([a-z-]+)", first, flags=re.MULTILINE)
    data = ["data"] if task == "language" else []
    expected = ["out", "preset", *data, "manifold", "learn", "strength", "sparsity", "epochs", "seed", "device"]
    assert found == [*expected, "threads", "replicas", "quiet", "json"]
    groups = ["task", "machine", "training", "optimizer", "regularization", "pruning"]
    assert titles == ["options", *(f"{group} options" for group in groups)]
    assert f"--preset {{{','.join(TASKS[task].presets)}}}" in flat(first).replace(", ", ",")


@pytest.mark.parametrize("task", TASKS)
def test_the_options_are_the_numbers_of_the_configuration(task: str):
    options, config = parse_train(task, ["--preset", "paper", "--out", "x", "--hidden_size", "65"])
    assert (options.out, config) == (Path("x"), TASKS[task].presets["paper"].replace(hidden_size=65))


def test_the_help_of_all_commands_names_them(capsys: pytest.CaptureFixture[str]):
    text = helped(capsys)
    assert "riemod train navigation --preset smoke --out runs/a" in text
    assert "--debug" in text
    assert "--version" in text


def test_every_preset_is_described():
    assert get_args(TaskName) == tuple(TASKS)
    for task, kind in TASKS.items():
        assert [entry["preset"] for entry in presets_of(task)] == list(kind.presets)
        for entry in presets_of(task):
            assert len(entry["what"].split()) > 3
            assert entry["minutes"] > 0
            assert entry["config"] == kind.presets[entry["preset"]].to_dict()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_knows_commands_tasks_and_options(shell: str, capsys: pytest.CaptureFixture[str]):
    main(["completion", shell])
    script = capsys.readouterr().out
    for word in (*COMMANDS, *TASKS, "--manifold", "torus6", "--embedding-learning-rate", "cpu-klein"):
        assert word in script
