"""What the studies share: nets that train, records that a kill leaves whole, intervals."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from analysis import small_nets
from benchmarks.intervals import mean_and_half_width
from riemod.evidence import Coactivity, PointEvidence
from riemod.manifolds import Sphere
from riemod.pruning import ConstantSchedule, MagnitudePruner
from riemod.regularization import ModuliRegularizer
from riemod.tasks.navigation import Navigation, NavigationConfig
from riemod.training import RunDescription, RunFolder, build, train

SMALL: dict[str, Any] = {
    "hidden_size": 12,
    "epochs": 2,
    "tail_epochs": 1,
    "batches_per_epoch": 3,
    "evaluation_batches": 1,
}


def small(arena: str = "circle", **changes: Any) -> NavigationConfig:
    return small_nets.config(arena, 0, **SMALL | changes)


@pytest.mark.parametrize("learned", [False, True])
def test_training_is_that_of_the_training_loop(tmp_path: Path, learned: bool) -> None:
    plan = small(learning_rate_decay="tail")
    if learned:
        extra = {"manifold": "circle", "learn": True, "evidence": "coactivity", "strength": 0.5}
        plan = plan.replace(**extra)
    run = build(RunFolder(tmp_path), RunDescription("navigation", plan, None))
    task = Navigation(plan)
    model, moduli, evidence = small_nets.fresh(task), None, None
    if learned:
        assert run.moduli is not None
        moduli = ModuliRegularizer(
            model,
            Sphere(1),
            strength=0.5,
            learn=True,
            points=run.moduli.points.detach().clone(),
        )
        evidence = PointEvidence(moduli, Coactivity())
    small_nets.train(task, model, moduli, evidence=evidence)
    run.folder.create(run.description)
    train(run)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, run.model.get_parameter(name)), name
    if learned:
        assert moduli is not None
        assert run.moduli is not None
        assert torch.equal(moduli.points, run.moduli.points)


def test_pruned_weights_stay_zero_and_steps_are_watched() -> None:
    task = Navigation(small())
    model = small_nets.fresh(task)
    pruner = MagnitudePruner(model, ConstantSchedule(0.5), targets=["rnn.weight_hh_l0"])
    seen: list[tuple[int, torch.Size]] = []

    def watch(step: int, factor: float, states: Tensor) -> None:
        assert 0 < factor <= 1
        seen.append((step, states.shape))

    small_nets.train(task, model, pruner=pruner, watch=watch)
    assert int((model.rnn.weight_hh_l0 == 0).sum()) == 72
    assert seen == [(step, (10, 48, 12)) for step in range(1, 7)]


def test_box_has_the_code_of_the_torus() -> None:
    assert small_nets.config("box", 0).width == pytest.approx(0.45 * 1.1 * math.sqrt(2))
    assert small_nets.config("box", 0).width == small_nets.config("torus", 0).width


def test_missing_cases_are_run_once_and_a_line_cut_off_is_run_again(tmp_path: Path) -> None:
    file, asked = tmp_path / "records" / "study.jsonl", []

    def function(case: int) -> small_nets.Row:
        asked.append(case)
        return {"value": case + 0.123456}

    cases: list[small_nets.Case] = [(0,), (1,), (2,)]
    small_nets.run_missing(file, ("case",), cases[:2], function)
    assert small_nets.read(file) == [{"case": 0, "value": 0.1235}, {"case": 1, "value": 1.1235}]
    file.write_bytes(file.read_bytes()[:-5])
    assert small_nets.read(file) == [{"case": 0, "value": 0.1235}]
    small_nets.run_missing(file, ("case",), cases, function)
    assert asked == [0, 1, 1, 2]
    assert [json.loads(line)["case"] for line in file.read_text().splitlines()] == [0, 1, 2]


def test_rows_of_one_case_are_written_together(tmp_path: Path) -> None:
    file, calls = tmp_path / "study.jsonl", []

    def function(case: int) -> list[small_nets.Row]:
        calls.append(case)
        return [{"part": part} for part in "ab"]

    for _ in range(2):
        small_nets.run_missing(file, ("case",), [(7,)], function)
    assert calls == [7]
    assert small_nets.read(file) == [{"case": 7, "part": "a"}, {"case": 7, "part": "b"}]


def test_interval_is_students() -> None:
    mean, half = mean_and_half_width([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / math.sqrt(3))
    assert small_nets.summary([1.0]) == "1.00"
    assert small_nets.summary([1.0, 2.0, 3.0]) == "2.00 ± 2.48"
