"""Runs whose points follow evidence: resumed to the same bits, refused where they cannot be, dropped by tickets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from riemod.tasks import TASKS
from riemod.training import Run, RunFolder, load, lottery, train, train_replicas
from tests.training.killing import Killed, stop_in

Bits = Callable[[Run], dict[str, Tensor]]
Same = Callable[[dict[str, Tensor], dict[str, Tensor]], bool]


@pytest.mark.parametrize("task", ["adding", "navigation"])
@pytest.mark.parametrize("evidence", ["coactivity", "both", "signed"])
def test_a_run_goes_on_to_the_same_bits(
    task: str, evidence: str, tmp_path: Path, begin: Callable[..., Run], bits: Bits, same: Same
):
    changes: dict[str, Any] = {"task": task, "evidence": evidence, "strength": 0.1, "embedding_learning_rate": 0.1}
    whole, broken = begin(tmp_path / "whole", **changes), begin(tmp_path / "broken", **changes)
    start = bits(whole)["moduli/embeddings.0.points"]
    train(whole)
    with pytest.raises(Killed):
        train(broken, stop_in(1))
    broken = load(broken.folder)
    train(broken)
    assert same(bits(broken), bits(whole))
    assert not torch.equal(bits(whole)["moduli/embeddings.0.points"], start)
    # Of the four steps of each of three epochs the first is observed, and older ones are forgotten bit by bit.
    states = whole.config.training.batch_size * whole.config.steps
    if evidence == "coactivity":
        assert whole.evidence.gathered[0].seen.count.item() == pytest.approx(states * (1 + 0.95 + 0.95**2))


def test_weights_train_as_they_would_without(tmp_path: Path, begin: Callable[..., Run]):
    """With co-activity alone and no strength, points are a read-out."""
    plain = begin(tmp_path / "plain", manifold="none", learn=False)
    watched = begin(tmp_path / "watched", evidence="coactivity", strength=0.0)
    for run in (plain, watched):
        train(run)
    for name, parameter in plain.model.named_parameters():
        assert torch.equal(parameter, watched.model.get_parameter(name))


def test_a_ticket_has_fixed_points_and_no_evidence(tmp_path: Path, begin: Callable[..., Run]):
    parent = begin(tmp_path / "parent", evidence="coactivity")
    train(parent)
    ticket = lottery(parent, RunFolder(tmp_path / "ticket"))
    assert ticket.config.regularization.evidence == "weights"
    assert torch.equal(ticket.moduli.points, parent.moduli.points)
    train(load(ticket.folder))


def test_replicas_are_refused(tmp_path: Path, begin: Callable[..., Run]):
    runs = [begin(tmp_path / str(seed), seed=seed, evidence="coactivity") for seed in range(2)]
    with pytest.raises(ValueError, match="replicas need evidence='weights'"):
        train_replicas(runs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evidence": "states"}, "evidence must be 'weights', 'absolute', 'signed'"),
        ({"evidence": "coactivity", "learn": False}, "evidence='coactivity' is for positions that are trained"),
    ],
)
def test_bad_configs_are_named(changes: dict[str, Any], message: str):
    values = TASKS["adding"].presets["smoke"].to_dict() | {"manifold": "torus", "learn": True, "strength": 1.0}
    with pytest.raises(ValueError, match=message):
        type(TASKS["adding"].presets["smoke"]).from_dict(values | changes)
