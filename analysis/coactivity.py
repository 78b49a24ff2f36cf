"""Do points that follow co-activity recover where units are tuned? On synthetic units, and on nets trained in arenas.

Two distances between units are the truth, and both are compared by rank correlation over pairs: *places*, the geodesic
distance of the places where units are most active on average, and *tuning*, 1 minus the correlation of their rate maps.
The *ceiling* is what the correlations themselves reach: the rank correlation of -c_jk with the same distances.

Synthetic units are bumps at random places, or mixed: rectified random functions, smooth over the same length, with
several fields. Nets learn navigation with a narrow or a wide place code; the same net gives points that moved while it
trained (no penalty on the weights, so that they are what they would be without) and points fitted afterwards.

python -m analysis.coactivity synthetic   # run what is missing of the first study, then print its table
python -m analysis.coactivity nets        # of the second
python -m analysis.coactivity tables      # print the tables of the committed records
"""

import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from analysis.nets import RECORDS, Row, markdown, read, run_missing, summary
from analysis.points import agreement, correlations_of, truths
from riemod import manifolds
from riemod.manifolds import Manifold
from riemod.regularization import fit_positions, fit_to_correlations
from riemod.tasks.navigation import Navigation, NavigationConfig, NavigationModel
from riemod.training import train
from riemod.training.assembly import start
from riemod.training.runs import RunDescription, RunFolder

ARENAS = ("circle", "torus", "sphere")
SEEDS = range(3)
# Below the size from which tiles are compiled, which takes longer than these fits.
UNITS, STATES = 96, 2000
# Of the arena's diameter.
LENGTHS = (0.1, 0.2)
CODES = {"wide": 0.45, "narrow": 0.15}
RESTARTS, STEPS = 4, 200


