"""A loss that runs away stops the run, names the step, and leaves the last good checkpoint."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from riemod.training import Run, TrainingDiverged, load, train

Bits = Callable[[Run], dict[str, Tensor]]
Same = Callable[[dict[str, Tensor], dict[str, Tensor]], bool]


def break_at(run: Run, bad_step: int, value: float) -> None:
    """Multiply the loss by a value from the given step on (steps count from 1 over all epochs)."""
    real, steps = run.task.loss, iter(range(1, 10_000))

    def loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        # The task's own evaluation runs without gradients, and counts no steps.
        broken = torch.is_grad_enabled() and next(steps) >= bad_step
        return real(model, batch) * (value if broken else 1.0)

    run.task.loss = loss


@pytest.mark.parametrize(
    ("value", "bad_step"),
    [(math.nan, 1), (math.inf, 1), (-math.inf, 1), (math.nan, 6), (math.inf, 9), (-math.inf, 11), (1e4, 6), (1e4, 9)],
)
def test_a_runaway_loss_stops_the_run_and_names_the_step(
    value: float, bad_step: int, tmp_path: Path, begin: Callable[..., Run], bits: Bits, same: Same
):
    healthy = begin(tmp_path / "healthy")
    run = begin(tmp_path / "run")
    break_at(run, bad_step, value)
    epoch, step = (bad_step - 1) // 4, (bad_step - 1) % 4 + 1
    with pytest.raises(
        TrainingDiverged, match=rf"at step {step} of epoch {epoch + 1}, step {bad_step} in all"
    ) as error:
        train(run)
    assert f"checkpoint after {epoch} epochs is kept in {run.folder.checkpoint}" in str(error.value)
    assert "learning_rate" in str(error.value)
    assert not run.folder.record_file.exists()
    assert [row["epoch"] for row in run.folder.read_metrics()] == list(range(epoch))
    kept = load(run.folder)
    assert kept.epoch == epoch
    assert all(bool(torch.isfinite(tensor).all()) for tensor in bits(kept).values())
    # Without the mishap it goes on as if nothing had been.
    train(kept)
    train(healthy)
    assert same(bits(kept), bits(healthy))


def test_a_leap_that_the_net_comes_back_from_is_no_divergence(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run")
    real, steps = run.task.loss, iter(range(1, 10_000))

    def loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        leaps = torch.is_grad_enabled() and next(steps) in (5, 6, 7)
        return real(model, batch) * (1e4 if leaps else 1.0)

    run.task.loss = loss
    assert train(run)["metrics"]["loss"]["value"] < 10


@pytest.mark.parametrize("value", [math.nan, 1e6])
def test_what_the_last_step_of_an_epoch_broke_is_not_saved(
    value: float, tmp_path: Path, begin: Callable[..., Run], bits: Bits
):
    """The loss is taken before the step: a net that its epoch's last step ruined has shown no bad loss yet."""
    run = begin(tmp_path / "run")
    real, steps = run.optimizer.step, iter(range(1, 10_000))

    def step(closure: Any = None) -> None:
        real(closure)
        if next(steps) == 8:
            with torch.no_grad():
                run.model.get_parameter("decoder.weight").mul_(value)

    run.optimizer.step = step
    with pytest.raises(TrainingDiverged, match=r"at step 4 of epoch 2, step 8 in all"):
        train(run)
    kept = load(run.folder)
    assert kept.epoch == 1
    assert len(run.folder.read_metrics()) == 1
    assert all(bool(torch.isfinite(tensor).all()) for tensor in bits(kept).values())


def test_points_that_became_nan_are_not_saved(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(tmp_path / "run")
    real, steps = run.optimizer.step, iter(range(1, 10_000))

    def step(closure: Any = None) -> None:
        real(closure)
        if next(steps) == 12:
            assert run.moduli is not None
            run.moduli.points.data[0] = math.nan

    run.optimizer.step = step
    with pytest.raises(TrainingDiverged, match=r"moduli\.\S*points became NaN or infinite at step 4 of epoch 3"):
        train(run)
    assert load(run.folder).epoch == 2
    assert not run.folder.record_file.exists()


def test_a_rate_far_too_high_is_stopped(tmp_path: Path, begin: Callable[..., Run]):
    run = begin(
        tmp_path / "run", manifold="none", learn=False, learning_rate=1e12, max_grad_norm=None, batches_per_epoch=40
    )
    with pytest.raises(TrainingDiverged, match="of epoch 1"):
        train(run)
    assert load(run.folder).epoch == 0
