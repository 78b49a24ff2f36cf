"""Hidden states of a run's model on fresh data."""

import math
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

from riemod.regularization.evidence import watching
from riemod.regularization.targets import recurrent_weights
from riemod.tasks.navigation import Navigation
from riemod.training import Run
from riemod.training.assembly import Draw
from riemod.training.checkpoint import generator_for


class Sample(NamedTuple):
    """Hidden states, and for navigation where the animal is in each."""

    states: Tensor
    """(n, k), on the CPU."""
    positions: Tensor | None
    """(n, c) points of the arena, or None."""
    steps: int
    """Navigation: states of a walk, which follow each other; else 1, in random order."""

    @property
    def half(self) -> int:
        """So many states are fitted, where the others are tested; whole walks."""
        return max(1, len(self.states) // self.steps // 2) * self.steps


class _Enough(Exception):
    """Enough states were seen."""


def draw_states(run: Run, count: int) -> Sample:
    """Hidden states of the last recurrent layer: of fresh walks in navigation, elsewhere of the task's evaluation.

    Args:
        run: its model is put into evaluation mode.
        count: how many; elsewhere than in navigation fewer, if the evaluation has no more.

    Returns:
        The sample, the same for the same model.
    """
    task, model = run.task, run.model.eval()
    generator = generator_for(task.device, Draw.ANALYSIS, 0)
    if isinstance(task, Navigation):
        steps = task.config.steps
        walks = math.ceil(count / steps)
        # Walk by walk, so that rolling in time moves a unit's activity along walks.
        states, positions = (
            part.unflatten(0, (steps, walks)).transpose(0, 1).flatten(0, 1)[:count].cpu()
            for part in task.states(model, generator, walks)
        )
        return Sample(states, positions, steps)
    seen: list[Tensor] = []

    def take(states: Tensor) -> None:
        seen.append(states.flatten(0, -2).cpu())
        if sum(map(len, seen)) >= count:
            raise _Enough

    with torch.no_grad(), suppress(_Enough), watching(recurrent_weights(model)[-1], take):
        task.evaluate(model, generator, run.config.evaluation_batches)
    states = torch.cat(seen)
    order = torch.randperm(len(states), generator=generator_for("cpu", Draw.ANALYSIS, 2))
    return Sample(states[order[:count]], None, 1)
