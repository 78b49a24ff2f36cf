"""Do points that follow co-activity recover the tuning of units? On synthetic units, and on nets trained in arenas.

Points are compared with two true distances between units, by rank correlation over pairs: *places*, the geodesic
distance of the places where units are most active on average, and *tuning*, 1 minus the correlation of their rate maps.
The *ceiling* is the rank correlation of -c_jk with the same distances, which the correlations themselves reach.

Synthetic units are bumps at random places, or mixed: rectified random functions with several fields, smooth over the
same length. Nets learn navigation with a narrow or a wide place code. Each net gives points that moved while it
trained, and points fitted afterwards. The weights pay no penalty, so the points do not change them.

Points on spheres by least squares are in `analysis.spheres`.

python -m analysis.coactivity synthetic           # run missing cases with synthetic units, then print the table
python -m analysis.coactivity nets                # the same with nets
python -m analysis.coactivity spheres             # with points on spheres, fitted to synthetic units
python -m analysis.coactivity trained --runs DIR  # with points on spheres, fitted to the runs of the confusion study
python -m analysis.coactivity training            # with points on spheres that follow a net while it trains
python -m analysis.coactivity tables              # print the tables of the committed records
"""

import argparse
import functools
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from analysis import small_nets, spheres
from analysis.points import agreement, correlations_of, truths
from analysis.small_nets import RECORDS, Row, markdown, read, run_missing, summary
from riemod import manifolds
from riemod.coactivity import fit_positions, fit_to_correlations
from riemod.manifolds import Manifold, Sphere
from riemod.tasks.navigation import Navigation, NavigationConfig, NavigationModel
from riemod.training import RunDescription, RunFolder, start, train

ARENAS = ("circle", "torus", "sphere")
SEEDS = range(3)
# Tiles of more units are compiled, which takes longer than these fits.
UNITS, STATES = 96, 2000
# Widths of fields and place codes, as shares of the arena's diameter.
LENGTHS = (0.1, 0.2)
CODES = {"wide": small_nets.WIDE, "narrow": 0.15}
RESTARTS, STEPS = 4, 200
# Seeds are outermost, so that a study that was stopped has every arena.
NETS: list[tuple[Any, ...]] = [(arena, seed) for seed in range(5) for arena in ARENAS]


