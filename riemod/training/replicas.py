"""Many small runs of one task side by side: their models as one batched computation, in one process.

Every replica is an ordinary run, with its own folder, checkpoints and record, and goes on alone or with others. While
they train together, a model's parameters are views of tensors that hold those of all models, stacked; so are its
gradients and its optimiser's moments. Pruning, checkpoints and evaluation work on each run as ever.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from riemod.pruning import backward_to_points, proximal_step
from riemod.tasks import task_class
from riemod.tasks.base import Batch, ReplicaTask
from riemod.training.assembly import Draw, Run
from riemod.training.checkpoint import generator_for
from riemod.training.loop import (
    CHECK_EVERY,
    Reporter,
    TrainingDiverged,
    check_losses,
    commit_epoch,
    finish,
    finish_epoch,
    matmul_precision,
    prepare,
    set_rates,
    start_epoch,
)
from riemod.training.runs import RunDescription, RunFolder
from riemod.training.tensorboard import epoch_log

Committed = Callable[[list[tuple[Run, dict[str, float]]]], None]
"""Called after an epoch with the runs that went through it, and their rows of metrics."""

# What replicas may differ in: nothing that shapes the computation or the course of the rates.
_OWN = {
    *("seed", "threads", "evaluation_batches", "initialization", "tensorboard"),
    *("manifold", "inhibitor", "strength", "reduction", "power", "learn", "arm", "proximal"),
    *("sparsity", "schedule", "dense_epochs", "scope"),
}


def train_replicas(runs: Sequence[Run], report: Reporter | None = None) -> list[dict[str, Any]]:
    """Train several runs of one task to their last epoch in one batched computation, and write their records.

    Each run ends as `riemod.training.train` would end it, to float rounding: the batches, the draws and the pruning
    are its own. Runs may differ in seed, initial draw, regularizer and pruning, and in nothing else. Runs that stand at
    different epochs are brought level first. A run that diverges is left behind, and the others go on without it.

    Args:
        runs: new or loaded ones, each in a folder of its own.
        report: called with (steps done, steps in all, the first run's last row of metrics).

    Returns:
        The records, in the order of the runs.

    Raises:
        ValueError: if there are no runs, a task cannot train side by side, or the configs differ in more than that.
        TrainingDiverged: after all others have finished, if runs diverged; their last good checkpoints stay.
    """
    check_replicas([run.folder for run in runs], [run.description for run in runs])
    done = {id(run): run.folder.read_record() for run in runs if _is_done(run)}
    active = [run for run in runs if id(run) not in done]
    lost: list[str] = []
    total = sum(run.config.epochs * run.config.batches_per_epoch for run in runs)
    with ExitStack() as stack:
        stack.enter_context(matmul_precision(runs[0].config.matmul))
        logs = {id(run): epoch_log(run, stack) for run in active}
        for run in active:
            prepare(run)

        def committed(rows: list[tuple[Run, dict[str, float]]]) -> None:
            for run, row in rows:
                logs[id(run)](row)
            if report is not None and rows:
                report(sum(run.epoch * run.config.batches_per_epoch for run in runs), total, rows[0][1])

        while waiting := [run for run in active if run.epoch < run.config.epochs]:
            epoch = min(run.epoch for run in waiting)
            level = _Level([run for run in waiting if run.epoch == epoch])
            behind = [run.epoch for run in waiting if run.epoch > epoch]
            # The next one that stands further on joins in when the others have come to where it stands.
            failed: list[tuple[Run, TrainingDiverged]] = []
            while not failed and level.epoch < min([*behind, level.epochs]):
                failed = level.train_epoch(committed)
            lost += [f"{run.folder.path}: {error}" for run, error in failed]
            active = [run for run in active if all(run is not other for other, _ in failed)]
    done |= {id(run): finish(run) for run in active}
    if lost:
        raise TrainingDiverged("\n".join(lost))
    return [done[id(run)] for run in runs]


def _is_done(run: Run) -> bool:
    return run.epoch == run.config.epochs and run.folder.record_file.is_file()


def check_replicas(folders: Sequence[RunFolder], descriptions: Sequence[RunDescription]) -> None:
    """Raise a ValueError unless runs so described, in those folders, can train side by side."""
    if not folders:
        raise ValueError("runs must hold at least one run, got none")
    first = descriptions[0]
    if not issubclass(task_class(first.task), ReplicaTask):
        raise ValueError(f"replicas need a task that trains side by side, such as adding, got {first.task!r}")
    if first.config.optimizer != "adam" or first.config.learning_rate_decay == "anneal":
        raise ValueError(
            "replicas need optimizer='adam' and rates that do not depend on the losses, got "
            f"optimizer={first.config.optimizer!r}, learning_rate_decay={first.config.learning_rate_decay!r}"
        )
    if len({folder.path.resolve() for folder in folders}) < len(folders):
        raise ValueError("runs must be in folders of their own, got one folder twice")
    own = first.config.to_dict() | {"task": first.task}
    for folder, description in zip(folders, descriptions, strict=True):
        other = description.config.to_dict() | {"task": description.task}
        for name in own.keys() | other.keys():
            if name not in _OWN and own.get(name) != other.get(name):
                raise ValueError(
                    f"runs must differ in nothing but {', '.join(sorted(_OWN))}; {folder.path} has {name}="
                    f"{other.get(name)!r}, {folders[0].path} has {own.get(name)!r}"
                )


class _Level:
    """Runs that stand at the same epoch, their parameters, gradients and moments stacked.

    Args:
        runs: alike, at one epoch; their parameters become views of the stacked ones, on the same values.
    """

    def __init__(self, runs: list[Run]) -> None:
        self.runs = runs
        first = runs[0]
        assert isinstance(first.task, ReplicaTask)
        self.task: ReplicaTask[Any] = first.task
        columns = {name: [run.model.get_parameter(name) for run in runs] for name, _ in first.model.named_parameters()}
        self.parameters = {name: nn.Parameter(torch.stack([*column]).detach()) for name, column in columns.items()}
        config = first.config
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
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
        """The epoch that the runs stand at."""
        return self.runs[0].epoch

    @property
    def epochs(self) -> int:
        """How many epochs the runs have in all."""
        return self.runs[0].config.epochs

    def train_epoch(self, committed: Committed) -> list[tuple[Run, TrainingDiverged]]:
        """Train one epoch and commit it for every run that did not diverge; those that did are returned."""
        began = time.perf_counter()
        runs, config = self.runs, self.runs[0].config
        shape = (config.batches_per_epoch, len(runs))
        losses, penalties = (torch.zeros(shape, device=self.task.device) for _ in range(2))
        for run in runs:
            start_epoch(run)
        masks = self._masks()
        for name, mask in masks.items():
            for key in ("exp_avg", "exp_avg_sq"):
                self.optimizer.state[self.parameters[name]][key].mul_(mask)
        costs = self._costs()
        failed: dict[int, TrainingDiverged] = {}
        for step, batch in enumerate(self._batches()):
            for run in runs:
                set_rates(run, step)
            self.optimizer.param_groups[0]["lr"] = runs[0].optimizer.param_groups[0]["lr"]
            losses[step], penalties[step] = self._step(batch, masks, costs)
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == config.batches_per_epoch:
                for index, run in enumerate(runs):
                    if index not in failed:
                        try:
                            check_losses(run, losses[: step + 1, index])
                        except TrainingDiverged as error:
                            failed[index] = error
        rows: dict[int, dict[str, float]] = {}
        for index, run in enumerate(runs):
            if index not in failed:
                try:
                    rows[index] = finish_epoch(run, losses[:, index], penalties[:, index])
                except TrainingDiverged as error:
                    failed[index] = error
        seconds = (time.perf_counter() - began) / len(runs)
        for index, row in rows.items():
            commit_epoch(runs[index], row, seconds)
        committed([(runs[index], row) for index, row in rows.items()])
        return [(runs[index], error) for index, error in failed.items()]

    def _step(self, batch: Batch, masks: dict[str, Tensor], costs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """One step of every model; the losses and the penalties, each (N,)."""
        losses = self.task.replica_losses(self.parameters, batch)
        penalties = torch.zeros_like(losses)
        for name, cost in costs.items():
            penalties = penalties + (cost * self.parameters[name].abs()).flatten(1).sum(1)
        total = losses.sum() + penalties.sum()
        apart = {}
        for index, run in enumerate(self.runs):
            if run.moduli is not None and not _has_costs(run) and not run.config.proximal:
                apart[index] = run.moduli()
                total = total + apart[index]
        gradients = [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]
        for gradient in gradients:
            gradient.zero_()
        for run in self.runs:
            for member in run.optimizer.members[1:]:
                member.zero_grad()
        total.backward()
        proximal = [(index, run.moduli) for index, run in enumerate(self.runs) if run.config.proximal and run.moduli]
        for _, moduli in proximal:
            backward_to_points(moduli)
        for name, mask in masks.items():
            gradient = self.parameters[name].grad
            assert gradient is not None
            gradient.mul_(mask)
        if self.runs[0].config.clip is not None:
            _clip(gradients, self.runs[0].config.clip)
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

    def _masks(self) -> dict[str, Tensor]:
        """The masks of all models stacked, as numbers, by the parameter's name."""
        masks = [run.pruner.masks() for run in self.runs]
        return {name: torch.stack([own[name] for own in masks]).to(self.parameters[name].dtype) for name in masks[0]}

    def _costs(self) -> dict[str, Tensor]:
        """strength * f / size for the weights of runs whose points stay; 0 for all others. By the parameter's name."""
        costs: dict[str, Tensor] = {}
        for index, run in enumerate(self.runs):
            if run.moduli is None or not _has_costs(run):
                continue
            names = {id(parameter): name for name, parameter in run.model.named_parameters()}
            for layer, target in enumerate(run.moduli.targets):
                weight = target.weight
                name = names[id(weight)]
                factor = run.moduli.strength / (weight.numel() if run.moduli.reduction == "mean" else 1)
                if name not in costs:
                    costs[name] = torch.zeros_like(self.parameters[name], requires_grad=False)
                gates = costs[name][index].view(-1, *weight.shape[1:]).unflatten(0, (-1, target.neurons))
                gates.copy_((factor * run.moduli.coefficients(layer)).expand_as(gates))
        return costs

    def _batches(self) -> Iterator[Batch]:
        """Every step's batches, stacked; runs of one seed see the same data, which is drawn once."""
        seeds = list(dict.fromkeys(run.config.seed for run in self.runs))
        place = torch.tensor([seeds.index(run.config.seed) for run in self.runs], device=self.task.device)
        count, epoch = self.runs[0].config.batches_per_epoch, self.runs[0].epoch
        streams = [
            self.task.batches(generator_for(self.task.device, Draw.BATCHES, seed, epoch), count) for seed in seeds
        ]
        for batches in itertools.islice(zip(*streams, strict=True), count):
            yield tuple(torch.stack(parts)[place] for parts in zip(*batches, strict=True))


def _has_costs(run: Run) -> bool:
    """Whether the penalty's coefficients stay as they are for an epoch, and multiply |w| itself."""
    return run.moduli is not None and not (run.config.learn or run.config.proximal) and run.config.power == 1


def _adam_state(run: Run, parameter: nn.Parameter) -> dict[str, Any]:
    """The state of a parameter in the run's own optimiser, made if there is none yet."""
    state = run.optimizer.members[0].state[parameter]
    if not state:
        state.update(step=torch.zeros((), dtype=torch.float32, device=parameter.device))
        state.update({key: torch.zeros_like(parameter, requires_grad=False) for key in ("exp_avg", "exp_avg_sq")})
    return state


def _clip(gradients: list[Tensor], largest: float) -> None:
    """As `torch.nn.utils.clip_grad_norm_`, each model's gradient by its own norm."""
    norms = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0).sqrt()
    factors = (largest / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))