def place_units(arena: Manifold, length: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """(states, positions, places of the units): Gaussian bumps, half to one and a half times as wide as `length`."""
    positions, places = (arena.sample(count, generator=generator) for count in (STATES, UNITS))
    width = length * (0.5 + torch.rand(UNITS, generator=generator))
    return torch.exp(-(arena.distance(positions, places) ** 2) / (2 * width**2)), positions, places


def mixed_units(arena: Manifold, length: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """(states, positions, places of the highest peak): rectified sums of 400 bumps of random sign."""
    positions, centers = (arena.sample(count, generator=generator) for count in (STATES, 400))
    bumps = torch.exp(-(arena.distance(positions, centers) ** 2) / (2 * length**2))
    functions = bumps @ torch.randn(400, UNITS, generator=generator)
    states = torch.relu(functions / functions.std(0) - 0.5 * torch.rand(UNITS, generator=generator))
    return states, positions, positions[states.argmax(0)]


def synthetic_row(kind: str, name: str, length: float, seed: int) -> Row:
    """One fit to synthetic units."""
    arena, generator = manifolds.by_name(name), torch.Generator().manual_seed(seed)
    units = {"place": place_units, "mixed": mixed_units}[kind]
    states, positions, places = units(arena, length * arena.diameter, generator)
    correlations = correlations_of(states)
    fitted = fit_to_correlations(correlations, arena, restarts=RESTARTS, steps=STEPS, generator=generator)
    true = truths(arena, states, positions, places)
    return {
        **{f"ceiling {key}": agreement(-correlations, value) for key, value in true.items()},
        **{f"fitted {key}": agreement(fitted.distances().detach(), value) for key, value in true.items()},
    }


def net_config(name: str, code: str, seed: int) -> NavigationConfig:
    """A small net whose points follow co-activity alone, at no cost to its weights."""
    preset = Navigation.presets["cpu"]
    assert isinstance(preset, NavigationConfig)
    plan = dataclasses.replace(preset, arena=name, landmarks=64, width=0.3)
    arena = Navigation(plan).arena
    assert arena is not None
    epochs = 8 if name == "circle" else 16
    return dataclasses.replace(
        plan,
        width=CODES[code] * arena.manifold.diameter,
        seed=seed,
        threads=1,
        hidden_size=96,
        steps=10,
        batch_size=48,
        epochs=epochs,
        batches_per_epoch=100,
        learning_rate=4e-3,
        dense_epochs=0,
        tail_epochs=epochs // 2,
        evaluation_batches=5,
        manifold=name,
        learn=True,
        evidence="coactivity",
        strength=0.0,
        embedding_learning_rate=0.1,
    )


def net_row(code: str, name: str, seed: int) -> Row:
    """One net, its points from training, and points fitted to it afterwards."""
    config = net_config(name, code, seed)
    with tempfile.TemporaryDirectory() as folder:
        run = start(RunFolder(Path(folder) / "run"), RunDescription("navigation", config, None))
        record = train(run)
    task, model, moduli = run.task, run.model, run.moduli
    assert isinstance(task, Navigation)
    assert isinstance(model, NavigationModel)
    assert task.arena is not None
    assert moduli is not None
    model.eval()
    states, positions = task.states(model, torch.Generator().manual_seed(seed), 400)
    correlations = correlations_of(states)
    # A unit that is silent has no place.
    awake = correlations.diagonal() > 0.5
    inputs = [batch[:2] for batch in task.batches(torch.Generator().manual_seed(seed), 10)]
    space, generator = manifolds.by_name(name), torch.Generator().manual_seed(seed)
    fitted = fit_positions(model, inputs, space, restarts=RESTARTS, steps=STEPS, generator=generator)
    order = torch.randperm(len(states), generator=generator)
    true = truths(task.arena.manifold, states[order][:, awake], positions[order])
    found = {"during": moduli.layer_embeddings(0)[0].distances().detach(), "after": fitted.distances().detach()}
    levels, metrics = record["levels"], record["metrics"]
    return {
        "error": metrics["error_top3"]["value"],
        "floor": levels["error_top3 of a perfect net"]["value"],
        "still": levels["error_top3 of holding the start"]["value"],
        "awake": int(awake.sum()),
        **{f"ceiling {key}": agreement(-correlations[awake][:, awake], value) for key, value in true.items()},
        **{
            f"{when} {key}": agreement(distances[awake][:, awake], value)
            for when, distances in found.items()
            for key, value in true.items()
        },
    }


STUDIES: dict[str, tuple[Callable[..., Row], tuple[str, ...], list[tuple[Any, ...]]]] = {
    "synthetic": (
        synthetic_row,
        ("kind", "arena", "length", "seed"),
        list(itertools.product(("place", "mixed"), ARENAS, LENGTHS, SEEDS)),
    ),
    "nets": (
        net_row,
        ("code", "arena", "seed"),
        list(itertools.product(CODES, ARENAS, SEEDS)),
    ),
}


def file_of(study: str) -> Path:
    """The records of a study."""
    return RECORDS / f"coactivity-{study}.jsonl"


def table(study: str) -> str:
    """Means and intervals over seeds, a line for each case, in Markdown."""
    _, names, cases = STUDIES[study]
    rows = read(file_of(study))
    if not rows:
        return f"no records of {study}"
    columns = [key for key in rows[0] if key not in names]
    lines = []
    for case in dict.fromkeys(case[:-1] for case in cases):
        own = [row for row in rows if tuple(row[name] for name in names[:-1]) == case]
        if own:
            lines.append([*map(str, case), str(len(own)), *(summary(row[key] for row in own) for key in columns)])
    return markdown((*names[:-1], "n", *columns), lines)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in (*STUDIES, "tables"):
        sys.exit(f"usage: python -m analysis.coactivity {'|'.join(STUDIES)}|tables")
    torch.set_num_threads(1)
    for study in STUDIES if sys.argv[1] == "tables" else [sys.argv[1]]:
        if sys.argv[1] != "tables":
            function, names, cases = STUDIES[study]
            run_missing(file_of(study), names, cases, function)
        print(table(study))
