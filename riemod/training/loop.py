"""The training loop: epochs, pruning, metrics, checkpoints, and going on after a crash to the same bits."""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from riemod import manifolds
from riemod.initialization import seeded_draws
from riemod.optim import JointOptimizer, riemannian_adam
from riemod.pruning import ConstantSchedule, CubicSchedule, LinearSchedule, LotteryTicket, MagnitudePruner, lottery_ticket
from riemod.regularization import ModuliRegularizer, inhibitors
from riemod.tasks import RunConfig, Task, task_class
from riemod.training.checkpoint import Checkpoint, generator_for, save_checkpoint, write_json
from riemod.training.runs import RunDescription, RunError, RunFolder, environment

# First key of every generator: what is drawn. The seed and the epoch follow, so no stream is ever shared or continued.
_WEIGHTS, _POINTS, _BATCHES, _EVALUATION, _NOISE, _TICKET = range(6)
_EVALUATION_SEED = 0
_CHECK_EVERY = 25
_DIVERGENCE_FACTOR = 50.0


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite, or grew far beyond where it started."""


@dataclass
class Run:
    """A run in memory: its task, model, regularizer, pruner and optimiser, ready for epoch `epoch`."""

    folder: RunFolder
    description: RunDescription
    task: Task[Any]
    model: nn.Module
    moduli: ModuliRegularizer | None
    pruner: MagnitudePruner
    optimizer: JointOptimizer
    epoch: int = 0
    seconds: float = 0.0
    first_loss: float | None = None
    modules: dict[str, nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        self.modules = {"model": self.model} | ({"moduli": self.moduli} if self.moduli is not None else {})

    @property
    def config(self) -> RunConfig:
        """The run's configuration."""
        return self.task.config


Reporter = Callable[[int, int, dict[str, float]], None]
"""Called with (steps done, steps in all, the last epoch's metrics) a few times a second at most."""


def build(folder: RunFolder, description: RunDescription) -> Run:
    """Everything a run needs, drawn from its seed, in the state before the first epoch.

    Raises:
        ValueError: if the config asks for something impossible.
    """
    config = description.config
    task = task_class(description.task)(config)
    with seeded_draws(generator_for("cpu", _WEIGHTS, config.seed)):
        model = task.build_model()
    model.to(task.device)
    moduli = None
    if config.manifold != "none":
        moduli = ModuliRegularizer(
            model,
            manifolds.by_name(config.manifold),
            inhibitor=inhibitors.by_name(config.inhibitor),
            strength=config.strength,
            reduction=config.reduction,
            power=config.power,
            learn=config.learn,
            generator=generator_for("cpu", _POINTS, config.seed),
        )
        moduli.to(task.device)
    if description.ticket_of is None:
        kind = {"linear": LinearSchedule, "cubic": CubicSchedule}[config.schedule]
        schedule = kind(config.sparsity, config.epochs, tail=config.tail_epochs, start=config.dense_epochs)
    else:
        schedule = ConstantSchedule(config.sparsity)
    pruner = MagnitudePruner(model, schedule, scope=config.scope)
    return Run(folder, description, task, model, moduli, pruner, _optimizer(config, model, moduli))


def start(folder: RunFolder, description: RunDescription, ticket: LotteryTicket[Any, Any] | None = None) -> Run:
    """A new run in a new folder, its first checkpoint written; with a ticket, from the ticket's weights and points.

    Raises:
        RunError: if the folder is taken.
        ValueError: if the config asks for something impossible.
    """
    run = build(folder, description)
    if ticket is not None:
        run.model.load_state_dict(ticket.model.state_dict())
        if run.moduli is not None:
            run.moduli.load_state_dict(ticket.moduli.state_dict())
    folder.create(description)
    _save(run)
    return run


def lottery(parent: Run, folder: RunFolder) -> Run:
    """A new run of a finished run's lottery ticket: fresh weights, the same mask, the same points, now fixed.

    Raises:
        RunError: if the folder is taken.
    """
    generator = generator_for("cpu", _TICKET, parent.config.seed)
    ticket = lottery_ticket(parent.model, parent.pruner, parent.moduli, generator=generator)
    config = dataclasses.replace(parent.config, learn=False, sparsity=parent.pruner.sparsity()["total"])
    return start(folder, RunDescription(parent.description.task, config, str(parent.folder.path)), ticket)


def load(folder: RunFolder) -> Run:
    """A run as its last checkpoint left it, or from its beginning if it was killed before the first one.

    Raises:
        RunError: if there is no run in the folder, or it is a ticket's that was killed before its first checkpoint.
        CheckpointError: if its checkpoint is missing, damaged, or of another model.
    """
    description = folder.read_description()
    run = build(folder, description)
    if not folder.checkpoint.is_dir():
        if description.ticket_of is not None:
            raise RunError(f"run {folder.path} was killed before its first checkpoint: delete it and draw the ticket again")
        return run
    checkpoint = Checkpoint(folder.checkpoint)
    checkpoint.load(run.modules, run.optimizer)
    run.epoch = checkpoint.progress["epoch"]
    run.seconds = checkpoint.progress["seconds"]
    run.first_loss = checkpoint.progress["first_loss"]
    return run


