"""The training loop: epochs, pruning, metrics and checkpoints; a run resumes after a crash to the same bits."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from riemod._checks import check_function
from riemod._files import write_json
from riemod.initialization import seeded_draws
from riemod.regularization import backward_to_points, proximal_step
from riemod.tasks.base import Batch
from riemod.training.folder import environment
from riemod.training.gradients import Gradients, gradients_of
from riemod.training.lock import hold
from riemod.training.run import Run, check_latest, check_run, save
from riemod.training.seeds import Stream, generator_for
from riemod.training.tensorboard import epoch_log

_EVALUATION_SEED = 0
CHECK_EVERY = 25
# Correlations change little from step to step, and measuring them costs as much as a step of a small net.
_OBSERVE_EVERY = 10
_DIVERGENCE_FACTOR = 50.0


class TrainingDiverged(RuntimeError):
    """Reports a loss that became NaN or infinite, or grew far beyond where it started."""


Reporter = Callable[[int, int, dict[str, float]], None]
"""Called with (steps done, steps in all, the last epoch's metrics) a few times a second at most."""


def train(run: Run, report: Reporter | None = None) -> dict[str, Any]:
    """Train a run from its present epoch to its last one, evaluate it, and write its record.

    Every epoch ends with a row of metrics and then a checkpoint. A run whose process was killed at any moment resumes
    from `load` to the same final bits, because every epoch's draws depend only on the seed and the epoch. A finished
    run is not trained again: its record is returned.

    Returns:
        The record, as written.

    Raises:
        TrainingDiverged: if the loss is not finite, or an epoch ends at 50 times its first value; the last good
            checkpoint stays.
        RunError: if another process trains the run, or trained it since it was loaded, or the config asks for
            TensorBoard, and it is not installed.
        OSError: if the disk is full, for example; the last checkpoint stays, and the run goes on from it.
    """
    check_run(run)
    if report is not None:
        check_function("report", report, "a function of steps done, steps in all and the last row, or None")
    if run.epoch == run.config.training.epochs and run.folder.record_file.is_file():
        return run.folder.read_record()
    total_steps = run.config.training.steps
    row: dict[str, float] = {}
    with ExitStack() as stack:
        stack.enter_context(hold(run.folder.path))
        check_latest(run)
        stack.enter_context(matmul_precision(run.config.computation.matmul))
        log = epoch_log(run, stack)
        prepare(run)
        while run.epoch < run.config.training.epochs:
            began = time.perf_counter()
            row = _train_epoch(run, lambda step, row=row: report(step, total_steps, row) if report else None)
            commit_epoch(run, row, time.perf_counter() - began)
            log(row)
        return finish(run)


@contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """Compute float32 matrix products of the process at that precision inside the context."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def prepare(run: Run) -> None:
    """Bring a run's folder to its epoch: drop later rows of metrics, write derived data and a first checkpoint."""
    run.folder.drop_metrics_from(run.epoch)
    run.task.write_cache(run.folder.cache)
    if not run.folder.has_checkpoint:
        save(run)


def commit_epoch(run: Run, row: dict[str, float], seconds: float) -> None:
    """Count an epoch as done: append its row of metrics, then write the checkpoint."""
    run.epoch += 1
    run.seconds += seconds
    run.folder.append_metrics(row)
    save(run)


def finish(run: Run) -> dict[str, Any]:
    """Evaluate a run after its last epoch, and write and return its record."""
    record = _record(run)
    write_json(run.folder.record_file, record)
    return record


def evaluate(run: Run) -> dict[str, float]:
    """Return the task's metrics on fresh data, which is the same for every run of the task at these settings."""
    check_run(run)
    generator = generator_for(run.task.device, Stream.EVALUATION, _EVALUATION_SEED)
    run.model.eval()
    with matmul_precision(run.config.computation.matmul):
        return run.task.evaluate(run.model, generator, run.config.training.evaluation_batches)


def _train_epoch(run: Run, report: Callable[[int], None]) -> dict[str, float]:
    epoch, count = run.epoch, run.config.training.batches_per_epoch
    start_epoch(run)
    losses = torch.empty(count, device=run.task.device)
    penalties = torch.empty_like(losses)
    generator = generator_for(run.task.device, Stream.BATCHES, run.config.seed, epoch)
    batches, set_gradients = run.task.batches(generator, count), gradients_of(run)
    with seeded_draws(generator_for("cpu", Stream.NOISE, run.config.seed, epoch)), _observing(run):
        for step, batch in enumerate(batches):
            set_rates(run, step)
            losses[step], penalties[step] = train_step(run, batch, set_gradients)
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == count:
                check_losses(run, losses[: step + 1])
                report(epoch * count + step + 1)
    return finish_epoch(run, losses, penalties)


def _observing(run: Run) -> AbstractContextManager[None]:
    """Show the evidence the hidden states of every tenth step inside the context, if it needs them."""
    return nullcontext() if run.evidence is None else run.evidence.observing(_OBSERVE_EVERY)


def start_epoch(run: Run) -> None:
    """Set training mode, prune, set the step of a dynamic mask, and redraw the points if the arm does so."""
    run.model.train()
    run.pruner.start_epoch(run.epoch)
    if run.dynamic is not None:
        run.dynamic.load_state_dict({"step": run.epoch * run.config.training.batches_per_epoch})
    if run.moduli is not None:
        run.moduli.start_epoch(run.epoch)


def train_step(run: Run, batch: Batch, set_gradients: Gradients) -> tuple[Tensor, Tensor]:
    """Take one step on a batch; return the task's loss and the penalty before the step, without a graph.

    With `proximal` the penalty is the one that the shrinking after the step returns.

    Args:
        run: its weights and points move.
        batch: of its task.
        set_gradients: of the run, by `gradients_of`.
    """
    config, shrunk = run.config, run.moduli if run.config.regularization.proximal else None
    task_loss, penalty = set_gradients(batch)
    if run.strength is not None:
        run.strength.update()
    if shrunk is not None:
        backward_to_points(shrunk)
    if run.dynamic is not None:
        run.dynamic.step(run.optimizer)
    if config.optimization.max_grad_norm is not None:
        run.pruner.mask_gradients()
        nn.utils.clip_grad_norm_(run.model.parameters(), config.optimization.max_grad_norm)
    run.optimizer.step()
    if shrunk is not None:
        penalty = proximal_step(shrunk, run.optimizer.param_groups[0]["lr"]).detach()
    return task_loss, penalty


def finish_epoch(run: Run, losses: Tensor, penalties: Tensor) -> dict[str, float]:
    """Return the epoch's row of metrics, from the losses and penalties of its steps.

    Raises:
        TrainingDiverged: if the epoch ended in NaN, infinity, or far above where training began.
    """
    run.pruner.apply(run.optimizer)
    half = losses[run.config.training.batches_per_epoch // 2 :]
    metrics = _quick_evaluation(run)
    _check_end(run, metrics["loss"])
    run.validation_losses.append(metrics["loss"])
    return {
        "epoch": run.epoch,
        "sparsity": run.pruner.sparsity()["total"],
        "train_loss": half.mean().item(),
        "penalty": penalties.mean().item(),
        **_found_strength(run),
        **{f"eval_{name}": value for name, value in metrics.items()},
    }


def _found_strength(run: Run) -> dict[str, float]:
    """Return the strength that a run came to, if it finds it itself; as a number it stands in a configuration."""
    # Of the regularizer's own strength, which is 1, or scaled as a number would be (mean_cost).
    return {} if run.strength is None else {"strength": run.strength.factor.item()}


def _quick_evaluation(run: Run) -> dict[str, float]:
    generator = generator_for(run.task.device, Stream.EVALUATION, _EVALUATION_SEED)
    run.model.eval()
    return run.task.validate(run.model, generator)


def check_losses(run: Run, losses: Tensor) -> None:
    """Raise TrainingDiverged if a loss of the epoch so far is not finite, or the epoch ends far above the run's first.

    Within an epoch the loss may jump: after pruning, a recurrent net can need a few dozen steps to recover.
    """
    if run.first_loss is None:
        run.first_loss = losses[0].item()
    good = losses.isfinite()
    if bool(good.all()) and len(losses) == run.config.training.batches_per_epoch:
        good = losses <= _largest_loss(run.first_loss)
        # A high loss before the last good one was recovered from.
        good[: int(good.nonzero()[-1]) if bool(good.any()) else 0] = True
    if not bool(good.all()):
        step = int((~good).nonzero()[0])
        raise _divergence(run, f"the loss became {losses[step].item():.3g}", step + 1)


def _check_end(run: Run, loss: float) -> None:
    """Check the parameters after the last step: its damage shows in no recorded loss but would be saved."""
    last = run.config.training.batches_per_epoch
    for key, module in run.modules.items():
        for name, parameter in module.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise _divergence(run, f"{key}.{name} became NaN or infinite", last)
    if run.first_loss is not None and not loss <= _largest_loss(run.first_loss):
        raise _divergence(run, f"the loss became {loss:.3g}", last)


def _largest_loss(first: float) -> float:
    return _DIVERGENCE_FACTOR * max(first, 1e-3) if math.isfinite(first) else 0.0


def _divergence(run: Run, what: str, step: int) -> TrainingDiverged:
    total = run.epoch * run.config.training.batches_per_epoch + step
    return TrainingDiverged(
        f"{what} at step {step} of epoch {run.epoch + 1}, step {total} in all (first loss {run.first_loss:.3g}): "
        f"the checkpoint after {run.epoch} epochs is kept in {run.folder.checkpoint}; "
        "lower learning_rate or set max_grad_norm"
    )


def set_rates(run: Run, step: int) -> None:
    """Set the optimizer's rates for a step of the present epoch."""
    config = run.config
    rates = config.optimization.rates(config.training, run.epoch, step, run.validation_losses)
    for member, rate in zip(run.optimizer.members, rates, strict=False):
        for group in member.param_groups:
            group["lr"] = rate


def _zeros(weight: Tensor) -> float:
    """Return the fraction of weights that are exactly 0, because they were pruned or shrunk."""
    return 1 - int(weight.count_nonzero()) / weight.numel()


def _record(run: Run) -> dict[str, Any]:
    metrics = evaluate(run)
    levels = run.task.reference_levels(generator_for(run.task.device, Stream.EVALUATION, _EVALUATION_SEED))
    units = run.task.units
    return {
        "task": run.task.name,
        "config": run.config.to_dict(),
        "ticket_of": run.description.ticket_of,
        "data": run.task.data(),
        **environment(),
        "wall_time": {"value": run.seconds, "unit": "s"},
        **{name: {"value": value, "unit": "1"} for name, value in _found_strength(run).items()},
        "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        "sparsity": run.pruner.sparsity(),
        "zeros": {name: _zeros(run.model.get_parameter(name)) for name in run.pruner.masks()},
        "metrics": {name: {"value": value, "unit": units[name]} for name, value in metrics.items()},
        "levels": {name: {"value": value, "unit": units[name.split()[0]]} for name, value in levels.items()},
    }
