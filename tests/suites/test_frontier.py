"""Measuring nets and joining what they err with what they cost: counts against the masks, forms that answer alike."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from riemod.suites import Suite, SuiteError, load_suite
from riemod.suites.frontier import frontier, frontier_digest, frontier_table, save_frontier
from riemod.suites.measures import BATCHES, _forms, measure, read_measures
from riemod.suites.rows import run_folder
from riemod.suites.runner import run_suite
from riemod.training import load
from tests.suites.conftest import Inline

ARMS = """
[arms]
"shuffled" = { hidden_size = 16, sparsities = [0.0] }
"dense 4" = { hidden_size = 4, sparsities = [0.0] }
"single" = { hidden_size = 16, targets = "hidden" }
"8x8" = { hidden_size = 16, targets = "hidden", manifold = "torus", strength = "auto", blocks = 8, scope = "tensor" }
"""


@pytest.fixture
def results(declare: Callable[..., Path], tmp_path: Path, inline: Inline) -> tuple[Suite, Path]:
    """A suite of dense and pruned nets, trained."""
    path = declare(("sparsities = [0.0, 0.5]", "sparsities = [0.75]"))
    path.write_text(path.read_text().split("[arms]")[0] + ARMS)
    suite, out = load_suite(path, "smoke"), tmp_path / "out"
    assert run_suite(suite, out, lambda: inline, lambda: 1).trained == 4
    return suite, out


def test_costs_are_those_of_the_kept_weights(results: tuple[Suite, Path]):
    suite, out = results
    written = json.loads(measure(suite, out, rounds=1).read_text())
    costs = read_measures(suite, out)
    for run in suite.runs:
        kept = load(run_folder(out, run))
        matrices = [weight for weight in kept.model.parameters() if weight.ndim == 2]
        assert costs[run.key].multiply_adds == sum(int(weight.count_nonzero()) for weight in matrices)
        assert all(costs[run.key].seconds[size] > 0 for size in BATCHES)
    forms = {net["arm"]: net["forms"] for net in written["nets"]}
    assert {arm: list(own) for arm, own in forms.items()} == {
        "shuffled": ["dense"],
        "dense 4": ["dense"],
        "single": ["dense", "csr"],
        "8x8": ["dense", "csr", "block8"],
    }
    # Two inputs, two biases, one answer.
    assert forms["dense 4"]["dense"]["bytes"] == 4 * (4 * 2 + 4 * 4 + 2 * 4 + 4 + 1)
    # One block of four is kept, with its place.
    assert forms["8x8"]["block8"]["bytes"] < forms["8x8"]["dense"]["bytes"] - 4 * 3 * 64 + 100
    assert costs[suite.runs[0].key].stored_bytes == min(form["bytes"] for form in forms[suite.runs[0].arm].values())


def test_every_form_answers_alike(results: tuple[Suite, Path]):
    suite, out = results
    x = torch.rand(4, 3, 2)
    for run in suite.runs:
        forms = _forms(load(run_folder(out, run)))
        for model in forms.values():
            torch.testing.assert_close(model(x), forms["dense"](x), rtol=1e-4, atol=1e-5)


def test_lines_join_errors_and_costs(results: tuple[Suite, Path], tmp_path: Path):
    suite, out = results
    measure(suite, out, rounds=1)
    lines = frontier(suite, out)
    assert [(line.arm, line.is_dense) for line in lines] == [
        ("shuffled", True),
        ("dense 4", True),
        ("single", False),
        ("8x8", False),
    ]
    costs = read_measures(suite, out)
    keys = {(run.arm, run.sparsity): run.key for run in suite.runs}
    for line in lines:
        cost = costs[keys[line.arm, line.sparsity]]
        assert line.costs["bytes"] == pytest.approx(cost.stored_bytes / 1e3)
        assert line.costs["seconds_32"] == pytest.approx(1e3 * cost.seconds[32])
        assert line.forms == tuple(cost.fastest.values())
    text = frontier_table(lines, "RMSE").splitlines()
    assert len(text) == 2 + len(lines)
    assert len({row.count("|") for row in text}) == 1
    assert text[2].startswith(f"| shuffled | 0 % | 1 | {lines[0].mean:.2g} (")
    path = tmp_path / "frontier.png"
    save_frontier(lines, "RMSE", "title", path)
    with Image.open(path) as image:
        assert image.info["Shown"] == frontier_digest(lines, "RMSE", "title")
    assert frontier_digest(lines, "RMSE", "title") != frontier_digest(lines[1:], "RMSE", "title")


def test_what_is_missing_or_damaged_is_told_of(results: tuple[Suite, Path], tmp_path: Path):
    suite, out = results
    with pytest.raises(SuiteError, match="no finished run"):
        measure(suite, tmp_path / "none")
    with pytest.raises(SuiteError, match=r"measured\.json is missing: riemod measure tiny --preset smoke"):
        frontier(suite, out)
    path = measure(suite, out, rounds=1)
    content: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"nets": content["nets"][1:]}))
    with pytest.raises(SuiteError, match="was not measured: riemod measure tiny"):
        frontier(suite, out)
    for wrong in ({}, {"nets": [{}]}, {"nets": [content["nets"][0] | {"forms": {}}]}):
        path.write_text(json.dumps(wrong))
        with pytest.raises(SuiteError, match=r"measured\.json is damaged"):
            frontier(suite, out)
    checkpoint = run_folder(out, suite.runs[0]).checkpoint
    for file in checkpoint.iterdir():
        file.unlink()
    with pytest.raises(SuiteError, match=r"has the record of .* but not its net"):
        measure(suite, out)
