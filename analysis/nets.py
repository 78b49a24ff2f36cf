"""What the studies of small navigation nets share: configurations, a training loop, and records.

Nets have 120 ReLU units and walk 10 steps; one takes 5 to 10 s on one core. Place codes are 0.45 of the arena's
diameter wide, and in the box as wide as on the torus. Lengths are in m, errors in cm.
"""

import argparse
import functools
import json
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

from riemod.coactivity.observe import watching
from riemod.initialization import seeded_draws
from riemod.optim import riemannian_adam
from riemod.pruning import MagnitudePruner
from riemod.regularization import ModuliRegularizer
from riemod.regularization.weights import recurrent_weights
from riemod.tasks.navigation import Navigation, NavigationConfig, NavigationModel
from riemod.training import Stream, generator_for

RECORDS = Path(__file__).parent / "records"
FIGURES = Path(__file__).parents[1] / "docs" / "_static"
# Below the size from which tiles are compiled, which takes longer than these nets.
UNITS = 120
# Of the arena's diameter.
WIDE = 0.45
EPOCHS = 16
EVALUATION_BATCHES = 20
Row = dict[str, Any]
Case = tuple[Hashable, ...]


def config(arena: str, seed: int, *, code: float = WIDE, **changes: Any) -> NavigationConfig:
    """A small net in an arena, its place code `code` of the arena's diameter wide.

    The learning rate falls over the second half, or over `tail_epochs`.
    """
    preset = Navigation.presets["cpu"]
    assert isinstance(preset, NavigationConfig)
    epochs = changes.get("epochs", EPOCHS)
    like = Navigation(preset.replace(arena="torus" if arena == "box" else arena, landmarks=64, width=0.3))
    assert like.arena is not None
    plan: Row = {
        "arena": arena,
        "seed": seed,
        "threads": 1,
        "landmarks": 64,
        "width": code * like.arena.manifold.diameter,
        "hidden_size": UNITS,
        "steps": 10,
        "batch_size": 48,
        "epochs": epochs,
        "batches_per_epoch": 100,
        "learning_rate": 4e-3,
        "dense_epochs": 0,
        "tail_epochs": epochs // 2,
        "evaluation_batches": EVALUATION_BATCHES,
    }
    return preset.replace(**plan | changes)


def fresh(task: Navigation) -> NavigationModel:
    """The untrained net that the configuration's seed draws."""
    with seeded_draws(generator_for("cpu", Stream.WEIGHTS, task.config.seed)):
        return task.build_model()


def train(
    task: Navigation,
    model: NavigationModel,
    moduli: ModuliRegularizer | None = None,
    pruner: MagnitudePruner | None = None,
    watch: Callable[[int, float, Tensor], None] | None = None,
    skip: int = 0,
) -> None:
    """Train a fresh net as the training loop does, in memory.

    Args:
        task: with the configuration.
        model: changed in place.
        moduli: its penalty is added, its learned points are moved, and it is shown the states of every 10th step of
            an epoch.
        pruner: its schedule is followed.
        watch: called after each step with the number of steps done, the factor of the rates and the hidden states.
        skip: how many steps of each walk, its first, are not shown to the regularizer.
    """
    plan, optimization = task.config.training, task.config.optimization
    rates = (optimization.learning_rate, optimization.embedding_learning_rate)
    optimizer = riemannian_adam(model, moduli, lr=rates[0], embedding_lr=rates[1])
    states: list[Tensor] = []
    model.train()
    with watching(recurrent_weights(model)[0], states.append):
        for epoch in range(plan.epochs):
            if pruner is not None:
                pruner.start_epoch(epoch)
            into_tail = max(0, epoch - (plan.epochs - plan.tail_epochs) + 1)
            factor = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * into_tail / max(1, plan.tail_epochs)))
            for member, rate in zip(optimizer.members, rates, strict=False):
                for group in member.param_groups:
                    group["lr"] = rate * factor
            batches = task.batches(
                generator_for("cpu", Stream.BATCHES, task.config.seed, epoch), plan.batches_per_epoch
            )
            for step, batch in enumerate(batches):
                loss = task.loss(model, batch)
                seen = states.pop()
                states.clear()
                if moduli is not None:
                    if moduli.evidence is not None and step % 10 == 0:
                        moduli.observe(seen[skip:])
                    loss = loss + moduli()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if watch is not None:
                    watch(epoch * plan.batches_per_epoch + step + 1, factor, seen)
    model.eval()


