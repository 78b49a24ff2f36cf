"""Runs of the controls and of the proximal step: resumed to the same bits, matched where they must be, and recorded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from riemod.manifolds import Torus
from riemod.regularization.controls import ARMS
from riemod.regularization.inhibitors import Signed
from riemod.training import CheckpointError, Run, RunFolder, load, lottery, train
from tests.training.killing import Killed, stop_in

Bits = Callable[[Run], dict[str, Tensor]]
Same = Callable[[dict[str, Tensor], dict[str, Tensor]], bool]
FIXED: dict[str, Any] = {"learn": False, "strength": 5.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"arm": "none", **FIXED},
        {"arm": "matched_l1", **FIXED},
        {"arm": "shuffled", **FIXED},
        {"arm": "random_geometry", **FIXED},
        {"arm": "random_geometry", "proximal": True, **FIXED},
        {"arm": "shuffled", "proximal": True, **FIXED},
        {"proximal": True, "strength": 5.0},
        {"law": "signed", "strength": 300.0},
        {"law": "signed", **FIXED},
        {"learn": False, "arm": "shuffled", "strength": "auto"},
        {"strength": "auto", "evidence": "both", "sparsity": 0.5},
        {"law": "signed", "arm": "shuffled", "proximal": True, **FIXED},
    ],
)
def test_a_run_of_any_arm_goes_on_to_the_same_bits(
    changes: dict[str, Any], tmp_path: Path, begin: Callable[..., Run], bits: Bits, same: Same
):
    whole, broken = begin(tmp_path / "whole", **changes), begin(tmp_path / "broken", **changes)
    record = train(whole)
    for epoch in (0, 1, 2):
        with pytest.raises(Killed):
            train(broken, stop_in(epoch))
        broken = load(broken.folder)
    train(broken)
    assert same(bits(broken), bits(whole))
    assert type(broken.moduli.costs) is ARMS[changes.get("arm", "moduli")]
    assert set(record["zeros"]) == set(record["sparsity"]) - {"total"}
    for name, zeros in record["zeros"].items():
        assert zeros >= record["sparsity"][name]


def test_a_strength_that_was_found_is_in_every_row_and_in_the_record(tmp_path: Path, begin: Callable[..., Run]):
    plain, matched = (
        begin(tmp_path / name, strength="auto", learn=False, **changes)
        for name, changes in {"plain": {}, "matched": {"mean_cost": 5.0}}.items()
    )
    records = [train(run) for run in (plain, matched)]
    for run, record in zip((plain, matched), records, strict=True):
        rows = run.folder.read_metrics()
        assert record["strength"] == {"value": rows[-1]["strength"], "unit": "1"}
        assert all(row["strength"] > 0 and row["penalty"] > 0 for row in rows)
        assert run.config.to_dict()["strength"] == "auto"
    # One penalty in two units of costs: the nets are the same, the numbers stand to one another as the units do.
    assert records[0]["metrics"]["rmse"]["value"] == pytest.approx(records[1]["metrics"]["rmse"]["value"], rel=1e-4)
    costs = plain.moduli.coefficients().mean().item()
    ratio = records[0]["strength"]["value"] * costs / records[1]["strength"]["value"]
    assert ratio == pytest.approx(5.0, rel=1e-3)
    assert "strength" not in train(begin(tmp_path / "number", **FIXED))


def test_the_none_arm_is_a_run_without_a_manifold(tmp_path: Path, begin: Callable[..., Run]):
    runs = [
        begin(tmp_path / "arm", arm="none", **FIXED),
        begin(tmp_path / "no manifold", manifold="none", **FIXED),
        begin(tmp_path / "proximal", arm="none", proximal=True, **FIXED),
        begin(tmp_path / "geometric", **FIXED),
    ]
    for run in runs:
        train(run)
    weights = [run.model.state_dict()["rnn.weight_hh_l0"] for run in runs]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])


def test_a_signed_law_trains_other_weights_and_points_and_its_ticket_keeps_it(
    tmp_path: Path, begin: Callable[..., Run]
):
    signed, unsigned = (begin(tmp_path / law, law=law, strength=300.0) for law in ("signed", "unsigned"))
    before = signed.moduli.points.detach().clone()
    assert torch.equal(before, unsigned.moduli.points.detach())
    for run in (signed, unsigned):
        train(run)
    assert not torch.equal(signed.moduli.points, before)
    assert not torch.equal(signed.moduli.points, unsigned.moduli.points)
    ticket = lottery(signed, RunFolder(tmp_path / "ticket"))
    train(ticket)
    assert ticket.config.regularization.law == "signed"
    assert ticket.moduli.inhibitor == signed.moduli.inhibitor == Signed.mexican_hat(Torus(2))
    assert torch.equal(ticket.moduli.points, signed.moduli.points)


def test_a_checkpoint_of_another_law_is_refused(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run", law="signed")
    train(run)
    config = run.folder.path / "config.json"
    config.write_text(config.read_text().replace('"law": "signed"', '"law": "unsigned"'))
    with pytest.raises(CheckpointError, match="checkpoint is of another run: law is 'signed' in it, 'unsigned' in"):
        load(RunFolder(run.folder.path))


def test_arms_start_from_the_same_weights_and_points(tmp_path: Path, begin: Callable[..., Run]):
    runs = [begin(tmp_path / arm, arm=arm, **FIXED) for arm in ARMS]
    for run in runs:
        assert run.moduli is not None
        assert runs[0].moduli is not None
        assert torch.equal(run.model.state_dict()["rnn.weight_hh_l0"], runs[0].model.state_dict()["rnn.weight_hh_l0"])
        assert torch.equal(run.moduli.points, runs[0].moduli.points)


@pytest.mark.filterwarnings("ignore:rnn.weight_hh_l0 is 0 everywhere")
def test_the_proximal_step_makes_exact_zeros_without_pruning(tmp_path: Path, begin: Callable[..., Run]):
    shrunk = train(begin(tmp_path / "proximal", proximal=True, sparsity=0.0, learn=False, strength=200.0))
    pulled = train(begin(tmp_path / "gradient", sparsity=0.0, learn=False, strength=200.0))
    assert shrunk["zeros"]["rnn.weight_hh_l0"] > 0.1
    assert shrunk["zeros"]["rnn.weight_ih_l0"] == 0
    assert pulled["zeros"]["rnn.weight_hh_l0"] == 0
    assert shrunk["sparsity"]["total"] == 0


def test_the_proximal_step_still_learns_points(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run", proximal=True, strength=5.0)
    assert run.moduli is not None
    before = run.moduli.points.detach().clone()
    train(run)
    assert not torch.equal(run.moduli.points, before)
    assert run.folder.read_metrics()[-1]["penalty"] > 0


def test_random_geometry_is_redrawn_by_the_loop_and_in_its_ticket(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run", arm="random_geometry", **FIXED)
    assert run.moduli is not None
    before = run.moduli.points.clone()
    train(run)
    assert not torch.equal(run.moduli.points, before)
    ticket = lottery(run, RunFolder(tmp_path / "ticket"))
    assert type(ticket.moduli) is type(run.moduli)
    train(ticket)
