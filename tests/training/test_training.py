"""Whether the loop learns, repeats itself, prunes as it was told, and leaves a record."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from riemod.tasks import TASKS
from riemod.tasks.adding import Adding
from riemod.training import Run, RunDescription, RunError, RunFolder, evaluate, load, start, train, train_replicas

Bits = Callable[[Run], dict[str, Tensor]]
Same = Callable[[dict[str, Tensor], dict[str, Tensor]], bool]
Contents = Callable[[Path], dict[str, bytes]]


@pytest.mark.parametrize("task", ["adding", "navigation"])
def test_a_smoke_run_learns(task: str, tmp_path: Path):
    description = RunDescription(task, TASKS[task].presets["smoke"], None)
    run = start(RunFolder(tmp_path / "run"), description)
    untrained = evaluate(run)
    record = train(run)
    rows = run.folder.read_metrics()
    losses = [row["train_loss"] for row in rows]
    assert losses[-1] < losses[0]
    trained = {name: entry["value"] for name, entry in record["metrics"].items()}
    perfect = record["levels"].get("loss of a perfect net", {"value": 0.0})["value"]
    # A fifth of the way from where it began to perfection, in six epochs.
    assert trained["loss"] - perfect < 0.8 * (untrained["loss"] - perfect)
    if task == "adding":
        assert trained["rmse"] < 0.8 * record["levels"]["rmse of always answering 1"]["value"]


@pytest.mark.parametrize("task", ["adding", "navigation"])
def test_the_same_seed_gives_the_same_bits(
    task: str, tmp_path: Path, begin: Callable[..., Run], bits: Bits, same: Same
):
    runs = [begin(tmp_path / name, task, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    first, _, other = (bits(run) for run in runs)
    assert not torch.equal(first["moduli/embeddings.0.points"], other["moduli/embeddings.0.points"])
    assert not torch.equal(first["model/rnn.weight_hh_l0"], other["model/rnn.weight_hh_l0"])
    for number, run in enumerate(runs):
        # What other code draws, or has drawn, must not matter.
        torch.manual_seed(number)
        train(run)
    a, b, c = (bits(run) for run in runs)
    assert same(a, b)
    assert not same(a, first)
    assert not same(a, c)
    rows = [run.folder.metrics_file.read_text() for run in runs]
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]


def test_every_epoch_and_every_seed_has_data_of_its_own(tmp_path: Path, begin: Callable[..., Run]):
    seen: list[bytes] = []
    for seed in (0, 1):
        run = begin(tmp_path / str(seed), seed=seed)
        real = run.task.loss

        def watched(model: nn.Module, batch: tuple[Tensor, ...], real: Any = real) -> Tensor:
            if torch.is_grad_enabled():
                seen.append(batch[0].numpy().tobytes())
            return real(model, batch)

        run.task.loss = watched
        train(run)
    assert len(seen) == len(set(seen)) == 2 * 12


def test_training_leaves_the_global_generator_alone(tmp_path: Path, begin: Callable[..., Run]):
    before = torch.get_rng_state()
    train(begin(tmp_path / "run"))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_points_move_if_they_are_learned_and_only_then(tmp_path: Path, begin: Callable[..., Run]):
    for learn in (True, False):
        run = begin(tmp_path / str(learn), learn=learn)
        assert run.moduli is not None
        before = run.moduli.points.detach().clone()
        train(run)
        assert torch.equal(run.moduli.points, before) is not learn
        assert bool(torch.isfinite(run.moduli.points).all())


@pytest.mark.parametrize("scope", ["global", "tensor"])
def test_the_net_ends_as_sparse_as_it_was_told(scope: str, tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run", scope=scope, sparsity=0.9, epochs=5, tail_epochs=2)
    record = train(run)
    weights = {name: value for name, value in run.model.named_parameters() if value.ndim >= 2}
    zeros = {name: int((value == 0).sum()) for name, value in weights.items()}
    sizes = {name: value.numel() for name, value in weights.items()}
    if scope == "global":
        assert sum(zeros.values()) == round(0.9 * sum(sizes.values()))
    else:
        assert zeros == {name: round(0.9 * size) for name, size in sizes.items()}
    measured = {name: zeros[name] / sizes[name] for name in sizes}
    assert record["sparsity"] == measured | {"total": sum(zeros.values()) / sum(sizes.values())}
    courses = [row["sparsity"] for row in run.folder.read_metrics()]
    assert courses == sorted(courses)
    assert courses[0] == 0
    assert courses[-1] == courses[-3] == record["sparsity"]["total"]


def test_every_epoch_leaves_a_row_and_the_end_a_record(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run")
    seen: list[tuple[int, int]] = []
    record = train(run, lambda step, total, row: seen.append((step, total)))
    assert [row["epoch"] for row in run.folder.read_metrics()] == [0, 1, 2]
    assert seen == [(4, 12), (8, 12), (12, 12)]
    assert run.folder.read_record() == record
    assert record["config"] == run.config.to_dict()
    assert record["task"] == "adding"
    assert record["ticket_of"] is None
    assert record["parameters"] == 6 * 2 + 6 * 6 + 2 * 6 + 6 + 1
    assert record["wall_time"]["unit"] == "s"
    assert record["wall_time"]["value"] > 0
    assert {"python", "riemod", "torch", "geoopt", "numpy"} == set(record["versions"])
    assert {"system", "architecture", "cores", "threads", "cuda_device"} == set(record["machine"])
    assert record["metrics"]["rmse"] == {"value": evaluate(run)["rmse"], "unit": "1"}
    assert all({"value", "unit"} == set(entry) for entry in record["levels"].values())


def test_the_last_row_is_of_the_net_in_the_checkpoint(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run", evaluation_batches=1)
    record = train(run)
    assert run.folder.read_metrics()[-1]["eval_rmse"] == record["metrics"]["rmse"]["value"]
    assert evaluate(load(run.folder)) == evaluate(run)


def test_the_rates_stay_or_fall_over_the_tail(tmp_path: Path, begin: Callable[..., Run]):
    seen: dict[str, list[tuple[float, ...]]] = {}
    for decay in ("none", "tail"):
        run = begin(tmp_path / decay, learning_rate_decay=decay, epochs=5, tail_epochs=3, learning_rate=0.01)
        rates: list[tuple[float, ...]] = []
        train(run, lambda *_, run=run, rates=rates: rates.append(tuple(g["lr"] for g in run.optimizer.param_groups)))
        seen[decay] = rates
    full = (0.01, run.config.optimization.embedding_learning_rate)
    assert seen["none"] == [full] * 5
    assert seen["tail"][:2] == [full] * 2
    factors = [rates[0] / full[0] for rates in seen["tail"][2:]]
    assert factors == pytest.approx([0.02 + 0.49 * (1 + math.cos(math.pi * k / 3)) for k in (1, 2, 3)])
    assert [rates[1] / full[1] for rates in seen["tail"][2:]] == pytest.approx(factors)


def test_clipping_bounds_the_step(tmp_path: Path, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch):
    """And what it bounds is the gradient of what is left: pruned weights have none."""
    norms: list[float] = []
    real = nn.utils.clip_grad_norm_
    run = begin(tmp_path / "run", max_grad_norm=1e-3)

    def watched(parameters: Any, limit: float) -> Tensor:
        parameters = list(parameters)
        for name, mask in run.pruner.masks().items():
            gradient = run.model.get_parameter(name).grad
            assert gradient is not None
            assert not bool(gradient[~mask].any())
        norm = real(parameters, limit)
        norms.append(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm().item())
        return norm

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", watched)
    train(run)
    assert len(norms) == 12
    assert max(norms) <= 1e-3 * (1 + 1e-5)


def test_a_taken_folder_is_refused_and_left_as_it_was(
    tmp_path: Path, describe: Callable[..., RunDescription], contents: Contents
):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("draft")
    file = tmp_path / "file"
    file.write_text("no folder")
    for path in (taken, file):
        with pytest.raises(RunError, match=f"out must be a new or empty folder, got {path}"):
            start(RunFolder(path), describe())
    assert contents(tmp_path) == {"file": b"no folder", "taken/thesis.txt": b"draft"}
    empty = tmp_path / "empty"
    empty.mkdir()
    assert start(RunFolder(empty), describe()).epoch == 0


def test_an_impossible_config_makes_no_folder(tmp_path: Path, describe: Callable[..., RunDescription]):
    for changes in ({"inhibitor": "diffusion"}, {"device": "cuda:99"}):
        with pytest.raises(ValueError, match=r"[Dd]iffusion|device"):
            start(RunFolder(tmp_path / "run"), describe(**changes))
        assert not (tmp_path / "run").exists()


def test_going_on_with_a_finished_run_changes_nothing(
    tmp_path: Path, begin: Callable[..., Run], contents: Contents, bits: Bits, same: Same
):
    run = begin(tmp_path / "run")
    record = train(run)
    before, final = contents(tmp_path), bits(run)
    again = load(run.folder)
    assert again.epoch == 3
    assert train(again) == record
    assert train(run) == record
    assert contents(tmp_path) == before
    assert same(bits(again), final)


def test_a_run_killed_before_its_record_gets_one(
    tmp_path: Path, begin: Callable[..., Run], record_without_time: Callable[[Path], dict[str, Any]]
):
    run = begin(tmp_path / "run")
    train(run)
    expected = record_without_time(run.folder.path)
    run.folder.record_file.unlink()
    train(load(run.folder))
    assert record_without_time(run.folder.path) == expected


def test_a_task_of_one_s_own_is_trained_by_the_same_loop(
    tmp_path: Path, describe: Callable[..., RunDescription], monkeypatch: pytest.MonkeyPatch
):
    class Product(Adding):
        """Multiply the two marked numbers."""

        name = "product"

        def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
            sequence, _ = batch
            numbers, marks = sequence.unbind(-1)
            product = torch.where(marks == 1, numbers, 1.0).prod(0)
            return nn.functional.mse_loss(model(sequence), product)

    monkeypatch.setitem(TASKS, "product", Product)
    description = RunDescription("product", describe().config.replace(epochs=8, batches_per_epoch=40), None)
    run = start(RunFolder(tmp_path / "run"), description)
    untrained = evaluate(run)["loss"]
    train(run)
    assert json.loads(run.folder.config_file.read_text())["task"] == "product"
    assert evaluate(load(run.folder))["loss"] < 0.5 * untrained


@pytest.mark.parametrize("trained", [lambda run: [train(run)], lambda run: train_replicas([run])])
def test_metrics_go_to_tensorboard_once_an_epoch(
    trained: Callable[[Run], Any], tmp_path: Path, begin: Callable[..., Run]
):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = begin(tmp_path / "run", tensorboard=True)

    def stop(step: int, total: int, row: dict[str, float]) -> None:
        if run.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, stop)
    trained(load(run.folder))
    accumulator = events.EventAccumulator(str(run.folder.path / "tensorboard"))
    accumulator.Reload()
    rows = run.folder.read_metrics()
    assert set(accumulator.Tags()["scalars"]) == rows[0].keys() - {"epoch"}
    for name in rows[0].keys() - {"epoch"}:
        scalars = accumulator.Scalars(name)
        assert [scalar.step for scalar in scalars] == [0, 1, 2]
        assert [scalar.value for scalar in scalars] == pytest.approx([row[name] for row in rows])


def test_no_training_without_a_tensorboard_that_was_asked_for(
    tmp_path: Path, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run = begin(tmp_path / "run", tensorboard=True)
    with pytest.raises(RunError, match=r"pip install 'riemod\[tensorboard\]'"):
        train(run)
    assert run.folder.read_metrics() == []


def test_matrix_products_have_the_precision_that_was_asked_for(
    tmp_path: Path, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
):
    seen: list[str] = []
    plain = Adding.loss

    def loss(self: Adding, model: nn.Module, batch: Any) -> Tensor:
        seen.append(torch.get_float32_matmul_precision())
        return plain(self, model, batch)

    monkeypatch.setattr(Adding, "loss", loss)
    before = torch.get_float32_matmul_precision()
    run = begin(tmp_path / "run", matmul="medium")
    train(run)
    evaluate(run)
    assert set(seen) == {"medium"}
    assert torch.get_float32_matmul_precision() == before
