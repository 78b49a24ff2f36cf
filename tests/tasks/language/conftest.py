"""A small text, and runs on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from riemod.tasks import Language, LanguageConfig
from riemod.training import Run, RunDescription, RunFolder, start
from tests.tasks.texts import write_text

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "embedding_size": 16,
    "epochs": 3,
    "tail_epochs": 1,
    "batches_per_epoch": 12,
    "batch_size": 4,
    "bptt": 7,
    "evaluation_tokens": None,
}


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., LanguageConfig]:
    """A configuration on a small text; any number of it can be changed."""
    folder = write_text(tmp_path / "text")
    smoke = Language.presets["smoke"]
    assert isinstance(smoke, LanguageConfig)

    def make(**changes: Any) -> LanguageConfig:
        return smoke.replace(**({"data": str(folder)} | SMALL | changes))

    return make


@pytest.fixture
def begin(config: Callable[..., LanguageConfig]) -> Callable[..., Run]:
    """Start a run on the small text."""

    def make(path: Path, **changes: Any) -> Run:
        return start(RunFolder(path), RunDescription("language", config(**changes), None))

    return make
