"""What an analysis keeps for pages: it comes back as it was, and what anyone changed is refused in one line."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from riemod.inspection.states import Sample
from riemod.inspection.stored import ARRAYS, arrays_of, read_analysis, write_arrays
from riemod.topology import ModuliRecovery
from riemod.training import RunError

VERDICT = {"manifold": "circle", "reason": "one loop", "p_values": {"1": 0.1, "2": 1.0}, "nulls": {"1": 30, "2": 30}}
VERDICT |= {"longest": {"1": 9.0, "2": 1.0}, "floors": {"1": 2.5, "2": 1.3}}
RECORD = {"run": {"task": "adding", "config": {}}, "epochs": 3, "states": 200, "verdict": VERDICT}


@pytest.fixture(scope="module")
def fitted() -> tuple[Sample, ModuliRecovery]:
    generator = torch.Generator().manual_seed(0)
    angle = 2 * torch.pi * torch.rand(600, generator=generator)
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    states = circle @ torch.randn(2, 9, generator=generator)
    return Sample(states, None), ModuliRecovery(n_nulls=10, n_subsamples=2).fit(states)


@pytest.fixture
def folder(fitted: tuple[Sample, ModuliRecovery], tmp_path: Path) -> Path:
    arrays = write_arrays(tmp_path, arrays_of(*fitted, None, None))
    (tmp_path / "analysis.json").write_text(json.dumps(RECORD | {"arrays": arrays}))
    return tmp_path


def test_arrays_come_back_as_they_were(folder: Path, fitted: tuple[Sample, ModuliRecovery]) -> None:
    sample, recovery = fitted
    stored = read_analysis(folder)
    assert stored is not None
    assert stored.problem is None
    arrays = stored.arrays
    assert arrays is not None
    for degree in (1, 2):
        bars, ratios = arrays.bars[degree], arrays.bars[degree][:, 1] / arrays.bars[degree][:, 0]
        assert (np.diff(ratios) <= 0).all()
        assert len(bars) <= 30
        np.testing.assert_array_equal(arrays.nulls[degree], np.concatenate(recovery.null_ratios_[degree]))
    assert arrays.bars[1][0, 1] / arrays.bars[1][0, 0] == pytest.approx(recovery.longest_[1])
    centered, states = (sample.states - sample.states.mean(0)).double(), torch.from_numpy(arrays.states).double()
    assert arrays.shares.sum() == pytest.approx(1.0, abs=1e-5)
    # The states have two dimensions, so that three components keep all distances.
    np.testing.assert_allclose(torch.cdist(states, states), torch.cdist(centered, centered), atol=1e-4)
    assert arrays.rates is arrays.units is arrays.angles is None


def test_no_analysis_is_none(tmp_path: Path) -> None:
    assert read_analysis(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda arrays: arrays.pop("bars_1"), "it must hold bars_1"),
        (lambda arrays: arrays.update(bars_1=-arrays["bars_1"]), "do not fit"),
        (lambda arrays: arrays.update(bars_2=torch.zeros(3, 3)), "do not fit"),
        (lambda arrays: arrays.update(nulls_1=arrays["nulls_1"] * torch.inf), "nulls_1 must be finite"),
        (lambda arrays: arrays.update(states=torch.zeros(4)), "do not fit"),
        (
            lambda arrays: arrays.update(states=torch.zeros(4, 3, dtype=torch.bfloat16)),
            "states must hold torch.float32",
        ),
        (lambda arrays: arrays.update(units=torch.arange(3)), "do not fit"),
        (lambda arrays: arrays.update(units=torch.zeros(3)), "units must hold torch.int64, got torch.float32"),
        (lambda arrays: arrays.update(angles=torch.zeros(3, 1)), "do not fit"),
        (lambda arrays: arrays.update(shares=torch.full((3,), torch.nan)), "shares must be finite"),
    ],
)
def test_arrays_that_anyone_changed_are_not_used(
    change: Callable[[dict[str, Tensor]], object], said: str, folder: Path
) -> None:
    arrays = load((folder / ARRAYS).read_bytes())
    change(arrays)
    content = save(arrays)
    (folder / ARRAYS).write_bytes(content)
    digest = {"file": ARRAYS, "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "analysis.json").write_text(json.dumps(RECORD | {"arrays": digest}))
    stored = read_analysis(folder)
    assert stored is not None
    assert stored.arrays is None
    assert said in (stored.problem or "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": "three"}, "epochs must be a whole number"),
        ({"verdict": VERDICT | {"floors": {"1": 2.5}}}, "verdict.floors must have the keys '1' and '2'"),
        ({"verdict": VERDICT | {"p_values": {"1": 7, "2": 1}}}, "p_values.1 must be from 0 to 1"),
        (
            {"points": {"spread": 1, "agreement": {"units": 1, "with": {"tuning": 3}, "problem": None}}},
            "must be an object",
        ),
        ({"arrays": "here"}, "arrays must be an object"),
    ],
)
def test_a_record_that_anyone_changed_is_an_error_of_one_line(change: dict[str, Any], said: str, folder: Path) -> None:
    (folder / "analysis.json").write_text(json.dumps(RECORD | change))
    with pytest.raises(RunError, match="is damaged: ") as raised:
        read_analysis(folder)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
