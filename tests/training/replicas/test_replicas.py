"""Replicas: each ends as its single run does, whatever it is trained beside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from riemod.tasks.recurrence import Cell, last_states, recurrent_layer
from riemod.training import Run, RunFolder, TrainingDiverged, load, lottery, train, train_replicas
from tests.strategies import generator
from tests.training.killing import Killed

Begin = Callable[..., Run]
Bits = Callable[[Run], dict[str, Tensor]]

# With a tight clip, so that it is at work; no learning so fast that rounding grows.
COMMON: dict[str, Any] = {"epochs": 4, "max_grad_norm": 0.05, "hidden_size": 12}
RUNS: dict[str, dict[str, Any]] = {
    "none": {"manifold": "none", "learn": False},
    "fixed": {"learn": False, "strength": 0.3},
    "learned": {"seed": 1, "strength": 0.3},
    "learned curvature": {"manifold": "poincare", "sparsity": 0.0},
    "squared": {"learn": False, "power": 2.0, "reduction": "sum", "strength": 1e-3},
    "shuffled": {"learn": False, "arm": "shuffled", "scope": "tensor"},
    "redrawn": {"learn": False, "arm": "random_geometry", "schedule": "cubic", "dense_epochs": 1},
    "blocks": {"strength": 0.3, "blocks": 4, "scope": "tensor"},
    "random blocks": {"manifold": "none", "learn": False, "blocks": 5, "block_order": "random"},
    "signed": {"learn": False, "law": "signed", "strength": 30.0},
    "auto": {"learn": False, "strength": "auto"},
    "auto, learned": {"seed": 1, "strength": "auto", "strength_share": 0.3},
    "proximal": {"proximal": True, "strength": 10.0, "initialization": "sparsity_aware"},
}


def assert_alike(found: Run, expected: Run, bits: Bits) -> None:
    """Weights, masks, points, moments and metrics agree to what rounding leaves of a short training."""
    ours, theirs = bits(found), bits(expected)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(
            value, theirs[name], rtol=1e-3, atol=2e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
    for own, other in zip(found.folder.read_metrics(), expected.folder.read_metrics(), strict=True):
        assert own == pytest.approx(other, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("cell", get_args(Cell))
def test_states_and_gradients_are_those_of_torch(cell: Cell):
    layers = [recurrent_layer(cell, 2, 5).double() for _ in range(3)]
    sequence = torch.randn(3, 7, 4, 2, generator=generator(0), dtype=torch.float64)
    stacked = {
        name: torch.stack([layer.get_parameter(name) for layer in layers]).detach().requires_grad_()
        for name, _ in layers[0].named_parameters()
    }
    states = last_states(cell, stacked, sequence)
    weights = torch.randn(states.shape, generator=generator(1), dtype=torch.float64)
    (states * weights).sum().backward()
    for index, layer in enumerate(layers):
        own = layer(sequence[index])[0][-1]
        torch.testing.assert_close(states[index], own)
        (own * weights[index]).sum().backward()
        for name, parameter in layer.named_parameters():
            gradient = stacked[name].grad
            assert gradient is not None
            torch.testing.assert_close(gradient[index], parameter.grad)


def test_a_single_step_needs_no_recurrent_weights():
    layer = nn.RNN(2, 3)
    stacked = {name: value.detach()[None].requires_grad_() for name, value in layer.named_parameters()}
    sequence = torch.randn(1, 1, 4, 2, generator=generator(0))
    states = last_states("rnn_tanh", stacked, sequence)
    torch.testing.assert_close(states[0], layer(sequence[0])[0][-1])
    states.sum().backward()
    assert not stacked["weight_hh_l0"].grad.any()


@pytest.mark.parametrize(
    "cell",
    [cell if cell in ("rnn_tanh", "lstm") else pytest.param(cell, marks=pytest.mark.slow) for cell in get_args(Cell)],
)
def test_every_replica_ends_as_its_single_run(cell: Cell, tmp_path: Path, begin: Begin, bits: Bits):
    together = [begin(tmp_path / "a" / name, **COMMON, cell=cell, **own) for name, own in RUNS.items()]
    apart = [begin(tmp_path / "b" / name, **COMMON, cell=cell, **own) for name, own in RUNS.items()]
    records = train_replicas(together)
    for run, single, record in zip(together, apart, records, strict=True):
        expected = train(single)
        assert_alike(run, single, bits)
        assert run.folder.read_record() == record
        assert record["config"] == expected["config"]
        assert record["sparsity"] == expected["sparsity"]
        assert record["metrics"]["rmse"]["value"] == pytest.approx(expected["metrics"]["rmse"]["value"], rel=1e-3)


def test_replicas_go_on_from_wherever_each_was_left(tmp_path: Path, begin: Begin, bits: Bits):
    def kill(step: int, total: int, row: dict[str, float]) -> None:
        if row["epoch"] >= 1:
            raise Killed

    names = ("fixed", "learned", "none")
    whole = [begin(tmp_path / "whole" / name, **COMMON, **RUNS[name]) for name in names]
    broken = [begin(tmp_path / "broken" / name, **COMMON, **RUNS[name]) for name in names]
    train_replicas(whole)
    with pytest.raises(Killed):
        train_replicas(broken[:2], kill)
    again = [load(run.folder) for run in broken]
    assert [run.epoch for run in again] == [2, 2, 0]
    train_replicas(again)
    for run, other in zip(again, whole, strict=True):
        assert_alike(run, other, bits)
    finished = [load(run.folder) for run in again]
    assert train_replicas(finished) == [run.folder.read_record() for run in again]


def test_replicas_that_go_on_together_end_with_the_same_bits(
    tmp_path: Path, begin: Begin, bits: Bits, same: Callable[[dict[str, Tensor], dict[str, Tensor]], bool]
):
    names = ("fixed", "learned", "none", "blocks")
    whole, broken = (
        [begin(tmp_path / place / name, **COMMON, **RUNS[name]) for name in names] for place in ("whole", "broken")
    )
    train_replicas(whole)
    for epoch in (0, 2):  # killed twice

        def kill(step: int, total: int, row: dict[str, float], epoch: int = epoch) -> None:
            if row["epoch"] >= epoch:
                raise Killed

        with pytest.raises(Killed):
            train_replicas(broken, kill)
        broken = [load(run.folder) for run in broken]
        assert [run.epoch for run in broken] == [epoch + 1] * len(names)
    train_replicas(broken)
    for run, other in zip(broken, whole, strict=True):
        assert same(bits(run), bits(other))
        assert run.folder.metrics_file.read_bytes() == other.folder.metrics_file.read_bytes()


@pytest.mark.parametrize("company", [["learned"], ["fixed", "learned"], ["learned", "none", "fixed"]], ids="-".join)
def test_replicas_in_other_company_differ_by_rounding_alone(
    company: list[str], tmp_path: Path, begin: Begin, bits: Bits
):
    def kill(step: int, total: int, row: dict[str, float]) -> None:
        if row["epoch"] >= 1:
            raise Killed

    names = ("fixed", "learned", "none")
    whole, broken = (
        {name: begin(tmp_path / place / name, **COMMON, **RUNS[name]) for name in names}
        for place in ("whole", "broken")
    )
    train_replicas(list(whole.values()))
    with pytest.raises(Killed):
        train_replicas(list(broken.values()), kill)
    again = {name: load(broken[name].folder) for name in company}
    if len(again) > 1:
        train_replicas(list(again.values()))
    else:
        train(again["learned"])
    ours, theirs = bits(again["learned"]), bits(whole["learned"])
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-6, msg=lambda text, name=name: name + text)


def test_a_replica_goes_on_alone(tmp_path: Path, begin: Begin, bits: Bits):
    pair = [begin(tmp_path / str(seed), **COMMON, seed=seed) for seed in (0, 1)]
    single = begin(tmp_path / "single", **COMMON, seed=1)
    train_replicas(pair)
    train(single)
    assert_alike(load(pair[1].folder), single, bits)
    # What trained as a row of a stack is a plain run again: it can be evaluated, and its ticket drawn.
    ticket = lottery(load(pair[0].folder), RunFolder(tmp_path / "ticket"), learning_rate=1e-3)
    assert train(ticket)["config"]["learning_rate"] == 1e-3


def test_a_run_that_diverges_is_left_behind(tmp_path: Path, begin: Begin, bits: Bits):
    names = {"good": {}, "bad": {"seed": 3}, "other": {"seed": 1}}
    runs = {name: begin(tmp_path / name, **COMMON, **own) for name, own in names.items()}
    with torch.no_grad():
        runs["bad"].model.get_parameter("decoder.bias").fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match=r"bad: .*nan"):
        train_replicas(list(runs.values()))
    assert not runs["bad"].folder.record_file.exists()
    for name in ("good", "other"):
        single = begin(tmp_path / "single" / name, **COMMON, **names[name])
        train(single)
        assert_alike(runs[name], single, bits)


def test_runs_that_do_not_fit_are_refused(tmp_path: Path, begin: Begin):
    first = begin(tmp_path / "first")
    with pytest.raises(ValueError, match="runs must hold at least one run"):
        train_replicas([])
    with pytest.raises(ValueError, match=r"runs must differ in nothing but .* has hidden_size=7, .* has 6"):
        train_replicas([first, begin(tmp_path / "wide", hidden_size=7)])
    with pytest.raises(ValueError, match="has learning_rate="):
        train_replicas([first, begin(tmp_path / "fast", learning_rate=0.1)])
    with pytest.raises(ValueError, match="one folder twice"):
        train_replicas([first, first])
    with pytest.raises(ValueError, match="replicas need a task that trains side by side, such as adding, got 'navig"):
        train_replicas([begin(tmp_path / "navigation", "navigation")])
    with pytest.raises(ValueError, match="replicas need optimizer='adam'"):
        train_replicas([begin(tmp_path / "sgd", optimizer="sgd")])
    assert first.folder.read_metrics() == []
