"""The pages of docs: their Python runs as printed, their modules are documented once, and the index lists them all."""

import functools
import importlib
import inspect
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import riemod
from riemod import coactivity, manifolds
from riemod.tuning import RateMaps, rate_maps, regular_bins
from tests.strategies import generator

DOCS = Path(__file__).parents[2] / "docs"
NOT_RUN = {
    ("api/integrations.md", 0): "needs Lightning; tests/integrations/test_lightning.py trains with the callback",
    ("api/integrations.md", 1): "needs transformers; tests/integrations/test_transformers.py trains with the callback",
}
Names = dict[str, Any]


def python_blocks(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


PAGES = [page for page in sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")) if python_blocks(page)]


def annulus(count: int, seed: int) -> torch.Tensor:
    """(count, 3) states near a circle of radius 1."""
    angle = 2 * torch.pi * torch.rand(count, generator=generator(seed))
    circle = torch.stack((angle.cos(), angle.sin(), torch.zeros(count)), 1)
    return circle + 0.02 * torch.randn(count, 3, generator=generator(seed + 1))


def clifford_torus(count: int, seed: int) -> torch.Tensor:
    """(count, 4) states on the product of two circles."""
    angles = 2 * torch.pi * torch.rand(count, 2, generator=generator(seed))
    return torch.cat((angles.cos(), angles.sin()), 1)


def layer_and_batches() -> Names:
    """A recurrent layer that is the whole model, batches for it, and a loss."""
    rnn = nn.RNN(2, 12)
    batches = [torch.randn(5, 4, 2, generator=generator(seed)) for seed in range(3)]
    return {
        "torch": torch,
        "riemod": riemod,
        "manifolds": manifolds,
        "rnn": rnn,
        "model": rnn,
        "batches": batches,
        "task_loss": lambda outputs, batch: outputs.square().mean(),
    }


def maps_of_units() -> RateMaps:
    torus = manifolds.Torus(2, period=2.2)
    positions = torus.sample(400, generator=generator(0))
    units = torus.sample(12, generator=generator(1))
    return rate_maps((-torus.distance(positions, units)).exp(), positions, regular_bins(torus, 6), smoothing=0.3)


def geometries() -> Names:
    rnn, torus = nn.RNN(2, 12), manifolds.Torus(2)
    moduli = riemod.ModuliRegularizer(rnn, torus, generator=generator(0))
    return {"rnn": rnn, "manifold": torus, "moduli": moduli, "maps": maps_of_units()}


def states_and_inputs() -> Names:
    rnn = nn.RNN(2, 6)
    inputs = torch.randn(8, 2, generator=generator(0))
    return {"rnn": rnn, "states": torch.randn(8, 6, generator=generator(1)), "inputs": inputs}


def states_at_positions() -> Names:
    torus = manifolds.Torus(dim=2, period=2.2)
    positions = torus.sample(500, generator=generator(0))
    units = torus.sample(7, generator=generator(1))
    return {"positions": positions, "states": (-torus.distance(positions, units)).exp()}


# What a reader of a page has at hand before its first block.
GIVEN: dict[str, Callable[[], Names]] = {
    "api/alignment.md": geometries,
    "api/dynamics.md": states_and_inputs,
    "api/tuning.md": states_at_positions,
    "coactivity.md": layer_and_batches,
    "topology.md": lambda: {
        "hidden_states": annulus(120, 0),
        "states": clifford_torus(300, 2),
        "new_states": clifford_torus(20, 3),
    },
}


def test_the_lists_of_this_file_name_what_is_there() -> None:
    assert PAGES
    assert set(GIVEN) <= set(PAGES)
    assert {(page, index) for page in PAGES for index in range(len(python_blocks(page)))} >= set(NOT_RUN)


@pytest.mark.parametrize("page", [page for page in PAGES if (page, 0) not in NOT_RUN])
def test_a_page_runs_as_printed(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # The default, 8 starts of 300 steps, would take minutes.
    brief = functools.partial(riemod.fit_positions, restarts=1, steps=6)
    for room in (riemod, coactivity):
        monkeypatch.setattr(room, "fit_positions", brief)
    names = GIVEN[page]() if page in GIVEN else {}
    for index, block in enumerate(python_blocks(page)):
        code = compile(block, f"docs/{page}, block {index}", "exec")
        if (page, index) not in NOT_RUN:
            exec(code, names)
    if page in CHECKS:
        CHECKS[page](names, tmp_path)


def check_quickstart(names: Names, _: Path) -> None:
    assert names["moduli"].layer_embeddings(0)[0].points.shape == (32, 3)
    assert names["penalty"].item() > 0
    assert names["costs"].shape == (32, 32)
    assert len(names["modular"].embeddings) == 2
    assert names["pruner"].sparsity()["total"] == pytest.approx(0.9, abs=1e-3)
    assert not any(parameter.requires_grad for parameter in names["ticket"].moduli.parameters())
    assert names["value"].item() > 0


def check_sparse(names: Names, folder: Path) -> None:
    fast, path = names["fast"], folder / "fast.safetensors"
    riemod.sparse.save(fast, path)
    loaded = riemod.sparse.load(path, nn.RNN(2, 512, nonlinearity="relu"))
    assert torch.equal(loaded(names["x"])[0], fast(names["x"])[0])
    # Of 256 blocks, 90 % are 230.4.
    assert riemod.sparse.block_occupancy(names["rnn"].weight_hh_l0, 32) == 26 / 256


def check_topology(names: Names, _: Path) -> None:
    assert names["verdict"].manifold_ == "circle"
    assert (names["angle"].shape, names["angles"].shape) == ((20, 1), (20, 2))


CHECKS: dict[str, Callable[[Names, Path], None]] = {
    "quickstart.md": check_quickstart,
    "sparse.md": check_sparse,
    "topology.md": check_topology,
}


def documented() -> list[tuple[str, list[str]]]:
    """Each module that a page documents, with the members that the page names; none for all of them."""
    found = []
    for path in DOCS.rglob("*.md"):
        for module, options in re.findall(r"automodule:: (\S+)\n((?: +:.*\n)*)", path.read_text(encoding="utf-8")):
            members = re.search(r":members: (.*)", options)
            found.append((module, members[1].split(", ") if members else []))
    return found


def public_objects() -> list[tuple[str, str, str]]:
    """Each function and class of a public room: the room, its name, and the file that it is written in."""
    rooms = [getattr(riemod, name) for name in riemod.__all__]
    rooms = [room for room in rooms if isinstance(room, ModuleType)]
    objects = []
    for room in rooms:
        for name in getattr(room, "__all__", ()):
            entry = getattr(room, name)
            if (inspect.isclass(entry) or inspect.isfunction(entry)) and entry.__module__.startswith("riemod."):
                objects.append((room.__name__, name, entry.__module__))
    return objects


def test_a_module_is_documented_once_and_exists() -> None:
    modules = [module for module, _ in documented()]
    assert [module for module, count in Counter(modules).items() if count > 1] == []
    for module in modules:
        importlib.import_module(module)


def test_every_public_object_is_documented() -> None:
    pages = dict(documented())
    missing = [
        f"{room}.{name}"
        for room, name, file in public_objects()
        if not any(module in pages and (not pages[module] or name in pages[module]) for module in (room, file))
    ]
    assert missing == []


def test_the_index_lists_every_page_once() -> None:
    listed = [
        line
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(encoding="utf-8"), re.DOTALL)
        for line in tree.split()
        if (DOCS / f"{line}.md").is_file()
    ]
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")} - {"index"}
    assert Counter(listed) == Counter(pages)
