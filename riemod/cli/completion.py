"""Completion of commands, tasks, options and their choices in a shell, by the script that tyro writes."""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import tyro

from riemod.cli.train_options import options_type
from riemod.tasks import TASKS

Shell = Literal["bash", "zsh", "fish"]


def completion_script(shell: Shell, commands: dict[str, Callable[..., Any]]) -> str:
    """Return the script that completes the command line of riemod in a shell.

    Args:
        shell: whose syntax the script has.
        commands: by name; `train` is completed by the options of each task.
    """
    tasks = [
        Annotated[options_type(task, task.presets["cpu"]), tyro.conf.subcommand(name=name)]
        for name, task in TASKS.items()
    ]

    def train(task: Union[tuple(tasks)]) -> None:  # pyright: ignore  # noqa: UP007, made of the registry of tasks
        """Train a net on a task."""

    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script"
        with contextlib.suppress(SystemExit):
            tyro.extras.subcommand_cli_from_dict(
                commands | {"train": train},
                prog="riemod",
                args=["--tyro-write-completion", shell, str(script)],
                config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
            )
        text = script.read_text()
    # Where nothing of riemod fits, bash completes file names, such as those of runs.
    return text.replace("complete -F", "complete -o default -F") if shell == "bash" else text
