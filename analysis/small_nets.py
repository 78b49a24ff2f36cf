"""What the studies of small navigation nets share: configurations, a training loop, records and tables.

Nets have 120 ReLU units and walk 10 steps; training one takes 5 to 10 s on one core. The width of place codes is 0.45
of the arena's diameter; the box has that of the torus. Lengths are in m, errors in cm.
"""

import argparse
import functools
import json
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.intervals import mean_and_half_width
from riemod.coactivity.states import watching
from riemod.evidence import PointEvidence
from riemod.initialization import seeded_draws
from riemod.optim import riemannian_adam
from riemod.pruning import MagnitudePruner
from riemod.regularization import ModuliRegularizer
from riemod.regularization.weights import recurrent_weights
from riemod.tasks.navigation import Navigation, NavigationConfig, NavigationModel
from riemod.training import Stream, generator_for

RECORDS = Path(__file__).parent / "records"
FIGURES = Path(__file__).parents[1] / "docs" / "_static"
# Tiles of larger nets are compiled, which takes longer than training these.
UNITS = 120
# Width of the place code, as a share of the arena's diameter.
WIDE = 0.45
EPOCHS = 16
EVALUATION_BATCHES = 20
Row = dict[str, Any]
Case = tuple[Hashable, ...]


def config(arena: str, seed: int, *, code: float = WIDE, **changes: Any) -> NavigationConfig:
    """Configure a small net in an arena, with a place code of width `code` times the arena's diameter.

    The learning rate falls over the second half of training, or over `tail_epochs`.
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
    evidence: PointEvidence | None = None,
    skip: int = 0,
) -> None:
    """Train a fresh net in memory, to the same bits as `riemod.training.train`.

    `train` keeps a folder with checkpoints and builds model, points and pruner from names in a configuration. The
    studies have rescaled manifolds, shuffled coefficients and points that follow the net after each step, which no
    configuration names.

    Args:
        task: with the configuration.
        model: changed in place.
        moduli: its penalty is added and its learned points are moved.
        pruner: its schedule is followed.
        watch: called after each step with the number of steps done, the factor of the rates and the hidden states.
        evidence: moves the regularizer's points; if it needs states, it observes those of every 10th step of an epoch.
        skip: number of first steps of each walk that the evidence does not observe.
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
                    loss = loss + moduli()
                if evidence is not None:
                    if evidence.needs_states and step % 10 == 0:
                        evidence.observe(seen[skip:])
                    loss = loss + evidence()
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
    """Read the rows that have all names; leave out a last line that a kill cut off."""
    if not file.is_file():
        return []
    lines = file.read_bytes().split(b"\n")[:-1]
    return [row for row in map(json.loads, lines) if all(name in row for name in names)]


def run_missing(
    file: Path, names: Sequence[str], cases: Iterable[Case], function: Callable[..., Row | list[Row]]
) -> None:
    """Run each case that has no record yet, and append its rows in one write, each with `names` and their values first.

    Args:
        file: of JSON lines; an incomplete last line, left by a kill, is cut off.
        names: of the values of a case.
        cases: in the order in which they are run.
        function: takes the values of a case and returns one row or several.
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
        # Unbuffered: a kill leaves either all rows of a case or none.
        with file.open("ab", buffering=0) as lines:
            lines.write("".join(json.dumps(row) + "\n" for row in rows).encode())
        print(file.stem, *case, flush=True)


def _rounded(row: Row) -> Row:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


def summary(values: Iterable[float], digits: int = 2) -> str:
    """Format the mean ± half its 95 % interval, or a single value alone."""
    mean, half = mean_and_half_width(values)
    return f"{mean:.{digits}f}" if math.isnan(half) else f"{mean:.{digits}f} ± {half:.{digits}f}"


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *lines))


def run_study(
    description: str | None,
    file: Path,
    names: Sequence[str],
    cases_of: Callable[[int], Iterable[Case]],
    function: Callable[..., Row | list[Row]],
    seeds: int,
    tables: Callable[[list[Row]], str],
    figure: Callable[[list[Row], Path], None] | None = None,
) -> None:
    """Run the command line of a study: run missing cases on one thread, print tables, draw the figure on request.

    Args:
        description: of the command.
        file: default file of the records; the figure has its name.
        names: of the values of a case.
        cases_of: maps a number of seeds to the cases, in the order in which they are run.
        function: as for `run_missing`.
        seeds: default number of seeds.
        tables: formats the tables of the records.
        figure: draws the records into a file; without it there is no option `--figure`.
    """
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=file)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--print-only", action="store_true")
    if figure is not None:
        parser.add_argument("--figure", action="store_true")
    arguments = parser.parse_args()
    if not arguments.print_only:
        run_missing(arguments.records, names, cases_of(arguments.seeds), function)
    found = read(arguments.records)
    print(tables(found))
    if figure is not None and arguments.figure:
        figure(found, FIGURES / f"{file.stem}.png")
