"""Training steps: navigation against a straightforward loop, replicas against runs in turn, and the penalty's share."""

import dataclasses
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.harness import Result, Spread, compare
from benchmarks.speed.straightforward import NavigationLoop
from riemod.tasks import NavigationConfig, task_class
from riemod.tasks.base import Batch
from riemod.training import Run, RunDescription, RunFolder, start
from riemod.training.gradients import gradients_of
from riemod.training.loop import matmul_precision, start_epoch, train_step
from riemod.training.replicas.stack import Stack

LEARNED_TORUS: dict[str, Any] = {"manifold": "torus", "learn": True}
LARGE: dict[str, Any] = {"hidden_size": 512, "landmarks": 512, "width": 0.12, "steps": 50, "batch_size": 200}


def new_run(task: str, preset: str, **changes: Any) -> Run:
    """A fresh run, its first epoch begun; its folder is gone, for nothing here saves."""
    config = task_class(task).presets[preset].replace(**changes)
    with tempfile.TemporaryDirectory() as folder:
        run = start(RunFolder(Path(folder) / "run"), RunDescription(task, config, None))
    start_epoch(run)
    return run


def stepper(run: Run) -> Callable[[], object]:
    """One step on the next batch, data included."""
    batches, set_gradients = endless(run), gradients_of(run)
    return lambda: train_step(run, next(batches), set_gradients)


def endless(run: Run) -> Iterator[Batch]:
    """Batches as epochs draw them, one epoch after the other."""
    for epoch in itertools.count():
        generator = torch.Generator(run.task.device).manual_seed(epoch)
        yield from run.task.batches(generator, run.config.training.batches_per_epoch)


def navigation_step(rounds: int, matmul: str = "highest") -> Result:
    """A step with a learned torus against a loop written without care, both at n = 512, batch 200 and 50 steps."""
    run = new_run("navigation", "cpu", **LARGE, **LEARNED_TORUS)
    assert isinstance(run.config, NavigationConfig)
    loop, own = NavigationLoop(run.config), stepper(run)

    def ours() -> None:
        with matmul_precision(matmul):
            own()

    n, rows, landmarks = run.config.hidden_size, run.config.steps * run.config.training.batch_size, run.config.landmarks
    # Forward, and two products backward, of the recurrent layer and of the decoder; the loop's other two forwards.
    once = 2 * rows * n * (n + landmarks)
    notes = {"flop_of_products": {"ours": 3 * once, "baseline": 5 * once - 2 * rows * n * landmarks}, "matmul": matmul}
    against = "NumPy walks, three forwards, unfused, broadcast penalty twice; data included"
    return compare("training-navigation", ours, loop.step, 1 / 3, against, rounds, notes)


def replicas(rounds: int, models: int = 20) -> Result:
    """A step of 20 models of the adding problem side by side against a step of each in turn by `nn.RNN`."""
    changes = [{"seed": seed, "manifold": "torus", "sparsity": 0.95} for seed in range(models)]
    alone = [stepper(new_run("adding", "cpu", **change)) for change in changes]
    stack = Stack([new_run("adding", "cpu", **change) for change in changes])
    stack.start_epoch()

    def batches() -> Iterator[Batch]:
        while True:
            yield from stack.batches()

    stream = batches()
    # The first draws an epoch's data.
    next(stream)

    def in_turn() -> None:
        for step in alone:
            step()

    against = f"{models} runs of riemod in turn, nn.RNN, n = 128, fixed torus, data included"
    return compare("training-replicas", lambda: stack.step(next(stream)), in_turn, 1 / 4, against, rounds)


def penalty_share(rounds: int) -> Result:
    """What the learned penalty adds to a step of the navigation task's `cpu` preset, as a share of the step."""
    pair = new_run("navigation", "cpu", **LEARNED_TORUS), new_run("navigation", "cpu")
    result = compare("training-penalty", stepper(pair[0]), stepper(pair[1]), 1 / 0.9, "", rounds)
    return _in_percent(
        result, "what a learned torus adds to a step of navigation's cpu preset, as a share of that step"
    )


def evidence_share(rounds: int) -> Result:
    """What points that follow co-activity add to steps of navigation's `cpu` preset, under the same signed penalty.

    A round is ten steps: the points move in two of them, and the states of one are observed.
    """
    law: dict[str, Any] = {"manifold": "torus", "law": "signed"}
    followed = new_run("navigation", "cpu", **law, learn=True, evidence="coactivity")
    steps, fixed = stepper(followed), stepper(new_run("navigation", "cpu", **law))
    assert followed.evidence is not None

    def ten(step: Callable[[], object]) -> None:
        for _ in range(10):
            step()

    with followed.evidence.observing(10):
        result = compare("training-evidence", lambda: ten(steps), lambda: ten(fixed), 1 / 0.9, "", rounds)
    against = "what points that follow co-activity add to ten steps of navigation's cpu preset, as a share of these"
    return _in_percent(result, against)


def _in_percent(result: Result, against: str) -> Result:
    assert result.spread is not None
    spread = Spread(*(_share(ratio) for ratio in dataclasses.astuple(result.spread)))
    return dataclasses.replace(
        result, value=_share(result.value), unit="%", target=10.0, against=against, spread=spread
    )


def _share(ratio: float) -> float:
    """In percent, from the time with over the time without."""
    return 100 * (1 - 1 / ratio)


ROWS: dict[str, Callable[[int], Result]] = {
    "training-navigation": navigation_step,
    "training-navigation-bfloat16": lambda rounds: navigation_step(rounds, "medium"),
    "training-replicas": replicas,
    "training-penalty-share": penalty_share,
    "training-evidence-share": evidence_share,
}
