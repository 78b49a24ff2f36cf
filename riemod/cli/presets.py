"""The command `riemod presets`: what each preset of a task is, its size, and about how long it takes."""

from typing import Annotated, Any, Literal

import tyro
from rich.table import Table

from riemod.cli.cells import add_captions, add_row, new_table
from riemod.cli.console import open_console, print_json
from riemod.tasks import TASKS

TaskName = Literal["navigation", "adding", "language"]
_TIME = (
    "time: a guide, from the CPU time of a few steps on one thread of a server, a torus learned with it;",
    "navigation's paper and language's steady were not run: calculated from a matrix product, and taken from paper",
)


def presets(task: Annotated[TaskName | None, tyro.conf.Positional] = None, json: bool = False) -> None:
    """Print what each preset of a task is, its size, and about how long it takes.

    Args:
        task: The task; without one, the presets of all of them.
        json: Print the list as JSON, with every number of each preset.

    Examples:
        riemod presets
        riemod presets navigation
        riemod presets adding --json
    """
    found = [entry for name in ([task] if task else TASKS) for entry in presets_of(name)]
    if json:
        print_json(found)
    else:
        open_console().print(_table(found))


def presets_of(task: str) -> list[dict[str, Any]]:
    """Return the presets of a task: their names, what they are, sizes, minutes on one core, and all their numbers."""
    kind = TASKS[task]
    found = []
    for name, preset in kind.presets.items():
        about, values = kind.about.get(name), preset.to_dict()
        found.append(
            {
                "task": task,
                "preset": name,
                "what": about.what if about else "",
                "neurons": values["hidden_size"] * values.get("layers", 1),
                "steps": preset.training.steps,
                "minutes": about.minutes if about else None,
                "config": values,
            }
        )
    return found


def _table(found: list[dict[str, Any]]) -> Table:
    table = new_table("riemod train TASK --preset PRESET", "task", "preset", "what it is", "neurons", "steps", "time")
    for before, entry in zip([None, *found], found, strict=False):
        if before is not None and before["task"] != entry["task"]:
            table.add_section()
        numbers = f"{entry['neurons']:,}", f"{entry['steps']:,}", _time(entry["minutes"])
        add_row(table, entry["task"], entry["preset"], entry["what"], *numbers)
    add_captions(table, list(_TIME))
    return table


def _time(minutes: float | None) -> str:
    """Return a time in the unit that suits it.

    >>> _time(0.04), _time(7.2), _time(500), _time(5000), _time(None)
    ('seconds', '7 min', '8 hours', '3 days', '')
    """
    if minutes is None:
        return ""
    if minutes < 1:
        return "seconds"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} hours" if minutes < 2880 else f"{minutes / 1440:.0f} days"
