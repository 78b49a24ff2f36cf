"""Lottery tickets of a suite: on the mask of a finished run, or on one permuted, with its points or with new ones."""

import functools
from pathlib import Path

import torch

from riemod.initialization import Initializer, by_name, sparsity_aware
from riemod.pruning import LotteryTicket, lottery_ticket
from riemod.suites.plan import PlannedRun, Ticket
from riemod.training import Run, RunDescription, RunError, RunFolder, Stream, generator_for, load, start


def start_ticket(folder: RunFolder, run: PlannedRun, ticket: Ticket, parent_folder: Path) -> Run:
    """Start the run of a lottery ticket in a new folder; every draw is decided by the run's seed.

    Args:
        folder: of the ticket's run; it must be new or empty.
        run: the ticket's run.
        ticket: what it takes from its parent.
        parent_folder: of the parent's run, which must be finished.

    Raises:
        RunError: if the parent is not finished, or the folder is taken.
    """
    parent = load(RunFolder(parent_folder))
    if parent.epoch < parent.config.training.epochs:
        raise RunError(f"a ticket needs a finished run, got {parent_folder} after {parent.epoch} epochs")
    if ticket.mask == "permuted":
        generator = generator_for("cpu", Stream.MASKS, run.seed)
        for mask in parent.pruner.masks().values():
            order = torch.randperm(mask.numel(), generator=generator).to(mask.device)
            mask.copy_(mask.flatten()[order].view_as(mask))
    drawn = lottery_ticket(
        parent.model,
        parent.pruner,
        parent.moduli,
        generator=generator_for("cpu", Stream.TICKET, run.seed),
        initialize=_draw(run.config.initialization, ticket.spectral_radius),
    )
    if ticket.embedding == "new":
        drawn = _with_new_points(drawn, run)
    return start(folder, RunDescription(run.task, run.config, str(parent_folder)), drawn)


def _draw(name: str, spectral_radius: float | None) -> Initializer:
    if spectral_radius is None:
        return by_name(name)
    return functools.partial(sparsity_aware, spectral_radius=spectral_radius)


def _with_new_points(drawn: LotteryTicket, run: PlannedRun) -> LotteryTicket:
    generator = generator_for("cpu", Stream.TICKET, run.seed, 1)
    return drawn._replace(moduli=run.config.regularization.build(drawn.model, generator))
