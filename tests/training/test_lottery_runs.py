"""Lottery tickets as runs: the parent's mask and points, fresh weights, and a life of their own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from riemod.training import Run, RunError, RunFolder, load, lottery, train

Bits = Callable[[Run], dict[str, Tensor]]
Same = Callable[[dict[str, Tensor], dict[str, Tensor]], bool]
Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def parent(tmp_path: Path, begin: Callable[..., Run]) -> Run:
    """A finished run on a learned torus."""
    run = begin(tmp_path / "parent")
    train(run)
    return run


def masks(run: Run) -> dict[str, Tensor]:
    return {name: mask.clone() for name, mask in run.pruner.masks().items()}


@pytest.mark.filterwarnings("ignore:.* its floor:UserWarning")
@pytest.mark.parametrize("task", ["adding", "navigation"])
@pytest.mark.parametrize("scope", ["global", "tensor"])
# At 0.54 and 0.66 a tensor pruned once more, to the share that all tensors have together, would lose one weight more.
@pytest.mark.parametrize("sparsity", [0.0, 0.54, 0.66, 0.9])
def test_a_ticket_keeps_the_mask_through_its_training(
    task: str, scope: str, sparsity: float, tmp_path: Path, begin: Callable[..., Run]
):
    parent = begin(tmp_path / "parent", task, scope=scope, sparsity=sparsity, hidden_size=5)
    train(parent)
    ticket = lottery(parent, RunFolder(tmp_path / "ticket"))
    expected = masks(parent)
    for run in (ticket, load(ticket.folder)):
        for name, mask in masks(run).items():
            assert torch.equal(mask, expected[name]), name
            weight, old = run.model.get_parameter(name), parent.model.get_parameter(name)
            assert bool((weight[~mask] == 0).all())
            assert not bool((weight[mask] == old[mask]).any())
    record = train(ticket)
    for name, mask in masks(ticket).items():
        assert torch.equal(mask, expected[name]), name
        assert bool((ticket.model.get_parameter(name)[~mask] == 0).all())
    assert record["sparsity"] == parent.folder.read_record()["sparsity"]
    assert {row["sparsity"] for row in ticket.folder.read_metrics()} == {record["sparsity"]["total"]}


def test_a_ticket_s_points_are_the_parent_s_and_stay(parent: Run, tmp_path: Path):
    assert parent.moduli is not None
    learned = parent.moduli.points.detach().clone()
    ticket = lottery(parent, RunFolder(tmp_path / "ticket"))
    train(ticket)
    for run in (ticket, load(ticket.folder)):
        assert run.moduli is not None
        assert torch.equal(run.moduli.points, learned)
        assert not any(parameter.requires_grad for parameter in run.moduli.parameters())
    assert ticket.folder.read_metrics()[0]["penalty"] > 0
    assert load(parent.folder).config.regularization.learn is True


def test_the_record_says_whose_ticket_it_is(parent: Run, tmp_path: Path):
    record = train(lottery(parent, RunFolder(tmp_path / "ticket")))
    assert record["ticket_of"] == str(parent.folder.path)
    assert record["config"]["learn"] is False
    assert record["config"]["sparsity"] == parent.pruner.sparsity()["total"]
    changed = {name for name, value in record["config"].items() if value != parent.config.to_dict()[name]}
    assert changed <= {"learn", "sparsity", "initialization"}
    assert record["config"]["initialization"] == "sparsity_aware"
    assert json.loads((tmp_path / "ticket" / "config.json").read_text())["ticket_of"] == str(parent.folder.path)


def test_the_parent_is_left_as_it_was(parent: Run, tmp_path: Path, contents: Contents, bits: Bits, same: Same):
    before, numbers = contents(parent.folder.path), bits(parent)
    train(lottery(parent, RunFolder(tmp_path / "ticket")))
    assert contents(parent.folder.path) == before
    assert same(bits(parent), numbers)


def test_the_same_parent_draws_the_same_ticket(parent: Run, tmp_path: Path, bits: Bits, same: Same):
    first, second = (lottery(load(parent.folder), RunFolder(tmp_path / name)) for name in ("first", "second"))
    assert same(bits(first), bits(second))
    for run in (first, second):
        train(run)
    assert same(bits(first), bits(second))


def test_a_ticket_without_a_regularizer(tmp_path: Path, begin: Callable[..., Run]):
    parent = begin(tmp_path / "parent", manifold="none", learn=False)
    train(parent)
    ticket = lottery(parent, RunFolder(tmp_path / "ticket"))
    assert ticket.moduli is None
    assert train(ticket)["sparsity"] == parent.folder.read_record()["sparsity"]


def test_a_ticket_of_a_ticket(parent: Run, tmp_path: Path):
    first = lottery(parent, RunFolder(tmp_path / "first"))
    train(first)
    second = lottery(first, RunFolder(tmp_path / "second"))
    train(second)
    for name, mask in masks(second).items():
        assert torch.equal(mask, masks(parent)[name])


def test_an_unfinished_run_has_no_ticket(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run")
    with pytest.raises(RunError, match=f"run {run.folder.path} is not finished: riemod resume {run.folder.path}"):
        lottery(run, RunFolder(tmp_path / "ticket"))
    assert not (tmp_path / "ticket").exists()


def test_a_taken_folder_is_refused_and_left_as_it_was(parent: Run, contents: Contents):
    before = contents(parent.folder.path)
    with pytest.raises(RunError, match="out must be a new or empty folder"):
        lottery(parent, RunFolder(parent.folder.path))
    assert contents(parent.folder.path) == before


def test_a_ticket_killed_before_its_first_checkpoint_is_drawn_again(
    parent: Run, tmp_path: Path, bits: Bits, same: Same, record_without_time: Callable[[Path], dict[str, Any]]
):
    whole = lottery(parent, RunFolder(tmp_path / "whole"))
    train(whole)
    killed = lottery(parent, RunFolder(tmp_path / "killed"))
    shutil.rmtree(killed.folder.checkpoint)
    again = load(killed.folder)
    train(again)
    assert same(bits(again), bits(whole))
    assert record_without_time(again.folder.path) == record_without_time(whole.folder.path)
    shutil.rmtree(parent.folder.path)
    orphan = tmp_path / "orphan"
    orphan.mkdir()
    shutil.copy(killed.folder.config_file, orphan)
    with pytest.raises(RunError, match=f"run must be a folder with a config.json, got {parent.folder.path}"):
        load(RunFolder(orphan))
