"""What the nets are trained on."""

from typing import Any

from riemod.tasks.adding import Adding, AddingConfig
from riemod.tasks.base import Task
from riemod.tasks.config import RunConfig
from riemod.tasks.language import Language, LanguageConfig
from riemod.tasks.navigation import Navigation, NavigationConfig

TASKS: dict[str, type[Task[Any]]] = {"navigation": Navigation, "adding": Adding, "language": Language}


def task_class(name: str) -> type[Task[Any]]:
    """The task of that name.

    Raises:
        ValueError: for an unknown task.

    >>> task_class("adding").__name__
    'Adding'
    """
    if name not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {name!r}")
    return TASKS[name]


__all__ = [
    "TASKS",
    "Adding",
    "AddingConfig",
    "Language",
    "LanguageConfig",
    "Navigation",
    "NavigationConfig",
    "RunConfig",
    "Task",
    "task_class",
]
