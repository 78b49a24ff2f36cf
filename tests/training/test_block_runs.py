"""Runs that prune recurrent matrices by blocks: whose order, which matrices, resumed, and as tickets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from riemod.sparse import block_occupancy, order_neurons
from riemod.training import Run, RunFolder, load, lottery, train
from tests.training.killing import Killed

Bits = Callable[[Run], dict[str, Tensor]]
Same = Callable[[dict[str, Tensor], dict[str, Tensor]], bool]
NAME = "rnn.weight_hh_l0"
BLOCKS: dict[str, Any] = {"hidden_size": 16, "blocks": 4, "scope": "tensor"}
PLAIN: dict[str, Any] = {"manifold": "none", "learn": False}
ARMS: dict[str, dict[str, Any]] = {
    "learned": {},
    "fixed": {"learn": False},
    "random, with a penalty": {"learn": False, "block_order": "random"},
    "random": {**PLAIN, "block_order": "random"},
    "index": {**PLAIN, "block_order": "index"},
}


def empty_tiles(run: Run, order: Tensor) -> float:
    mask = run.pruner.masks()[NAME].unflatten(0, (-1, len(order)))
    return 1 - block_occupancy(mask[:, order][:, :, order], 4)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("task", ["adding", "navigation"])
def test_nine_tenths_are_nine_tenths_of_the_blocks(task: str, arm: str, tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run", task, **BLOCKS, **ARMS[arm], sparsity=0.875)
    record = train(run)
    assert record["sparsity"][NAME] == 0.875
    ((rows, columns),) = run.pruner.orders().values()
    assert torch.equal(rows, columns)
    assert empty_tiles(run, rows) == 0.875
    match arm:
        case "fixed":
            assert run.moduli is not None
            assert torch.equal(rows, order_neurons(run.moduli))
        case "index":
            assert torch.equal(rows, torch.arange(16))
        case "random" | "random, with a penalty":
            assert empty_tiles(run, torch.arange(16)) < 0.8
            other = begin(tmp_path / "other", task, **BLOCKS, **ARMS[arm], seed=1)
            assert not torch.equal(other.pruner.orders()[NAME][0], rows)
    # The other matrices are pruned weight by weight, to the same share.
    masks = run.pruner.masks()
    for name in masks.keys() - {NAME}:
        assert record["sparsity"][name] == round(0.875 * masks[name].numel()) / masks[name].numel()


@pytest.mark.parametrize("arm", ARMS)
def test_a_run_goes_on_to_the_same_bits(arm: str, tmp_path: Path, begin: Callable[..., Run], bits: Bits, same: Same):
    changes = {**BLOCKS, **ARMS[arm], "epochs": 4, "embedding_learning_rate": 0.3, "strength": 1.0}
    whole, broken = begin(tmp_path / "whole", **changes), begin(tmp_path / "broken", **changes)
    first = {name: value.clone() for name, value in bits(whole).items()}
    train(whole)
    for epoch in (1, 2, 3):

        def stop(step: int, total: int, row: dict[str, float], epoch: int = epoch) -> None:
            if step > epoch * 4:
                raise Killed

        with pytest.raises(Killed):
            train(broken, stop)
        broken = load(broken.folder)
    train(broken)
    assert same(bits(broken), bits(whole))
    order = bits(whole)[f"model/{NAME}_order"]
    assert (arm == "learned") != torch.equal(order, first[f"model/{NAME}_order"])


@pytest.mark.parametrize("arm", ["learned", "random"])
def test_a_ticket_keeps_blocks_and_order(arm: str, tmp_path: Path, begin: Callable[..., Run]):
    parent = begin(tmp_path / "parent", **BLOCKS, **ARMS[arm])
    train(parent)
    ticket = lottery(parent, RunFolder(tmp_path / "ticket"))
    train(ticket)
    for run in (ticket, load(ticket.folder)):
        assert torch.equal(run.pruner.masks()[NAME], parent.pruner.masks()[NAME])
        assert torch.equal(run.pruner.orders()[NAME][0], parent.pruner.orders()[NAME][0])