def place_units(arena: Manifold, length: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw Gaussian bumps with widths of 0.5 to 1.5 `length`: (states, positions, places of the units)."""
    positions, places = (arena.sample(count, generator=generator) for count in (STATES, UNITS))
    width = length * (0.5 + torch.rand(UNITS, generator=generator))
    return torch.exp(-(arena.distance(positions, places) ** 2) / (2 * width**2)), positions, places


def mixed_units(arena: Manifold, length: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw rectified sums of 400 bumps of random sign: (states, positions, places of the highest peak)."""
    positions, centers = (arena.sample(count, generator=generator) for count in (STATES, 400))
    bumps = torch.exp(-(arena.distance(positions, centers) ** 2) / (2 * length**2))
    functions = bumps @ torch.randn(400, UNITS, generator=generator)
    states = torch.relu(functions / functions.std(0) - 0.5 * torch.rand(UNITS, generator=generator))
    return states, positions, positions[states.argmax(0)]


def synthetic_row(kind: str, name: str, length: float, seed: int) -> Row:
    """Fit points to synthetic units once."""
    arena, generator = manifolds.by_name(name), torch.Generator().manual_seed(seed)
    units = {"place": place_units, "mixed": mixed_units}[kind]
    states, positions, places = units(arena, length * arena.diameter, generator)
    correlations = correlations_of(states)
    fitted = fit_to_correlations(correlations, arena, restarts=RESTARTS, steps=STEPS, generator=generator)
    true = truths(states, positions, arena, places)
    return {
        **{f"ceiling {key}": agreement(-correlations, value) for key, value in true.items()},
        **{f"fitted {key}": agreement(fitted.distances().detach(), value) for key, value in true.items()},
    }


def sphere_row(kind: str, name: str, seed: int) -> Row:
    """Fit points on S^5 to synthetic units by least squares, as to nets: this is what they can tell at that size."""
    arena, generator = manifolds.by_name(name), torch.Generator().manual_seed(seed)
    units = {"place": place_units, "mixed": mixed_units}[kind]
    states, positions, places = units(arena, LENGTHS[-1] * arena.diameter, generator)
    correlations = correlations_of(states)
    true = truths(states, positions, arena, places)
    return spheres.measure(spheres.fit(correlations, Sphere(5), seed, own=False), correlations, true, name, seed)


def net_config(name: str, code: str, seed: int) -> NavigationConfig:
    """Configure a small net whose points follow co-activity alone, without a penalty on its weights."""
    return small_nets.config(
        name,
        seed,
        code=CODES[code],
        hidden_size=UNITS,
        epochs=8 if name == "circle" else 16,
        evaluation_batches=5,
        manifold=name,
        learn=True,
        evidence="coactivity",
        strength=0.0,
        embedding_learning_rate=0.1,
    )


def net_row(code: str, name: str, seed: int) -> Row:
    """Train a net, and measure its points from training and points fitted to it afterwards."""
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
    # A silent unit has no place.
    awake = correlations.diagonal() > 0.5
    inputs = [batch[:2] for batch in task.batches(torch.Generator().manual_seed(seed), 10)]
    space, generator = manifolds.by_name(name), torch.Generator().manual_seed(seed)
    fitted = fit_positions(model, inputs, space, restarts=RESTARTS, steps=STEPS, generator=generator)
    order = torch.randperm(len(states), generator=generator)
    true = truths(states[order][:, awake], positions[order], task.arena.manifold)
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


STUDIES: dict[str, tuple[Callable[..., Row | list[Row]], tuple[str, ...], list[tuple[Any, ...]]]] = {
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
    "spheres": (sphere_row, ("kind", "arena", "seed"), list(itertools.product(("place", "mixed"), ARENAS, SEEDS))),
    "trained": (spheres.trained_rows, ("arena", "seed"), NETS),
    "training": (spheres.training_rows, ("arena", "seed"), NETS),
}


def file_of(study: str) -> Path:
    """Return the file with the records of a study."""
    return RECORDS / f"coactivity-{study}.jsonl"


def table(study: str) -> str:
    """Format means and intervals over seeds, a line for each case; of values that are no numbers, their counts."""
    _, names, _ = STUDIES[study]
    rows = read(file_of(study))
    if not rows:
        return f"no records of {study}"
    group = [*names[:-1], *(["points"] if "points" in rows[0] else [])]
    columns = [key for key, value in rows[0].items() if key not in (*group, *names) and not isinstance(value, dict)]
    cases = list(dict.fromkeys(tuple(row[name] for name in group) for row in rows))
    firsts = [case[0] for case in cases]
    lines = []
    for case in sorted(cases, key=lambda case: firsts.index(case[0])):
        own = [row for row in rows if tuple(row[name] for name in group) == case]
        lines.append([*map(str, case), str(len(own)), *(_cell([row[key] for row in own]) for key in columns)])
    return markdown((*group, "n", *columns), lines)


def _cell(values: list[Any]) -> str:
    if all(isinstance(value, int | float) for value in values):
        return summary(values)
    return ", ".join(f"{value}: {count}" for value, count in Counter(values).most_common())


def main() -> None:
    """Run missing cases of a study, if one is named, and print its table; or print all tables."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=(*STUDIES, "tables"))
    parser.add_argument("--runs", type=Path, help="of the confusion study; for trained")
    arguments = parser.parse_args()
    if arguments.study == "tables":
        print(*map(table, STUDIES), sep="\n\n")
        return
    function, names, cases = STUDIES[arguments.study]
    if arguments.study == "trained":
        if arguments.runs is None:
            parser.error("trained needs --runs")
        function = functools.partial(spheres.trained_rows, arguments.runs)
    run_missing(file_of(arguments.study), names, cases, function)
    print(table(arguments.study))


if __name__ == "__main__":
    main()
