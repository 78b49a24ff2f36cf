"""Every Python block of every page runs, page by page, and does what the page says."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import riemod
from riemod import manifolds, recordings, tuning

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
PAGES = sorted(
    path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if path.relative_to(DOCS).parts[0] != "_build"
)


def blocks(page: str) -> list[str]:
    return BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


def run(page: str, names: dict[str, Any]) -> dict[str, Any]:
    """The names of a page after all its blocks, which share them."""
    for block in blocks(page):
        exec(compile(block, page, "exec"), names)
    return names


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def states_and_positions(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """States (n, 12) that are tuned to positions (n, 2) on the torus of period 2.2."""
    torus = manifolds.Torus(2, period=2.2)
    positions, centers = (torus.sample(count, generator=generator()) for count in (n, 12))
    return torch.exp(-torus.distance(positions, centers).square() / 0.5), positions


def names_of_coactivity() -> dict[str, Any]:
    rnn = torch.nn.RNN(2, 12)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = rnn

        def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            states, _ = self.rnn(batch)
            return states.mean(-1), states

    return {
        "torch": torch,
        "riemod": riemod,
        "manifolds": manifolds,
        "rnn": rnn,
        "model": Model(),
        "batches": list(torch.randn(3, 8, 20, 2, generator=generator())),
        "task_loss": lambda outputs, batch: (outputs - batch.mean(-1)).square().mean(),
    }


def names_of_topology() -> dict[str, Any]:
    angle = 2 * torch.pi * torch.rand(400, generator=generator())
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    torus, _ = states_and_positions(400)
    return {"hidden_states": circle, "states": torus, "new_states": torus[:50]}


def names_of_alignment() -> dict[str, Any]:
    states, positions = states_and_positions(2000)
    torus, rnn = manifolds.Torus(2, period=2.2), torch.nn.RNN(2, 12)
    maps = tuning.rate_maps(states, positions, tuning.regular_bins(torus, 6))
    moduli = riemod.ModuliRegularizer(rnn, torus, generator=generator())
    return {"moduli": moduli, "manifold": torus, "maps": maps, "rnn": rnn}


def names_of_dynamics() -> dict[str, Any]:
    rnn = torch.nn.RNN(2, 12)
    inputs = torch.randn(20, 2, generator=generator())
    with torch.no_grad():
        states = torch.cat([torch.zeros(1, 12), rnn(inputs)[0][:-1]])
    return {"rnn": rnn, "states": states, "inputs": inputs}


def names_of_optimization() -> dict[str, Any]:
    model = torch.nn.RNN(2, 12)
    moduli = riemod.ModuliRegularizer(model, manifolds.Torus(2), learn=True, generator=generator())
    return {"torch": torch, "riemod": riemod, "model": model, "moduli": moduli}


def names_of_recordings() -> dict[str, Any]:
    walk = recordings.simulate.random_walk(1, generator=generator())
    rates = 10 * (1 + torch.cos(torch.from_numpy(walk.heading)[:, None] - torch.arange(6)))
    spikes = recordings.simulate.poisson_spikes(rates.numpy(), generator=generator())
    return {"spike_times": spikes, "position": walk.position, "tracking_times": walk.times}


# What a page takes for granted: the names that its reader has already.
SETUP: dict[str, Callable[[], dict[str, Any]]] = {
    "coactivity.md": names_of_coactivity,
    "learned.md": names_of_coactivity,
    "topology.md": names_of_topology,
    "recordings.md": names_of_recordings,
    "api/alignment.md": names_of_alignment,
    "api/dynamics.md": names_of_dynamics,
    "api/optimization.md": names_of_optimization,
    "api/tuning.md": lambda: dict(zip(("states", "positions"), states_and_positions(4000), strict=True)),
}
LIBRARIES = {"api/integrations.md": ("lightning", "transformers", "accelerate"), "topology.md": ("gudhi", "ripser")}
# These pages have tests of their own, below and in test_readme.py, which run all their blocks.
CHECKED = {"index.md", "quickstart.md", "sparse.md"}


@pytest.mark.filterwarnings(
    "ignore:::lightning", "ignore:::torch.utils.data", "ignore:`torch.jit.trace", "ignore::torch.jit.TracerWarning"
)
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page) and page not in CHECKED])
def test_every_block_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in LIBRARIES.get(page, ()):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    # One start in place of eight, which would take half a minute.
    monkeypatch.setitem(inspect.unwrap(riemod.fit_positions).__kwdefaults__, "restarts", 1)
    run(page, SETUP.get(page, dict)())


def test_the_pages_were_read() -> None:
    assert {*SETUP, *LIBRARIES, *CHECKED} <= {page for page in PAGES if blocks(page)}


def test_quickstart_does_what_it_says() -> None:
    names = run("quickstart.md", {})
    assert names["moduli"].layer_embeddings(0)[0].points.shape == (32, 3)
    assert names["penalty"].item() > 0
    assert names["scaled"].strength.item() > 0
    assert names["costs"].shape == (32, 32)
    assert len(names["modular"].embeddings) == 2
    assert names["pruner"].sparsity()["total"] == pytest.approx(0.9, abs=1e-3)
    assert not any(parameter.requires_grad for parameter in names["ticket"].moduli.parameters())
    assert names["value"].item() > 0


# Which layout is fastest depends on what else the machine does.
@pytest.mark.filterwarnings("ignore:nothing was compressed")
def test_the_page_on_sparse_nets_compresses(tmp_path: Path) -> None:
    names = run("sparse.md", {})
    fast, path = names["fast"], tmp_path / "fast.safetensors"
    riemod.sparse.save(fast, path)
    loaded = riemod.sparse.load(path, torch.nn.RNN(2, 512, nonlinearity="relu"))
    assert torch.equal(loaded(names["x"])[0], fast(names["x"])[0])
    # Of 256 blocks, 90 % are 230.4.
    assert riemod.sparse.block_occupancy(names["rnn"].weight_hh_l0, 32) == 26 / 256
