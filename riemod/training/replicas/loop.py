"""The loop that trains many small runs of one task side by side, as one batched computation in one process.

Every replica is an ordinary run with its own folder, checkpoints and record. It can resume alone or with others.

Its bits depend on its company. The same runs, in the same order and from the same epochs, end with the same bits. In
other company, in another order, or alone, batched products are rounded in another way, and rounding grows while a net
trains. After 160 steps of the adding problem at a rate of 2e-3 the largest difference of a weight was 3e-7 with 32
hidden neurons, and 6e-2 with 128. So no tolerance holds for long trainings: the results agree as those of two machines
do. Runs that were killed while their checkpoints were being written resume from two different epochs, and so in other
company. Train a run alone where its bits must be the same after any kill.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from riemod._checks import check_function, check_items, check_type
from riemod.tasks import task_class
from riemod.tasks.base import ReplicaTask
from riemod.training.folder import RunDescription, RunFolder
from riemod.training.lock import hold
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
)
from riemod.training.replicas.stack import Stack
from riemod.training.run import Run, check_latest, check_run
from riemod.training.tensorboard import epoch_log

Committed = Callable[[list[tuple[Run, dict[str, float]]]], None]
"""Called after an epoch with the runs that completed it, and their rows of metrics."""


def train_replicas(runs: Sequence[Run], report: Reporter | None = None) -> list[dict[str, Any]]:
    """Train several runs of one task to their last epoch in one batched computation, and write their records.

    Each run ends as `riemod.training.train` would end it, to float rounding (see the module's text), with its own
    batches, draws and pruning. Runs that were stopped at one epoch and go on together end with the same bits.
    Runs may differ only in the fields that their configuration allows: seed, initial draw, regularizer and pruning.
    Runs at earlier epochs are trained first, until all are at the same epoch. A run that diverges is left out, and the
    others continue without it.

    Args:
        runs: new or loaded ones, each in a folder of its own.
        report: called with (steps done, steps in all, the first run's last row of metrics).

    Returns:
        The records, in the order of the runs.

    Raises:
        ValueError: if there are no runs, a task cannot train side by side, or the configs differ in more than that.
        RunError: if another process trains one of the runs, or trained it since it was loaded.
        TrainingDiverged: after all others have finished, if runs diverged; their last good checkpoints stay.
    """
    runs = check_items("runs", runs, "a list of runs")
    for run in runs:
        check_run(run, "runs")
    if report is not None:
        check_function("report", report, "a function of steps done, steps in all and the last row, or None")
    check_replicas([run.folder for run in runs], [run.description for run in runs])
    done = {id(run): run.folder.read_record() for run in runs if _is_done(run)}
    active = [run for run in runs if id(run) not in done]
    lost: list[str] = []
    total = sum(run.config.training.steps for run in runs)
    with ExitStack() as exits:
        for run in active:
            exits.enter_context(hold(run.folder.path))
            check_latest(run)
        exits.enter_context(matmul_precision(runs[0].config.computation.matmul))
        logs = {id(run): epoch_log(run, exits) for run in active}
        for run in active:
            prepare(run)

        def committed(rows: list[tuple[Run, dict[str, float]]]) -> None:
            for run, row in rows:
                logs[id(run)](row)
            if report is not None and rows:
                report(sum(run.epoch * run.config.training.batches_per_epoch for run in runs), total, rows[0][1])

        while waiting := [run for run in active if run.epoch < run.config.training.epochs]:
            epoch = min(run.epoch for run in waiting)
            stack = Stack([run for run in waiting if run.epoch == epoch])
            behind = [run.epoch for run in waiting if run.epoch > epoch]
            # A run at a later epoch joins when the others have reached that epoch.
            failed: list[tuple[Run, TrainingDiverged]] = []
            while not failed and stack.epoch < min([*behind, stack.runs[0].config.training.epochs]):
                failed = _train_epoch(stack, committed)
            lost += [f"{run.folder.path}: {error}" for run, error in failed]
            active = [run for run in active if all(run is not other for other, _ in failed)]
    done |= {id(run): finish(run) for run in active}
    if lost:
        raise TrainingDiverged("\n".join(lost))
    return [done[id(run)] for run in runs]


def _is_done(run: Run) -> bool:
    return run.epoch == run.config.training.epochs and run.folder.record_file.is_file()


def _train_epoch(stack: Stack, committed: Committed) -> list[tuple[Run, TrainingDiverged]]:
    """Train one epoch and commit it for every run that did not diverge; return those that did."""
    began = time.perf_counter()
    runs, config = stack.runs, stack.runs[0].config
    shape = (config.training.batches_per_epoch, len(runs))
    losses, penalties = (torch.zeros(shape, device=stack.task.device) for _ in range(2))
    stack.start_epoch()
    failed: dict[int, TrainingDiverged] = {}
    for step, batch in enumerate(stack.batches()):
        stack.set_rates(step)
        losses[step], penalties[step] = stack.step(batch)
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == config.training.batches_per_epoch:
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


def check_replicas(folders: Sequence[RunFolder], descriptions: Sequence[RunDescription]) -> None:
    """Raise a ValueError unless runs of these descriptions, in these folders, can train side by side."""
    folders = check_items("folders", folders, "a list of RunFolders")
    descriptions = check_items("descriptions", descriptions, "a list of RunDescriptions")
    for folder in folders:
        check_type("folders", folder, RunFolder, "a list of RunFolders")
    for description in descriptions:
        check_type("descriptions", description, RunDescription, "a list of RunDescriptions")
    if len(folders) != len(descriptions):
        raise ValueError(f"descriptions must be as many as folders, {len(folders)}, got {len(descriptions)}")
    if not folders:
        raise ValueError("runs must hold at least one run, got none")
    first = descriptions[0]
    if not issubclass(task_class(first.task), ReplicaTask):
        raise ValueError(f"replicas need a task that trains side by side, such as adding, got {first.task!r}")
    optimization = first.config.optimization
    if optimization.optimizer != "adam" or optimization.learning_rate_decay == "anneal":
        raise ValueError(
            "replicas need optimizer='adam' and rates that do not depend on the losses, got "
            f"optimizer={optimization.optimizer!r}, learning_rate_decay={optimization.learning_rate_decay!r}"
        )
    if any(description.config.regularization.evidence != "weights" for description in descriptions):
        raise ValueError(
            "replicas need evidence='weights', because evidence reads each net's own layers and passes, which "
            "replicas do not run"
        )
    if any(description.config.computation.cuda_graph for description in descriptions):
        raise ValueError("replicas need cuda_graph=False: they already launch each kernel for all nets at once")
    if len({folder.path.resolve() for folder in folders}) < len(folders):
        raise ValueError("runs must be in different folders, got one folder twice")
    free = first.config.names_that_may_differ("replicas")
    own = first.config.to_dict() | {"task": first.task}
    for folder, description in zip(folders, descriptions, strict=True):
        other = description.config.to_dict() | {"task": description.task}
        for name in {**own, **other}:
            if name not in free and own.get(name) != other.get(name):
                raise ValueError(
                    f"runs must differ in nothing but {', '.join(sorted(free))}; {folder.path} has {name}="
                    f"{other.get(name)!r}, {folders[0].path} has {own.get(name)!r}"
                )
