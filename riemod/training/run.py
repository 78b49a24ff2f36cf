"""A run in memory: it is built from its description, started, drawn as a lottery ticket, saved, and loaded again."""

import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from riemod._checks import check_type
from riemod._machine import is_device_of_another_machine
from riemod._untrusted import DamagedFile, one_line
from riemod.evidence import PointEvidence
from riemod.initialization import by_name as initializer_by_name
from riemod.initialization import seeded_draws
from riemod.optim import JointOptimizer
from riemod.pruning import (
    ConstantSchedule,
    DynamicSparsePruner,
    LotteryTicket,
    MagnitudePruner,
    lottery_ticket,
)
from riemod.regularization import AutoStrength, ModuliRegularizer
from riemod.tasks import RunConfig, Task, task_class
from riemod.tasks.config import InitializationName
from riemod.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    committed_digest,
    has_leftovers,
    save_checkpoint,
    sweep,
)
from riemod.training.errors import RunError
from riemod.training.folder import RunDescription, RunFolder
from riemod.training.lock import hold
from riemod.training.reading import check_progress
from riemod.training.seeds import Stream, generator_for


@dataclass
class Run:
    """Holds a run in memory: its task, model, regularizer, pruner and optimizer, ready for epoch `epoch`."""

    folder: RunFolder
    description: RunDescription
    task: Task[Any]
    model: nn.Module
    moduli: ModuliRegularizer | None
    pruner: MagnitudePruner
    optimizer: JointOptimizer
    dynamic: DynamicSparsePruner | None = None
    evidence: PointEvidence | None = None
    """What moves the regularizer's points in place of Eq. 6."""
    strength: AutoStrength | None = None
    """What scales the penalty while the net trains; None if its strength is a number."""
    epoch: int = 0
    seconds: float = 0.0
    first_loss: float | None = None
    validation_losses: list[float] = field(default_factory=list)
    digest: str | None = None
    """SHA-256 of the checkpoint that it was last loaded from or saved to; None if there was none."""
    modules: dict[str, nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        parts = {"model": self.model, "moduli": self.moduli, "evidence": self.evidence, "strength": self.strength}
        self.modules = {name: module for name, module in parts.items() if module is not None}

    @property
    def config(self) -> RunConfig:
        """The run's configuration."""
        return self.task.config

    def penalty(self) -> Tensor:
        """Return the penalty of the weights, scaled; the run must have a regularizer."""
        penalty = self.moduli if self.strength is None else self.strength
        assert penalty is not None
        return penalty()


def check_run(run: Run, name: str = "run") -> Run:
    """Return the run; raise a TypeError unless it is one."""
    return check_type(name, run, Run, "a Run, as start or load returns it")


def check_folder(folder: RunFolder) -> RunFolder:
    """Return the folder; raise a TypeError unless it is one."""
    return check_type("folder", folder, RunFolder, "a RunFolder")


def build(folder: RunFolder, description: RunDescription) -> Run:
    """Build a run in the state before its first epoch, with every draw decided by its seed.

    Raises:
        ValueError: if the config asks for something impossible.
    """
    check_folder(folder)
    check_type("description", description, RunDescription, "a RunDescription")
    config, is_ticket = description.config, description.ticket_of is not None

    def generator(stream: Stream) -> torch.Generator:
        return generator_for("cpu", stream, config.seed)

    task = task_class(description.task).of_run(config, folder.cache)
    with seeded_draws(generator(Stream.WEIGHTS)):
        model = task.build_model()
    moduli = config.regularization.build(model, generator(Stream.POINTS))
    # A lottery ticket is given its mask afterwards, and keeps it.
    draws_mask = config.masks.from_start and not is_ticket
    if draws_mask:
        costs = moduli if config.regularization.tells_pairs_apart else None
        config.masks.draw(model, costs, generator(Stream.MASKS))
    initialization = config.initialization
    if draws_mask and initialization == "default":
        initialization = "sparsity_aware"
    if initialization != "default":
        initializer_by_name(initialization)(model, generator=generator(Stream.WEIGHTS))
    for module in (model, moduli):
        if module is not None:
            module.to(task.device)
    # After the move: their buffers are made beside the weights.
    evidence = config.regularization.build_evidence(moduli)
    strength = config.regularization.build_strength(moduli)
    sparsities = ConstantSchedule(0.0) if is_ticket else config.masks.sparsities(config.training)
    return Run(
        folder,
        description,
        task,
        model,
        moduli,
        config.masks.pruner(model, moduli, sparsities, generator(Stream.BLOCKS)),
        config.optimization.build(model, moduli),
        None if is_ticket else config.masks.dynamic_pruner(model, moduli, config.training),
        evidence,
        strength,
    )


def start(folder: RunFolder, description: RunDescription, ticket: LotteryTicket | None = None) -> Run:
    """Start a run in a new folder and write its first checkpoint.

    Args:
        folder: of the run; it must be new or empty.
        description: of the run.
        ticket: gives the weights, the masks and the points; None for those that `build` draws.

    Raises:
        RunError: if the folder is taken.
        ValueError: if the config asks for something impossible.
    """
    if ticket is not None:
        check_type("ticket", ticket, LotteryTicket, "a LotteryTicket or None")
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
    """Start a run of a finished run's lottery ticket: fresh weights, the same mask, and the same points, now fixed.

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
    check_run(parent, "parent")
    check_folder(folder)
    changes = {"threads": threads, "learning_rate": learning_rate}
    config = parent.config.replace(
        learn=False,
        evidence="weights",
        sparsity=parent.pruner.sparsity()["total"],
        initialization=initialization,
        **{name: value for name, value in changes.items() if value is not None},
    )
    ticket = _draw_ticket(parent, initialization)
    return start(folder, RunDescription(parent.description.task, config, str(parent.folder.path)), ticket)


def load(folder: RunFolder) -> Run:
    """Load a run as its last checkpoint left it, or from its beginning if it was killed before the first one.

    A run of a device that this machine lacks, as of a GPU elsewhere, is loaded on the CPU.

    Raises:
        RunError: if there is no run in the folder, or its ticket must be drawn again from a run that is gone.
        CheckpointError: if its checkpoint is missing, damaged, or of another run.

    Warns:
        UserWarning: if it is loaded on another device than its own.
    """
    description = _on_a_device_here(check_folder(folder).read_description())
    run = build(folder, description)
    if not folder.has_checkpoint and not folder.read_metrics():
        if description.ticket_of is not None:
            parent_folder = RunFolder(Path(description.ticket_of))
            if not parent_folder.has_checkpoint:
                # Without this, two runs that name each other would be loaded without end.
                parent_folder.read_description()
                raise RunError(f"run {parent_folder.path} is not finished: riemod resume {parent_folder.path}")
            parent = load(parent_folder)
            _take(run, _draw_ticket(parent, description.config.initialization))
        return run
    checkpoint = Checkpoint(folder.checkpoint)
    try:
        check_progress(checkpoint.progress, description.config.training.epochs)
    except DamagedFile as error:
        raise CheckpointError(f"checkpoint in {folder.checkpoint} is corrupted: {error}") from error
    _check_same_run(description, checkpoint)
    _check_same_data(run.task.data(), checkpoint.progress.get("data", {}))
    checkpoint.load(_modules_in(checkpoint, run), run.optimizer)
    # Only now: a damaged latest.json would have named a file to keep that is not the checkpoint's.
    _sweep_if_free(folder)
    run.epoch = checkpoint.progress["epoch"]
    run.seconds = checkpoint.progress["seconds"]
    run.first_loss = checkpoint.progress["first_loss"]
    run.validation_losses = checkpoint.progress.get("validation_losses", [])
    run.digest = checkpoint.digest
    return run


def save(run: Run) -> None:
    """Write the run's checkpoint, from which `load` resumes it to the same bits.

    Raises:
        RunError: if another process trains the run.
        OSError: if it cannot be written; the last checkpoint stays as it was.
    """
    check_run(run)
    progress = {
        "run": run.description.to_dict(),
        "epoch": run.epoch,
        "seconds": run.seconds,
        "first_loss": run.first_loss,
        "validation_losses": run.validation_losses,
        "data": run.task.data(),
    }
    with hold(run.folder.path):
        run.digest = save_checkpoint(run.folder.checkpoint, run.modules, run.optimizer, progress)


def check_latest(run: Run) -> None:
    """Raise a RunError if the run's folder holds another checkpoint than the one that the run was loaded from."""
    if committed_digest(run.folder.checkpoint) not in (None, run.digest):
        raise RunError(
            f"run must be as its folder's last checkpoint left it, but {run.folder.path} was trained on since this run "
            "was loaded: load it again"
        )


def _on_a_device_here(description: RunDescription) -> RunDescription:
    device = description.config.computation.device
    if not is_device_of_another_machine(device):
        return description
    warnings.warn(f"the run is of device {device}, which is not here: it is loaded on the CPU", stacklevel=3)
    return description._replace(config=description.config.replace(device="cpu", cuda_graph=False))


def _sweep_if_free(folder: RunFolder) -> None:
    """Remove what a killed process left beside the checkpoint, unless a process trains there or nobody may write."""
    if has_leftovers(folder.checkpoint) and folder.has_checkpoint:
        with suppress(RunError, OSError), hold(folder.path):
            sweep(folder.checkpoint)


def _draw_ticket(parent: Run, initialization: InitializationName) -> LotteryTicket:
    if parent.epoch < parent.config.training.epochs:
        raise RunError(f"run {parent.folder.path} is not finished: riemod resume {parent.folder.path}")
    generator = generator_for("cpu", Stream.TICKET, parent.config.seed)
    draw = initializer_by_name(initialization)
    return lottery_ticket(parent.model, parent.pruner, parent.moduli, generator=generator, initialize=draw)


def _take(run: Run, ticket: LotteryTicket) -> None:
    run.model.load_state_dict(ticket.model.state_dict())
    if run.moduli is not None and ticket.moduli is not None:
        run.moduli.load_state_dict(ticket.moduli.state_dict())


def _check_same_run(description: RunDescription, checkpoint: Checkpoint) -> None:
    """Raise a CheckpointError unless the checkpoint is of the described run.

    Shapes do not tell runs apart: points on two manifolds can have the same shape, and two seeds give equal shapes.
    """
    try:
        saved = RunDescription.from_dict(checkpoint.progress["run"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint does not say which run it is of: {one_line(error)}") from error
    own, other = ({"task": one.task, **one.config.to_dict()} for one in (description, saved))
    free = description.config.names_that_may_differ("resumed")
    for name in own:
        if name not in free and own[name] != other[name]:
            raise CheckpointError(
                one_line(f"checkpoint is of another run: {name} is {other[name]!r} in it, {own[name]!r} in config.json")
            )


def _modules_in(checkpoint: Checkpoint, run: Run) -> dict[str, nn.Module]:
    """Return the modules that a checkpoint holds; a finished run of an earlier version has no evidence of its own.

    Raises:
        CheckpointError: if an unfinished run has none: its points would go on by another law.
    """
    if run.evidence is None or checkpoint.state("evidence"):
        return run.modules
    if checkpoint.progress["epoch"] < run.config.training.epochs:
        raise CheckpointError(
            "checkpoint holds points that followed evidence by the law of an earlier version of riemod: the run can be "
            "read, but not resumed"
        )
    return {name: module for name, module in run.modules.items() if name != "evidence"}


def _check_same_data(own: dict[str, Any], saved: dict[str, Any]) -> None:
    """Raise a CheckpointError unless the checkpoint was trained on the same data.

    Another vocabulary of the same size would not show in any shape, and every word would be taken for another one.
    """
    if own != saved:
        name = next(key for key in {**own, **saved} if own.get(key) != saved.get(key))
        raise CheckpointError(
            one_line(
                f"checkpoint was trained on other data: {name} was {saved.get(name)!r}, it is {own.get(name)!r} now"
            )
        )
