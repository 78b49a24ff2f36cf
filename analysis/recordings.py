"""How spikes become points: which smoothing and which rule for outliers, and what verdicts the defaults lead to.

    python -m analysis.recordings                 runs what is missing among the records and prints the tables
    python -m analysis.recordings --print-only    prints the tables of the existing records

Populations are simulated (`riemod.recordings.simulate`): 20 min, Poisson spikes, peak rates from 10 to 30/s. The part
"choose" has seeds from 100 on: for each smoothing and rule, the pieces and long bars of the cloud, without nulls. The
part "judge" has seeds from 1 on: `ModuliRecovery`, with 40 nulls of each kind, on the cloud that `prepare` makes by
default; three seeds for two populations, ten for the others. One row is written after each cloud, so an interrupted
study goes on where it stopped.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from riemod._files import append_line
from riemod.recordings import (
    Recording,
    bin_activity,
    from_spikes,
    inliers,
    prepare,
    principal_components,
    simulate,
    smoothed,
    stabilized,
)
from riemod.recordings.prepare import BIN_WIDTH
from riemod.topology import ModuliRecovery, densest
from riemod.topology.landmarks import denoised, fitting_metric, landmark_distances
from riemod.topology.verdict import FLOORS, bars, count

RECORD = Path(__file__).parent / "records" / "recordings.jsonl"
SMOOTHINGS = (0.05, 0.1, 0.15, 0.2, 0.3)
RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "all": lambda points: np.arange(len(points)),
    "densest 80 %": lambda points: densest(points, 0.8, 100),
    "inliers 80 %": lambda points: np.flatnonzero(inliers(points, 0.8, 300)),
}
_POINTS, _COMPONENTS, _MINUTES = 2000, 6, 20.0
_NULLS = 40
# These have so many seeds in the part "judge".
_FEWER = {"60 head direction cells, uneven": 3, "120 place cells": 3}


def uneven_head_direction(units: int, generator: torch.Generator) -> Recording:
    """Simulate head direction cells of a rat that looks one way ten times as often as the other way."""
    walk = simulate.random_walk(_MINUTES, generator=generator)
    angle = np.linspace(0, 2 * np.pi, 4001)
    seen = np.cumsum(np.exp(np.log(10) / 2 * np.cos(angle)))
    heading = np.interp(walk.heading / (2 * np.pi), (seen - seen[0]) / (seen[-1] - seen[0]), angle)
    drawn = torch.rand(2, units, generator=generator, dtype=torch.float64).numpy()
    rates = (10 + 20 * drawn[1]) * np.exp((np.cos(heading[:, None] - 2 * np.pi * drawn[0]) - 1) / 0.6**2)
    trains = simulate.poisson_spikes(rates, generator=generator)
    tracks = {"position": walk.position, "position_times": walk.times, "heading": heading}
    return from_spikes(trains, spans=(0.0, 60 * _MINUTES), **tracks)


POPULATIONS: dict[str, tuple[str, Callable[[torch.Generator], Recording]]] = {
    "60 head direction cells": ("circle", lambda g: simulate.head_direction_cells(60, _MINUTES, generator=g)),
    "120 head direction cells": ("circle", lambda g: simulate.head_direction_cells(120, _MINUTES, generator=g)),
    "60 head direction cells, uneven": ("circle", lambda g: uneven_head_direction(60, g)),
    "30 grid cells": ("torus", lambda g: simulate.grid_module(30, _MINUTES, generator=g)),
    "60 grid cells": ("torus", lambda g: simulate.grid_module(60, _MINUTES, generator=g)),
    "120 grid cells": ("torus", lambda g: simulate.grid_module(120, _MINUTES, generator=g)),
    "120 place cells": ("contractible", lambda g: simulate.place_cells(120, _MINUTES, generator=g)),
}


def longest_bars(points: np.ndarray) -> dict[str, Any]:
    """Return the longest bars of a cloud as `ModuliRecovery` sees them, modulo 2, and its metric."""
    clean = denoised(points)
    metric = fitting_metric(clean)
    landmarks = landmark_distances(clean, metric, torch.Generator().manual_seed(0))
    lived = bars(landmarks, (2,))
    found = lived.diagrams[2]
    lengths = [np.sort(found[degree][:, 1] / found[degree][:, 0])[::-1][:3].round(3).tolist() for degree in (1, 2)]
    numbers = list(count(landmarks, lived, FLOORS)[2])
    return {"numbers": numbers, "loops": lengths[0], "voids": lengths[1], "metric": metric}


def choose(population: str, seed: int, done: set[tuple[Any, ...]], record: Path) -> None:
    """Write the bars of one population for each smoothing and rule that has no row."""
    wanted = [(sm, rule) for sm in SMOOTHINGS for rule in RULES if ("choose", population, seed, sm, rule) not in done]
    if not wanted:
        return
    generator = torch.Generator().manual_seed(seed)
    binned = bin_activity(POPULATIONS[population][1](generator), BIN_WIDTH)
    for smoothing in dict.fromkeys(smoothing for smoothing, _ in wanted):
        points, _ = principal_components(stabilized(smoothed(binned, smoothing)), _COMPONENTS)
        for rule in (rule for one, rule in wanted if one == smoothing):
            kept = RULES[rule](points)
            drawn = kept[torch.randperm(len(kept), generator=torch.Generator().manual_seed(seed))[:_POINTS].numpy()]
            row = {"part": "choose", "population": population, "seed": seed, "smoothing": smoothing, "rule": rule}
            append_line(record, json.dumps(row | longest_bars(points[np.sort(drawn)])))


def judge(population: str, seed: int, record: Path) -> None:
    """Write the verdict on one population, prepared by the defaults."""
    generator = torch.Generator().manual_seed(seed)
    prepared = prepare(POPULATIONS[population][1](generator), generator=generator)
    start = time.process_time()
    found = ModuliRecovery(n_nulls=_NULLS, random_state=seed).fit(prepared.cloud)
    row = {
        "part": "judge",
        "population": population,
        "seed": seed,
        "settings": prepared.settings,
        "nulls": _NULLS,
        "manifold": found.manifold_,
        "reason": found.reason_,
        "p_values": {str(degree): round(float(p), 4) for degree, p in found.p_values_.items()},
        "longest": {str(degree): round(float(ratio), 3) for degree, ratio in found.longest_.items()},
        "dimension": [round(float(dim), 2) for dim in found.dimension_],
        "metric": found.metric_,
        "processor_seconds": round(time.process_time() - start, 1),
    }
    append_line(record, json.dumps(row))


def tables(rows: list[dict[str, Any]]) -> str:
    """Make two Markdown tables of the rows: what was chosen among, and the verdicts."""
    right: dict[tuple[str, float], dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    expected = {"circle": [1, 1, 0], "torus": [1, 2, 1], "contractible": [1, 0, 0]}
    for row in rows:
        if row["part"] == "choose":
            name = row["population"]
            right[row["rule"], row["smoothing"]][name].append(row["numbers"] == expected[POPULATIONS[name][0]])
    names = [name for name in POPULATIONS if any(name in found for found in right.values())]
    lines = [f"| points kept | smoothing, s | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for (rule, smoothing), found in sorted(right.items()):
        cells = [f"{sum(found[name])} of {len(found[name])}" if found[name] else "" for name in names]
        lines.append(f"| {rule} | {smoothing:g} | {' | '.join(cells)} |")
    lines += ["", "| population | expected | verdicts |", "|---|---|---|"]
    for name, (truth, _) in POPULATIONS.items():
        seen = [row["manifold"] for row in rows if row["part"] == "judge" and row["population"] == name]
        if seen:
            listed = ", ".join(f"{verdict} {seen.count(verdict)}" for verdict in sorted(set(seen)))
            lines.append(f"| {name} | {truth} | {listed} |")
    return "\n".join(lines)


def read(record: Path) -> list[dict[str, Any]]:
    """Read the rows; a last one that was cut by a crash is left out."""
    lines = record.read_text().splitlines(keepends=True) if record.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--choose-seeds", type=int, default=3)
    parser.add_argument("--judge-seeds", type=int, default=10)
    parser.add_argument("--print-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.print_only:
        rows = read(arguments.record)
        chosen = {
            ("choose", r["population"], r["seed"], r["smoothing"], r["rule"]) for r in rows if r["part"] == "choose"
        }
        judged = {(r["population"], r["seed"]) for r in rows if r["part"] == "judge"}
        for seed in range(max(arguments.choose_seeds, arguments.judge_seeds)):
            for population in POPULATIONS:
                if seed < arguments.choose_seeds:
                    choose(population, 100 + seed, chosen, arguments.record)
                judging = seed < min(arguments.judge_seeds, _FEWER.get(population, arguments.judge_seeds))
                if judging and (population, 1 + seed) not in judged:
                    judge(population, 1 + seed, arguments.record)
    print(tables(read(arguments.record)))


if __name__ == "__main__":
    main()
