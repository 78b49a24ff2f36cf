"""The example of README, and of the manual's start page, prints what the pages say; links lead somewhere."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^```python\n(.*?)^```$\n\n    (mean weight [^\n]*)$", flags=re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"[+-]\d\.\d+")


@pytest.fixture(scope="module")
def example() -> tuple[dict[str, Any], str]:
    """The names that the example leaves, and what it prints."""
    names: dict[str, Any] = {}
    ((block, _),) = EXAMPLE.findall(README)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(block, "README.md", "exec"), names)
    return names, printed.getvalue().strip()


def test_the_example_prints_what_the_page_shows(example: tuple[dict[str, Any], str]) -> None:
    ((_, shown),) = EXAMPLE.findall(README)
    assert NUMBER.sub("", example[1]) == NUMBER.sub("", shown)
    # Another torch or processor rounds otherwise.
    numbers = [[float(number) for number in NUMBER.findall(line)] for line in (example[1], shown)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.01)
    assert numbers[0][0] > 0 > numbers[0][1]


def test_the_example_learns_the_task_and_the_points(example: tuple[dict[str, Any], str]) -> None:
    names, _ = example
    always_zero = 0.1**2 * sum(range(1, 21)) / 20  # mean square of the walk, steps of 0.1 a coordinate
    steps = 0.1 * torch.randn(20, 500, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        error = (names["rnn"](steps)[0][..., :2] - steps.cumsum(0)).square().mean()
    assert error < 0.1 * always_zero
    points = names["moduli"].points
    assert (points - points[0]).abs().max() > 1


def test_the_start_page_has_the_same_example() -> None:
    assert EXAMPLE.findall((ROOT / "docs/index.md").read_text(encoding="utf-8")) == EXAMPLE.findall(README)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)]+)\)", README))))
def test_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
