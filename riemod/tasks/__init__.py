"""Tasks that nets are trained on: navigation, adding and language."""

from typing import Any

from riemod._checks import check_choice
from riemod.tasks.adding import Adding, AddingConfig
from riemod.tasks.base import AboutPreset, HiddenUnits, Task
from riemod.tasks.config import RunConfig
from riemod.tasks.language import Language, LanguageConfig
from riemod.tasks.navigation import Navigation, NavigationConfig

TASKS: dict[str, type[Task[Any]]] = {"navigation": Navigation, "adding": Adding, "language": Language}


def task_class(name: str) -> type[Task[Any]]:
    """Return the task of that name.

    Raises:
        ValueError: for an unknown task.

    >>> task_class("adding").__name__
    'Adding'
    """
    return TASKS[check_choice("task", name, TASKS)]


__all__ = [
    "TASKS",
    "AboutPreset",
    "Adding",
    "AddingConfig",
    "HiddenUnits",
    "Language",
    "LanguageConfig",
    "Navigation",
    "NavigationConfig",
    "RunConfig",
    "Task",
    "task_class",
]
