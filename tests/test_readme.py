"""The examples of README, quickstart and the page on sparse nets run as printed, and do what the text says."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    (block,) = python_blocks(README)
    names: dict[str, Any] = {}
    torch.manual_seed(0)
    exec(compile(block, "README.md", "exec"), names)
    return names


def zeros(module: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter == 0 for parameter in module.parameters() if parameter.ndim == 2]


def test_example_trains_and_prunes(namespace: dict[str, Any]) -> None:
    masks = zeros(namespace["model"])
    weights = sum(mask.numel() for mask in masks)
    assert sum(int(mask.sum()) for mask in masks) == round(0.9 * weights)
    always_zero = 0.1**2 * sum(range(1, 21)) / 20  # mean square of the walk, steps of 0.1 a coordinate
    assert namespace["loss"] < 0.75 * always_zero


def test_example_learns_the_points(namespace: dict[str, Any]) -> None:
    moduli = namespace["moduli"]
    start = moduli.embeddings[0].manifold.sample(64, generator=torch.Generator().manual_seed(0))
    assert moduli.points.shape == start.shape
    assert (moduli.points - start).abs().max() > 1e-3


def test_ticket_has_the_mask_and_fresh_weights(namespace: dict[str, Any]) -> None:
    ticket = namespace["ticket"].model
    for own, original in zip(zeros(ticket), zeros(namespace["model"]), strict=True):
        assert torch.equal(own, original)
    assert not torch.equal(ticket[0].weight_hh_l0, namespace["rnn"].weight_hh_l0)


def test_quickstart_runs() -> None:
    names: dict[str, Any] = {}
    for block in python_blocks(QUICKSTART):
        exec(compile(block, "quickstart.md", "exec"), names)
    assert names["moduli"].layer_embeddings(0)[0].points.shape == (32, 3)
    assert names["penalty"].item() > 0
    assert names["costs"].shape == (32, 32)
    assert len(names["modular"].embeddings) == 2
    assert names["pruner"].sparsity()["total"] == pytest.approx(0.9, abs=1e-3)
    assert not any(parameter.requires_grad for parameter in names["ticket"].moduli.parameters())
    assert names["value"].item() > 0


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)]+)\)", README))))
def test_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


def test_sparse_page_compresses(tmp_path: Path) -> None:
    blocks = python_blocks((ROOT / "docs" / "sparse.md").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    exec(compile("\n".join(blocks), "sparse.md", "exec"), names)
    riemod, fast = names["riemod"], names["fast"]
    path = tmp_path / "fast.safetensors"
    riemod.sparse.save(fast, path)
    loaded = riemod.sparse.load(path, torch.nn.RNN(2, 512, nonlinearity="relu"))
    assert torch.equal(loaded(names["x"])[0], fast(names["x"])[0])
    # Of 256 blocks, 90 % are 230.4.
    assert riemod.sparse.block_occupancy(names["rnn"].weight_hh_l0, 32) == 26 / 256
