"""A run in memory: built from its description, started, drawn as a lottery ticket, saved, and loaded again."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from riemod import manifolds
from riemod.coactivity import Coactivity
from riemod.initialization import by_name as initializer_by_name
from riemod.initialization import seeded_draws
from riemod.optim import JointOptimizer, riemannian_adam, sgd_with_riemannian_adam
from riemod.pruning import (
    ConstantSchedule,
    CubicSchedule,
    DynamicSparsePruner,
    LinearSchedule,
    LotteryTicket,
    MagnitudePruner,
    lottery_ticket,
)
from riemod.regularization import ModuliRegularizer, controls, inhibitors
from riemod.regularization.weights import recurrent_weights
from riemod.tasks import RunConfig, Task, task_class
from riemod.tasks.base import InitializationName
from riemod.training.checkpoint import Checkpoint, CheckpointError, save_checkpoint
from riemod.training.folder import RunDescription, RunError, RunFolder
from riemod.training.masks_at_start import hidden_names, start_sparse
from riemod.training.seeds import Stream, generator_for

# A checkpoint serves on another device, with other threads, to be measured on more data, if its data was moved, and
# whoever else is told of its metrics.
_FREE = {"device", "threads", "evaluation_batches", "data", "tensorboard"}


@dataclass
class Run:
    """A run in memory: its task, model, regularizer, pruner and optimizer, ready for epoch `epoch`."""

    folder: RunFolder
    description: RunDescription
    task: Task[Any]
    model: nn.Module
    moduli: ModuliRegularizer | None
    pruner: MagnitudePruner
    optimizer: JointOptimizer
    dynamic: DynamicSparsePruner | None = None
    epoch: int = 0
    seconds: float = 0.0
    first_loss: float | None = None
    validation_losses: list[float] = field(default_factory=list)
    modules: dict[str, nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        self.modules = {"model": self.model} | ({"moduli": self.moduli} if self.moduli is not None else {})

    @property
    def config(self) -> RunConfig:
        """The run's configuration."""
        return self.task.config


def build(folder: RunFolder, description: RunDescription) -> Run:
    """Everything a run needs, drawn from its seed, in the state before the first epoch.

    Raises:
        ValueError: if the config asks for something impossible.
    """
    config = description.config
    task = task_class(description.task).of_run(config, folder.cache)
    with seeded_draws(generator_for("cpu", Stream.WEIGHTS, config.seed)):
        model = task.build_model()
    moduli = None
    if config.manifold != "none":
        moduli = controls.by_name(config.arm)(
            model,
            manifolds.by_name(config.manifold),
            inhibitor=inhibitors.by_name(config.inhibitor),
            strength=config.strength,
            reduction=config.reduction,
            power=config.power,
            learn=config.learn,
            evidence=_coactivity(config),
            generator=generator_for("cpu", Stream.POINTS, config.seed),
        )
    # A ticket comes with its mask.
    own, magnitude = description.ticket_of is None, config.pruning == "magnitude"
    initialization = config.initialization
    if own and not magnitude:
        start_sparse(model, moduli, config, generator_for("cpu", Stream.MASKS, config.seed))
        initialization = "sparsity_aware" if initialization == "default" else initialization
    if initialization != "default":
        draw = initializer_by_name(initialization)
        draw(model, generator=generator_for("cpu", Stream.WEIGHTS, config.seed))
    for module in (model, moduli):
        if module is not None:
            module.to(task.device)
    if own and magnitude:
        kind = {"linear": LinearSchedule, "cubic": CubicSchedule}[config.schedule]
        schedule = kind(config.sparsity, config.epochs, tail=config.tail_epochs, start=config.dense_epochs)
    else:
        schedule = ConstantSchedule(0.0)
    targets = None if magnitude and config.targets == "all" else hidden_names(model)
    order = _block_order(config, model, moduli) if config.blocks else None
    pruner = MagnitudePruner(
        model, schedule, targets=targets, scope=config.scope, blocks=config.blocks or None, order=order
    )
    dynamic = _dynamic(config, model, moduli) if own and config.pruning == "dynamic" else None
    return Run(folder, description, task, model, moduli, pruner, _optimizer(config, model, moduli), dynamic)


def start(folder: RunFolder, description: RunDescription, ticket: LotteryTicket | None = None) -> Run:
    """A new run in a new folder, its first checkpoint written; with a ticket, from the ticket's weights and points.

    Raises:
        RunError: if the folder is taken.
        ValueError: if the config asks for something impossible.
    """
    run = build(folder, description)
    if ticket is not None:
        _take(run, ticket)
    folder.create(description)
    save(run)
    return run


def lottery(
    parent: Run,
    folder: RunFolder,
    threads: int | None = None,
    *,
    initialization: InitializationName = "sparsity_aware",
    learning_rate: float | None = None,
) -> Run:
    """A new run of a finished run's lottery ticket: fresh weights, the same mask, the same points, now fixed.

    Args:
        parent: the finished run.
        folder: of the new run.
        threads: CPU threads of the new run; the parent's if None.
        initialization: draw of the fresh weights, by the name that `riemod.initialization` has for it.
        learning_rate: of the new run; the parent's if None.

    Raises:
        RunError: if the run is not finished, or the folder is taken.
        ValueError: for an unknown draw, or a rate that is not positive and finite.
    """
    changes = {"threads": threads, "learning_rate": learning_rate}
    config = dataclasses.replace(
        parent.config,
        learn=False,
        evidence="weights",
        sparsity=parent.pruner.sparsity()["total"],
        initialization=initialization,
        **{name: value for name, value in changes.items() if value is not None},
    )
    ticket = _draw_ticket(parent, initialization)
    return start(folder, RunDescription(parent.description.task, config, str(parent.folder.path)), ticket)


