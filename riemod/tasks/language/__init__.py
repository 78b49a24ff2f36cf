"""Word-level language modeling: the task, its model and its text."""

from riemod.tasks.language.task import Language, LanguageConfig

__all__ = ["Language", "LanguageConfig"]