def errors(task: Navigation, model: NavigationModel) -> Row:
    """The error by maximum likelihood and that of perfect codes, its floor, cm."""
    generator = functools.partial(generator_for, "cpu", Stream.EVALUATION, 0)
    found = task.evaluate(model, generator(), task.config.training.evaluation_batches)
    levels = task.reference_levels(generator())
    return {
        "error": found["error_maximum_likelihood"],
        "floor": levels["error_maximum_likelihood of a perfect net"],
    }


def read(file: Path, names: Sequence[str] = ()) -> list[Row]:
    """The rows that there are; a last line that was cut off by a kill is left out."""
    if not file.is_file():
        return []
    lines = file.read_bytes().split(b"\n")[:-1]
    return [row for row in map(json.loads, lines) if all(name in row for name in names)]


def run_missing(
    file: Path, names: Sequence[str], cases: Iterable[Case], function: Callable[..., Row | list[Row]]
) -> None:
    """Run each case that has no record yet, and append its rows: `names` and their values first, in one write.

    Args:
        file: of JSON lines; what a kill left of a last line is cut off.
        names: of a case's values.
        cases: in the order in which they are run.
        function: takes a case's values; gives one row or several.
    """
    done = {tuple(row[name] for name in names) for row in read(file, names)}
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_file():
        whole = file.read_bytes()
        with file.open("r+b") as lines:
            lines.truncate(whole.rfind(b"\n") + 1)
    for case in cases:
        if case in done:
            continue
        found = function(*case)
        rows = [
            dict(zip(names, case, strict=True)) | _rounded(row)
            for row in (found if isinstance(found, list) else [found])
        ]
        # Unbuffered, so that a kill finds all rows of a case written, or none.
        with file.open("ab", buffering=0) as lines:
            lines.write("".join(json.dumps(row) + "\n" for row in rows).encode())
        print(file.stem, *case, flush=True)


def _rounded(row: Row) -> Row:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


def interval(values: Iterable[float]) -> tuple[float, float]:
    """The mean and half the width of its 95 % interval by Student's t; NaN for fewer than two values."""
    numbers = np.array(list(values), dtype=float)
    if len(numbers) < 2:
        return float(numbers.mean()) if len(numbers) else math.nan, math.nan
    half = float(student.ppf(0.975, len(numbers) - 1)) * numbers.std(ddof=1) / math.sqrt(len(numbers))
    return float(numbers.mean()), float(half)


def summary(values: Iterable[float], digits: int = 2) -> str:
    """The mean ± half its interval; the value alone if there is one."""
    mean, half = interval(values)
    return f"{mean:.{digits}f}" if math.isnan(half) else f"{mean:.{digits}f} ± {half:.{digits}f}"


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *lines))


def run_study(
    description: str | None,
    file: Path,
    names: Sequence[str],
    cases_of: Callable[[int], Iterable[Case]],
    function: Callable[..., Row | list[Row]],
    seeds: int,
    tables: Callable[[list[Row]], str],
    figure: Callable[[list[Row], Path], None],
) -> None:
    """The command line of a study: run what is missing, print the tables, draw the figure if asked to. One thread.

    Args:
        description: of the command.
        file: of the records, unless another is named; the figure has its name.
        names: of a case's values.
        cases_of: the cases of so many seeds, in the order in which they are run.
        function: as for `run_missing`.
        seeds: how many, unless told.
        tables: of the records.
        figure: of the records, into a file.
    """
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=file)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--print-only", action="store_true")
    parser.add_argument("--figure", action="store_true")
    arguments = parser.parse_args()
    if not arguments.print_only:
        run_missing(arguments.records, names, cases_of(arguments.seeds), function)
    found = read(arguments.records)
    print(tables(found))
    if arguments.figure:
        figure(found, FIGURES / f"{file.stem}.png")
