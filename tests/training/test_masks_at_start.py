"""Runs that are sparse from the start: their masks, resumed and side by side to the same ends, and their tickets."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from riemod import DynamicSparsePruner, geometric_mask
from riemod.tasks import TASKS
from riemod.training import (
    Run,
    RunDescription,
    RunFolder,
    Stream,
    generator_for,
    load,
    lottery,
    start,
    train,
    train_replicas,
)
from tests.tasks.texts import write_text
from tests.training.killing import Killed, stop_in

Begin = Callable[..., Run]
Bits = Callable[[Run], dict[str, Tensor]]
Same = Callable[[dict[str, Tensor], dict[str, Tensor]], bool]
HIDDEN = "rnn.weight_hh_l0"
GEOMETRIC: dict[str, Any] = {"pruning": "geometric", "learn": False, "hidden_size": 12}
DYNAMIC: dict[str, Any] = GEOMETRIC | {"pruning": "dynamic", "update_every": 2, "drop_fraction": 0.9}
NOWHERE: dict[str, Any] = {"manifold": "none"}


def hidden_mask(run: Run) -> Tensor:
    return run.pruner.masks()[HIDDEN].clone()


def test_the_mask_is_that_of_the_geometry_and_all_else_is_dense(tmp_path: Path, begin: Begin):
    run = begin(tmp_path / "run", **GEOMETRIC, temperature=5.0)
    assert run.moduli is not None
    draws = generator_for("cpu", Stream.MASKS, run.config.seed)
    assert torch.equal(hidden_mask(run), geometric_mask(run.moduli, 0.75, temperature=5.0, generator=draws))
    assert list(run.pruner.masks()) == [HIDDEN]
    for name, parameter in run.model.named_parameters():
        zeros = int((parameter == 0).sum())
        assert zeros == (round(0.75 * 144) if name == HIDDEN else 0), name
    before = hidden_mask(run)
    record = train(run)
    assert torch.equal(hidden_mask(run), before)
    assert torch.equal(run.model.get_parameter(HIDDEN) != 0, before)
    assert record["sparsity"] == {HIDDEN: 0.75, "total": 0.75}
    cheapest = begin(tmp_path / "cheapest", **GEOMETRIC, temperature=0.0)
    assert cheapest.moduli is not None
    assert torch.equal(hidden_mask(cheapest), geometric_mask(cheapest.moduli, 0.75))


def test_a_signed_law_draws_by_the_cheaper_sign(tmp_path: Path, begin: Begin):
    run = begin(tmp_path / "run", **GEOMETRIC, law="signed", temperature=0.0)
    assert run.moduli is not None
    costs = torch.minimum(run.moduli.coefficients(sign=1), run.moduli.coefficients(sign=-1))
    mask = hidden_mask(run)
    assert torch.equal(mask, geometric_mask(run.moduli, 0.75))
    assert costs[mask].mean() < costs[~mask].mean()
    moving = begin(tmp_path / "moving", **DYNAMIC, law="signed", temperature=0.1)
    train(moving)
    assert not torch.equal(hidden_mask(moving), mask)


def test_arms_are_its_controls(tmp_path: Path, begin: Begin):
    arms = {
        arm: begin(tmp_path / arm, **GEOMETRIC, arm=arm, temperature=0.0) for arm in ("none", "matched_l1", "shuffled")
    }
    arms["geometric"] = begin(tmp_path / "geometric", **GEOMETRIC, temperature=0.0)
    nowhere = begin(tmp_path / "nowhere", **GEOMETRIC | NOWHERE)
    masks = {arm: hidden_mask(run) for arm, run in arms.items()}
    assert torch.equal(masks["none"], hidden_mask(nowhere))
    assert torch.equal(masks["matched_l1"], hidden_mask(nowhere))
    assert arms["shuffled"].moduli is not None
    assert torch.equal(masks["shuffled"], geometric_mask(arms["shuffled"].moduli, 0.75))
    assert len({tuple(mask.flatten().tolist()) for mask in masks.values()}) == 3
    assert {int(mask.sum()) for mask in masks.values()} == {36}


def test_the_draw_knows_the_mask_unless_another_is_asked_for(tmp_path: Path, begin: Begin):
    radius = {
        draw: torch.linalg.eigvals(begin(tmp_path / draw, **GEOMETRIC, initialization=draw).model.get_parameter(HIDDEN))
        for draw in ("default", "sparsity_aware", "orthogonal")
    }
    assert radius["default"].abs().max().item() == pytest.approx(1.0, abs=1e-5)
    assert torch.equal(radius["default"], radius["sparsity_aware"])
    assert not torch.equal(radius["default"], radius["orthogonal"])


@pytest.mark.parametrize("cell", ["rnn_relu", "gru"])
@pytest.mark.parametrize("side_by_side", [False, True])
def test_a_dynamic_mask_moves_until_the_tail_at_one_sparsity(
    side_by_side: bool, cell: str, tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
):
    run = begin(tmp_path / "run", **DYNAMIC, cell=cell, max_grad_norm=0.05)
    gates = 3 if cell == "gru" else 1
    first = hidden_mask(run)
    assert torch.equal(first, first[:12].repeat(gates, 1))
    step, seen = DynamicSparsePruner.step, []

    def watched(self: DynamicSparsePruner, optimizer: Optimizer | None = None) -> int:
        gradient = run.model.get_parameter(HIDDEN).grad
        assert gradient is not None
        # What the clip or the masks had touched would show no gradient where there is no weight.
        assert int((gradient[~hidden_mask(run)] != 0).sum()) > 20
        seen.append(step(self, optimizer))
        assert int((~hidden_mask(run)).sum()) == round(0.75 * 144) * gates
        return seen[-1]

    monkeypatch.setattr(DynamicSparsePruner, "step", watched)
    record = train_replicas([run])[0] if side_by_side else train(run)
    # Two epochs of four steps, and one of tail: moves at 2, 4 and 6.
    assert [number for number, moved in enumerate(seen) if moved] == [2, 4, 6]
    assert len(seen) == 12
    assert not torch.equal(hidden_mask(run), first)
    assert record["zeros"][HIDDEN] == record["sparsity"][HIDDEN] == 0.75


@pytest.mark.parametrize(
    "changes",
    [
        GEOMETRIC,
        GEOMETRIC | NOWHERE | {"cell": "lstm"},
        DYNAMIC,
        DYNAMIC | {"arm": "shuffled", "max_grad_norm": 0.05, "update_every": 3},
        DYNAMIC | {"learn": True, "proximal": True, "strength": 5.0},
        DYNAMIC | NOWHERE | {"cell": "gru"},
    ],
)
def test_a_broken_run_goes_on_to_the_same_bits(
    changes: dict[str, Any], tmp_path: Path, begin: Begin, bits: Bits, same: Same
):
    whole, broken = begin(tmp_path / "whole", **changes), begin(tmp_path / "broken", **changes)
    train(whole)
    for epoch in (0, 1, 2):
        with pytest.raises(Killed):
            train(broken, stop_in(epoch))
        broken = load(broken.folder)
    train(broken)
    assert same(bits(broken), bits(whole))


@pytest.mark.parametrize("cell", ["rnn_relu", "lstm"])
def test_side_by_side_they_end_as_alone(cell: str, tmp_path: Path, begin: Begin, bits: Bits):
    common = {"epochs": 4, "max_grad_norm": 0.05, "hidden_size": 12, "cell": cell}
    runs: dict[str, dict[str, Any]] = {
        "magnitude": {"manifold": "none", "learn": False},
        "hidden": {"targets": "hidden", "learn": False},
        "geometric": GEOMETRIC,
        "dynamic": DYNAMIC | {"strength": 0.3},
        "learned": DYNAMIC | {"learn": True, "update_every": 3, "seed": 1},
        "RigL": DYNAMIC | NOWHERE,
    }
    together = [begin(tmp_path / "a" / name, **common | own) for name, own in runs.items()]
    apart = [begin(tmp_path / "b" / name, **common | own) for name, own in runs.items()]
    train_replicas(together)
    for run, single in zip(together, apart, strict=True):
        train(single)
        ours, theirs = bits(run), bits(single)
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            torch.testing.assert_close(value, theirs[key], rtol=1e-3, atol=2e-5)


def test_magnitude_pruning_of_hidden_matrices_alone(tmp_path: Path, begin: Begin):
    run = begin(tmp_path / "run", targets="hidden", learn=False, manifold="none", hidden_size=12)
    record = train(run)
    assert record["sparsity"] == {HIDDEN: 0.75, "total": 0.75}
    assert bool((run.model.get_parameter("rnn.weight_ih_l0") != 0).all())


@pytest.mark.parametrize("changes", [GEOMETRIC, DYNAMIC])
def test_a_ticket_keeps_the_last_mask_and_moves_it_no_more(changes: dict[str, Any], tmp_path: Path, begin: Begin):
    run = begin(tmp_path / "run", **changes)
    train(run)
    ticket = lottery(run, RunFolder(tmp_path / "ticket"))
    assert torch.equal(hidden_mask(ticket), hidden_mask(run))
    train(ticket)
    assert torch.equal(hidden_mask(load(ticket.folder)), hidden_mask(run))


@pytest.mark.parametrize("task", ["navigation", "language"])
def test_other_tasks_start_sparse_too(task: str, tmp_path: Path):
    changes: dict[str, Any] = {"manifold": "torus", "pruning": "dynamic", "sparsity": 0.8, "strength": 0.0}
    if task == "language":
        changes |= {"data": str(write_text(tmp_path / "text"))}
    smoke = TASKS[task].presets["smoke"]
    config = smoke.replace(epochs=2, tail_epochs=1, dense_epochs=0, batches_per_epoch=3, update_every=1, **changes)
    run = start(RunFolder(tmp_path / "run"), RunDescription(task, config, None))
    first = {name: mask.clone() for name, mask in run.pruner.masks().items()}
    assert all("weight_hh" in name for name in first)
    train(run)
    for name, mask in run.pruner.masks().items():
        assert int(mask.sum()) == int(first[name].sum())
        assert not torch.equal(mask, first[name])


def test_temperatures_that_no_mask_has_are_named(describe: Callable[..., RunDescription]):
    with pytest.raises(ValueError, match=r"temperature must be above 0 for dynamic pruning and finite, got 0\.0"):
        describe(**DYNAMIC, temperature=0.0)
    with pytest.raises(ValueError, match="temperature must be >= 0 and finite, got inf"):
        describe(**GEOMETRIC, temperature=math.inf)