def load(folder: RunFolder) -> Run:
    """A run as its last checkpoint left it, or from its beginning if it was killed before the first one.

    Raises:
        RunError: if there is no run in the folder, or its ticket must be drawn again from a run that is gone.
        CheckpointError: if its checkpoint is missing, damaged, or of another run.
    """
    description = folder.read_description()
    run = build(folder, description)
    if not folder.has_checkpoint and not folder.read_metrics():
        if description.ticket_of is not None:
            parent = load(RunFolder(Path(description.ticket_of)))
            _take(run, _draw_ticket(parent, description.config.initialization))
        return run
    checkpoint = Checkpoint(folder.checkpoint)
    _check_same_run(description, checkpoint)
    _check_same_data(run.task.data(), checkpoint.progress.get("data", {}))
    checkpoint.load(run.modules, run.optimizer)
    run.epoch = checkpoint.progress["epoch"]
    run.seconds = checkpoint.progress["seconds"]
    run.first_loss = checkpoint.progress["first_loss"]
    run.validation_losses = checkpoint.progress.get("validation_losses", [])
    return run


def save(run: Run) -> None:
    """Write the run's checkpoint: what `load` needs to go on to the same bits."""
    progress = {
        "run": run.description.to_dict(),
        "epoch": run.epoch,
        "seconds": run.seconds,
        "first_loss": run.first_loss,
        "validation_losses": run.validation_losses,
        "data": run.task.data(),
    }
    save_checkpoint(run.folder.checkpoint, run.modules, run.optimizer, progress)


def _draw_ticket(parent: Run, initialization: InitializationName) -> LotteryTicket:
    if parent.epoch < parent.config.epochs:
        raise RunError(f"run {parent.folder.path} is not finished: riemod resume {parent.folder.path}")
    generator = generator_for("cpu", Stream.TICKET, parent.config.seed)
    draw = initializer_by_name(initialization)
    return lottery_ticket(parent.model, parent.pruner, parent.moduli, generator=generator, initialize=draw)


def _take(run: Run, ticket: LotteryTicket) -> None:
    run.model.load_state_dict(ticket.model.state_dict())
    if run.moduli is not None and ticket.moduli is not None:
        run.moduli.load_state_dict(ticket.moduli.state_dict())


def _check_same_run(description: RunDescription, checkpoint: Checkpoint) -> None:
    """Shapes do not tell runs apart: two manifolds can have points of the same shape, and two seeds have all shapes."""
    try:
        saved = RunDescription.from_dict(checkpoint.progress["run"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint does not say which run it is of: {error}") from error
    own, other = ({"task": one.task, **one.config.to_dict()} for one in (description, saved))
    for name in own:
        if name not in _FREE and own[name] != other[name]:
            raise CheckpointError(
                f"checkpoint is of another run: {name} is {other[name]!r} in it, {own[name]!r} in config.json"
            )


def _check_same_data(own: dict[str, Any], saved: dict[str, Any]) -> None:
    """With the same shapes another vocabulary would go unseen, and every word would be taken for another one."""
    if own != saved:
        name = next(key for key in {**own, **saved} if own.get(key) != saved.get(key))
        raise CheckpointError(
            f"checkpoint was trained on other data: {name} was {saved.get(name)!r}, it is {own.get(name)!r} now"
        )


def _block_order(
    config: RunConfig, model: nn.Module, moduli: ModuliRegularizer | None
) -> ModuliRegularizer | Tensor | None:
    """What orders the neurons of recurrent layers in blocks; the tasks' layers all have as many."""
    if config.block_order == "geometric":
        return moduli
    neurons = recurrent_weights(model)[0].neurons
    if config.block_order == "index":
        return torch.arange(neurons)
    return torch.randperm(neurons, generator=generator_for("cpu", Stream.BLOCKS, config.seed))


def _coactivity(config: RunConfig) -> Coactivity | None:
    """What moves the points besides Eq. 6; alone, its strength says nothing, for Adam divides it out."""
    match config.evidence:
        case "weights":
            return None
        case "coactivity":
            return Coactivity()
        case "both":
            return Coactivity(strength=config.strength, alone=False)


def _dynamic(config: RunConfig, model: nn.Module, moduli: ModuliRegularizer | None) -> DynamicSparsePruner:
    return DynamicSparsePruner(
        model,
        moduli,
        steps=(config.epochs - config.tail_epochs) * config.batches_per_epoch,
        update_every=config.update_every,
        drop_fraction=config.drop_fraction,
        temperature=config.temperature,
    )


def _optimizer(config: RunConfig, model: nn.Module, moduli: ModuliRegularizer | None) -> JointOptimizer:
    kind = {"adam": riemannian_adam, "sgd": sgd_with_riemannian_adam}[config.optimizer]
    return kind(
        model,
        moduli,
        lr=config.learning_rate,
        embedding_lr=config.embedding_learning_rate,
        weight_decay=config.weight_decay,
    )
