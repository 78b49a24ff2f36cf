"""A suite of runs that take milliseconds, and an executor without processes."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

TINY = """
title = "Runs that take milliseconds"
task = "adding"
control = "shuffled"
metrics = ["rmse"]
replicas = 3
sparsities = [0.0, 0.5]
seeds = [0]

[[lost]]
metric = "rmse"
above = 0.75
of = "rmse of always answering 1"

[options]
hidden_size = 6
steps = 4
batch_size = 8
batches_per_epoch = 4
epochs = 3
tail_epochs = 1
evaluation_batches = 2

[presets.smoke]

[arms]
"none" = {}
"shuffled" = { manifold = "torus", arm = "shuffled" }
"torus learned" = { manifold = "torus", learn = true }

[tickets.lottery.arms]
"none" = {}
"permuted" = { of = "none", mask = "permuted" }
"torus learned" = { embedding = "new" }
"wide" = { of = "shuffled", initialization = "sparsity_aware", spectral_radius = 1.5 }
"""


class Inline(Executor):
    """Runs each call when it is submitted, in this process, and remembers it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls.append(args)
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def declare(tmp_path: Path) -> Callable[..., Path]:
    """Write the tiny declaration to a file, with some of its text replaced."""

    def write(*replacements: tuple[str, str], name: str = "tiny") -> Path:
        text = TINY
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def inline() -> Inline:
    """An executor without processes."""
    return Inline()
