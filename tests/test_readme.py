"""The example of README runs as printed and does what the text says; its links lead somewhere."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def namespace() -> dict[str, Any]:
    (block,) = re.findall(r"^```python\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
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


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)]+)\)", README))))
def test_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
