"""Runs that the tests of pages share, and pages taken apart."""

import functools
import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from riemod.inspection import analyze_run
from riemod.tasks import task_class
from riemod.topology import ModuliRecovery
from riemod.training import RunDescription, RunFolder, load, start, train

SMALL = {"epochs": 3, "batches_per_epoch": 2, "batch_size": 8, "dense_epochs": 0, "tail_epochs": 1}
SMALL |= {"evaluation_batches": 2, "sparsity": 0.5}


def small_run(folder: Path, task: str, **options: Any) -> Path:
    """A finished run of a few steps, with points that are learned on a torus unless another manifold is named."""
    config = task_class(task).presets["smoke"].replace(**{"manifold": "torus", "learn": True} | SMALL | options)
    train(start(RunFolder(folder), RunDescription(task, config, None)))
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that are read alone: navigation that was analyzed, and adding that was not."""
    folder = tmp_path_factory.mktemp("runs")
    analyzed = small_run(folder / "analyzed", "navigation", arena="circle")
    with pytest.MonkeyPatch.context() as patch:
        few = functools.partial(ModuliRecovery, n_nulls=10, n_subsamples=2)
        patch.setattr("riemod.inspection.ModuliRecovery", few)
        # No page shows the analysis' own pictures.
        patch.setattr("riemod.inspection.draw_figures", lambda *_: [])
        analyze_run(load(RunFolder(analyzed)), analyzed / "analysis", 200)
    return {"analyzed": analyzed, "bare": small_run(folder / "bare", "adding", hidden_size=12)}


@pytest.fixture
def copied(runs: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """Copy a run, to be changed or damaged."""

    def copy(name: str, into: str = "run") -> Path:
        return Path(shutil.copytree(runs[name], tmp_path / into))

    return copy


class Page(HTMLParser):
    """A page's tags with their attributes, the text that is read, and the data that its script reads."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.data: dict[str, Any] = {}
        self._inside: list[tuple[str, dict[str, str | None]]] = []
        self._script = ""
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append((tag, dict(attrs)))
            self._script = ""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            _, attributes = self._inside.pop()
            if attributes.get("type") == "application/json":
                self.data[attributes["id"] or ""] = json.loads(self._script)
        else:
            self.text += " "

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._script += data
        else:
            self.text += data

    @property
    def words(self) -> str:
        """The text on one line."""
        return " ".join(self.text.split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all tags of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def read_page(path: Path) -> Page:
    """A page that was written."""
    return Page(path.read_text(encoding="utf-8"))