def train(run: Run, report: Reporter | None = None) -> dict[str, Any]:
    """Train from where the run stands to its last epoch, evaluate, and write the record.

    Every epoch ends in a row of metrics and then a checkpoint; a process killed at any moment goes on from `load` to
    the same final bits, since every epoch's draws depend on the seed and the epoch alone.

    Returns:
        The record, as written.

    Raises:
        TrainingDiverged: if the loss is not finite, or 50 times its first value; the last good checkpoint stays.
    """
    run.folder.keep_metrics(run.epoch)
    total_steps = run.config.epochs * run.config.batches_per_epoch
    row: dict[str, float] = {}
    while run.epoch < run.config.epochs:
        began = time.perf_counter()
        row = _train_epoch(run, lambda step, row=row: report(step, total_steps, row) if report else None)
        run.epoch += 1
        run.seconds += time.perf_counter() - began
        run.folder.append_metrics(row)
        _save(run)
    record = _record(run)
    write_json(run.folder.record_file, record)
    return record


def evaluate(run: Run) -> dict[str, float]:
    """The task's metrics on fresh data, the same data for every run of the task at these settings."""
    generator = generator_for(run.task.device, _EVALUATION, _EVALUATION_SEED)
    run.model.eval()
    return run.task.evaluate(run.model, generator, run.config.evaluation_batches)


def _train_epoch(run: Run, report: Callable[[int], None]) -> dict[str, float]:
    config, epoch = run.config, run.epoch
    run.model.train()
    sparsity = run.pruner.start_epoch(epoch)
    _set_rates(run.optimizer, config, epoch)
    losses = torch.empty(config.batches_per_epoch, device=run.task.device)
    penalties = torch.zeros(config.batches_per_epoch, device=run.task.device)
    batches = run.task.batches(generator_for(run.task.device, _BATCHES, config.seed, epoch), config.batches_per_epoch)
    with seeded_draws(generator_for("cpu", _NOISE, config.seed, epoch)):
        for step, batch in enumerate(batches):
            loss = run.task.loss(run.model, batch)
            losses[step] = loss.detach()
            if run.moduli is not None:
                penalty = run.moduli()
                penalties[step] = penalty.detach()
                loss = loss + penalty
            run.optimizer.zero_grad()
            loss.backward()
            if config.clip is not None:
                run.pruner.mask_gradients()
                nn.utils.clip_grad_norm_(run.model.parameters(), config.clip)
            run.optimizer.step()
            if (step + 1) % _CHECK_EVERY == 0 or step + 1 == config.batches_per_epoch:
                _check_losses(run, losses[: step + 1])
                report(epoch * config.batches_per_epoch + step + 1)
    run.pruner.apply(run.optimizer)
    half = losses[config.batches_per_epoch // 2 :]
    return {
        "epoch": epoch,
        "sparsity": sparsity,
        "train_loss": half.mean().item(),
        "penalty": penalties.mean().item(),
        **{f"eval_{name}": value for name, value in _quick_evaluation(run).items()},
    }


def _quick_evaluation(run: Run) -> dict[str, float]:
    generator = generator_for(run.task.device, _EVALUATION, _EVALUATION_SEED)
    run.model.eval()
    return run.task.evaluate(run.model, generator, 1)


def _check_losses(run: Run, losses: Tensor) -> None:
    if run.first_loss is None:
        run.first_loss = losses[0].item()
    limit = _DIVERGENCE_FACTOR * max(run.first_loss, 1e-3) if math.isfinite(run.first_loss) else 0.0
    good = losses <= limit
    if not bool(good.all()):
        step = int((~good).nonzero()[0])
        raise TrainingDiverged(
            f"the loss became {losses[step].item():.3g} at step {step + 1} of epoch {run.epoch + 1} "
            f"(step {run.epoch * run.config.batches_per_epoch + step + 1} in all; it began at {run.first_loss:.3g}): "
            f"the checkpoint after {run.epoch} epochs is kept in {run.folder.checkpoint}; lower learning_rate or set clip"
        )


def _set_rates(optimizer: JointOptimizer, config: RunConfig, epoch: int) -> None:
    factor = 1.0
    into_tail = epoch - (config.epochs - config.tail_epochs) + 1
    if config.learning_rate_decay == "tail" and into_tail > 0:
        factor = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * into_tail / config.tail_epochs))
    rates = (config.learning_rate, config.embedding_learning_rate)
    for member, rate in zip(optimizer.members, rates, strict=False):
        for group in member.param_groups:
            group["lr"] = rate * factor


def _optimizer(config: RunConfig, model: nn.Module, moduli: ModuliRegularizer | None) -> JointOptimizer:
    return riemannian_adam(
        model,
        moduli,
        lr=config.learning_rate,
        embedding_lr=config.embedding_learning_rate,
        weight_decay=config.weight_decay,
    )


def _save(run: Run) -> None:
    progress = {"epoch": run.epoch, "seconds": run.seconds, "first_loss": run.first_loss}
    save_checkpoint(run.folder.checkpoint, run.modules, run.optimizer, progress)


def _record(run: Run) -> dict[str, Any]:
    metrics = evaluate(run)
    levels = run.task.reference_levels(generator_for(run.task.device, _EVALUATION, _EVALUATION_SEED))
    units = run.task.units
    return {
        "task": run.task.name,
        "config": run.config.to_dict(),
        "ticket_of": run.description.ticket_of,
        **environment(),
        "wall_time": {"value": run.seconds, "unit": "s"},
        "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        "sparsity": run.pruner.sparsity(),
        "metrics": {name: {"value": value, "unit": units[name]} for name, value in metrics.items()},
        "levels": {name: {"value": value, "unit": units[name.split()[0]]} for name, value in levels.items()},
    }
