"""Hidden states of a run's model, on fresh data."""

from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

from riemod._checks import check_integer
from riemod._machine import check_fits
from riemod.coactivity.states import watching
from riemod.regularization.weights import recurrent_weights
from riemod.tasks.navigation import Navigation
from riemod.training import Run, Stream, generator_for
from riemod.training.run import check_run

# Largest number of entries of the states of all steps of the walks that are drawn at once.
_NUMBERS_AT_ONCE = 1 << 24


class Sample(NamedTuple):
    """Holds hidden states, and for navigation the position of the animal in each."""

    states: Tensor
    """(n, k), on the CPU."""
    positions: Tensor | None
    """(n, c) points of the arena, or None."""

    @property
    def half(self) -> int:
        """The number of states that are fitted if the others are for testing."""
        return len(self.states) // 2


class _Enough(Exception):
    """Ends an evaluation when enough states have been seen."""


def draw_states(run: Run, count: int) -> Sample:
    """Draw hidden states of the last recurrent layer, in random order.

    For navigation they are the last state of each of `count` walks: the states of one walk lie on a path, with gaps
    between paths, and early states differ from later ones at the same position. For other tasks they are the first
    states of the evaluation.

    Args:
        run: its model is put into evaluation mode.
        count: number of states; for tasks other than navigation at most what the evaluation has.

    Returns:
        The sample, which is the same for the same model.
    """
    check_run(run)
    check_fits("count", check_integer("count", count, least=1), 4 * count)
    task, model = run.task, run.model.eval()
    generator = generator_for(task.device, Stream.ANALYSIS, 0)
    if isinstance(task, Navigation):
        at_once = max(1, _NUMBERS_AT_ONCE // (task.config.steps * task.config.hidden_size))
        sizes = [min(at_once, count - first) for first in range(0, count, at_once)]
        drawn = [[part.cpu() for part in task.states(model, generator, size, last=1)] for size in sizes]
        states, positions = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        return Sample(states, positions)
    seen: list[Tensor] = []

    def take(states: Tensor) -> None:
        seen.append(states.flatten(0, -2).cpu())
        if sum(map(len, seen)) >= count:
            raise _Enough

    with torch.no_grad(), suppress(_Enough), watching(recurrent_weights(model)[-1], take):
        task.evaluate(model, generator, run.config.training.evaluation_batches)
    states = torch.cat(seen)
    order = torch.randperm(len(states), generator=generator_for("cpu", Stream.ANALYSIS, 2))
    return Sample(states[order[:count]], None)
