"""Word-level language modeling: the task, its model and its text."""

from riemod.tasks.language.config import LanguageConfig
from riemod.tasks.language.task import Language

__all__ = ["Language", "LanguageConfig"]
