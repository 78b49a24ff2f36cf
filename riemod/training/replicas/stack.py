"""The models of many small runs as one batched computation.

A run's parameters, gradients and optimizer moments are views of tensors that stack those of all runs. Pruning,
checkpoints and evaluation work on each run as on any other.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from riemod.regularization import backward_to_points, proximal_step
from riemod.tasks.base import Batch, ReplicaTask
from riemod.training.loop import set_rates, start_epoch
from riemod.training.run import Run
from riemod.training.seeds import Stream, generator_for


class Stack:
    """Holds runs at one epoch, and their parameters, gradients and moments, stacked along a first axis.

    Args:
        runs: accepted by `check_replicas`; their parameters become views of the stacked ones, with the same values.
    """

    def __init__(self, runs: list[Run]) -> None:
        self.runs = list(runs)
        first = runs[0]
        assert isinstance(first.task, ReplicaTask)
        self.task: ReplicaTask[Any] = first.task
        columns = {name: [run.model.get_parameter(name) for run in runs] for name, _ in first.model.named_parameters()}
        self.parameters = {name: nn.Parameter(torch.stack([*column]).detach()) for name, column in columns.items()}
        config = first.config
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=config.optimization.learning_rate,
            weight_decay=config.optimization.weight_decay,
            fused=True,
        )
        for name, stacked in self.parameters.items():
            stacked.grad = torch.zeros_like(stacked)
            states = [_adam_state(run, own) for run, own in zip(runs, columns[name], strict=True)]
            moments = {key: torch.stack([state[key] for state in states]) for key in ("exp_avg", "exp_avg_sq")}
            step = states[0]["step"].clone()
            self.optimizer.state[stacked] = {"step": step, **moments}
            for index, (own, state) in enumerate(zip(columns[name], states, strict=True)):
                own.data, own.grad = stacked.data[index], stacked.grad[index]
                state.update(step=step, **{key: moment[index] for key, moment in moments.items()})

    @property
    def epoch(self) -> int:
        """The epoch of the runs."""
        return self.runs[0].epoch

    def start_epoch(self) -> None:
        """Start the epoch of every run, and stack the masks and the costs of the weights."""
        for run in self.runs:
            start_epoch(run)
        masks = [run.pruner.masks() for run in self.runs]
        self._masks = {
            name: torch.stack([own[name] if name in own else torch.ones_like(stacked[0]) for own in masks])
            .to(stacked.dtype)
            .detach()
            for name, stacked in self.parameters.items()
            if any(name in own for own in masks)
        }
        for name, mask in self._masks.items():
            for key in ("exp_avg", "exp_avg_sq"):
                self.optimizer.state[self.parameters[name]][key].mul_(mask)
        self._costs = self._fixed_costs()

    def set_rates(self, step: int) -> None:
        """Set the rates of all optimizers for a step of the present epoch."""
        for run in self.runs:
            set_rates(run, step)
        self.optimizer.param_groups[0]["lr"] = self.runs[0].optimizer.param_groups[0]["lr"]

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Take one step of every model; return the (N,) losses and penalties, as `train_step` does for one run."""
        losses = self.task.replica_losses(self.parameters, batch)
        penalties, one = torch.zeros_like(losses), losses.new_ones(())
        factors = torch.stack([one if run.strength is None else run.strength.factor for run in self.runs])
        for name, cost in self._costs.items():
            penalties = penalties + (cost * self.parameters[name].abs()).flatten(1).sum(1) * factors
        total = losses.sum() + penalties.sum()
        apart = {}
        for index, run in enumerate(self.runs):
            if run.moduli is not None and not _has_costs(run) and not run.config.regularization.proximal:
                apart[index] = run.penalty()
                total = total + apart[index]
        gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
        for gradient in gradients:
            gradient.zero_()
        for run in self.runs:
            for member in run.optimizer.members[1:]:
                member.zero_grad()
        total.backward()
        for run in self.runs:
            if run.strength is not None:
                run.strength.update()
        proximal = [
            (index, run.moduli)
            for index, run in enumerate(self.runs)
            if run.config.regularization.proximal and run.moduli
        ]
        for _, moduli in proximal:
            backward_to_points(moduli)
        for index, run in enumerate(self.runs):
            if run.dynamic is not None and run.dynamic.step(run.optimizer):
                for name, mask in run.pruner.masks().items():
                    self._masks[name][index] = mask
        for name, mask in self._masks.items():
            gradient = self.parameters[name].grad
            assert gradient is not None
            gradient.mul_(mask)
        if self.runs[0].config.optimization.max_grad_norm is not None:
            _clip(gradients, self.runs[0].config.optimization.max_grad_norm)
        self.optimizer.step()
        for run in self.runs:
            for member in run.optimizer.members[1:]:
                member.step()
        penalties = penalties.detach().clone()
        for index, value in apart.items():
            penalties[index] = value.detach()
        for index, moduli in proximal:
            penalties[index] = proximal_step(moduli, self.optimizer.param_groups[0]["lr"])
        return losses.detach(), penalties

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of every step, stacked; data is drawn once for all runs of one seed."""
        seeds = list(dict.fromkeys(run.config.seed for run in self.runs))
        place = torch.tensor([seeds.index(run.config.seed) for run in self.runs], device=self.task.device)
        count, epoch = self.runs[0].config.training.batches_per_epoch, self.runs[0].epoch
        streams = [
            self.task.batches(generator_for(self.task.device, Stream.BATCHES, seed, epoch), count) for seed in seeds
        ]
        for batches in itertools.islice(zip(*streams, strict=True), count):
            yield tuple(torch.stack(parts)[place] for parts in zip(*batches, strict=True))

    def _fixed_costs(self) -> dict[str, Tensor]:
        """Return the coefficients of |w| by parameter: strength * f / size for fixed points, 0 for all other runs."""
        costs: dict[str, Tensor] = {}
        for index, run in enumerate(self.runs):
            if run.moduli is None or not _has_costs(run):
                continue
            names = {id(parameter): name for name, parameter in run.model.named_parameters()}
            for layer, target in enumerate(run.moduli.weights):
                weight = target.tensor
                name = names[id(weight)]
                factor = run.moduli.terms.factor(weight.numel())
                if name not in costs:
                    costs[name] = torch.zeros_like(self.parameters[name], requires_grad=False)
                # All gates have the same costs.
                costs[name][index].unflatten(0, (-1, target.neurons)).copy_(factor * run.moduli.coefficients(layer))
        return costs


def _has_costs(run: Run) -> bool:
    """Return whether the penalty is linear in |w| with coefficients that stay the same for an epoch."""
    return run.moduli is not None and run.config.regularization.costs_are_fixed


def _adam_state(run: Run, parameter: nn.Parameter) -> dict[str, Any]:
    """Return the state of a parameter in the run's own optimizer, and make it if there is none yet."""
    state = run.optimizer.members[0].state[parameter]
    if not state:
        state.update(step=torch.zeros((), dtype=torch.float32, device=parameter.device))
        state.update({key: torch.zeros_like(parameter, requires_grad=False) for key in ("exp_avg", "exp_avg_sq")})
    return state


def _clip(gradients: list[Tensor], largest: float) -> None:
    """Clip as `torch.nn.utils.clip_grad_norm_` does, each model's gradient by its own norm."""
    norms = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0).sqrt()
    factors = (largest / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))
