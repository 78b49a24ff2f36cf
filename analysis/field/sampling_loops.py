"""Why do place cells seem to fill a circle? The loops that sampling makes, and how they differ from those of manifolds.

120 place cells (clean rates, fields of 0.2 m) in a box of 1 m, 2,000 states, one thing changed at a time: the path (a
real rat's; a random walk with nearly even occupancy; independent places) and the metric (along the graph, straight).
Beside them place codes of a torus and of a Klein bottle. Of the longest loop: its ratio, death / birth, and its death
as a share of the enclosing radius; of manifolds the second longest loop, which is their weakest.

    python -m analysis.field.sampling_loops                 runs missing cases and prints the table
    python -m analysis.field.sampling_loops --print-only    prints the table of the existing records

Seeds from 100 on: the smallest size of a loop that counts (`riemod.topology.verdict.SMALLEST`) was chosen on them.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from analysis import clouds, small_nets
from analysis.field import populations
from analysis.field.paths import independent, real_rat, walk
from analysis.small_nets import Row
from riemod.topology.clouds import local_pca_projection, principal_axes
from riemod.topology.landmarks import Metric, landmark_distances
from riemod.topology.verdict import REACH, bars

FILE = small_nets.RECORDS / "sampling_loops.jsonl"
NAMES = ("seed", "states", "metric")
POINTS, CELLS, SEEDS = 2000, 120, 10


def _coded(draw: Callable[[int, np.random.Generator], np.ndarray], seed: int) -> np.ndarray:
    """Encode points of a manifold by units with one Gaussian bump each, at a threshold."""
    places = draw(POINTS, np.random.default_rng([seed, 2]))
    centers = places[:CELLS]
    squared = ((places[:, None] - centers) ** 2).sum(axis=2)
    width = 0.45 * np.sqrt((centers**2).sum(axis=1).mean())
    return np.maximum(np.exp(-squared / (2 * width**2)) - 0.1, 0.0)


def _placed(seed: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng([seed, 3])
    path = {"real rat": lambda: real_rat(60.0 * seed), "walk": lambda: walk(seed)}.get(kind)
    walked = path() if path else independent(POINTS, rng)
    return populations.thinned(populations.place_cells(walked, CELLS, rng), POINTS)


STATES: dict[str, tuple[int, Callable[[int], np.ndarray]]] = {
    "place cells, real rat": (0, lambda seed: _placed(seed, "real rat")),
    "place cells, random walk": (0, lambda seed: _placed(seed, "walk")),
    "place cells, independent places": (0, lambda seed: _placed(seed, "independent")),
    "code of a torus": (2, lambda seed: _coded(clouds.KNOWN["torus"][1], seed)),
    "code of a Klein bottle": (2, lambda seed: _coded(clouds.KNOWN["klein-bottle"][1], seed)),
}


def row(seed: int, states: str, metric: Metric) -> Row:
    """Measure the longest loop of one cloud, or the second longest of a surface with two."""
    loops, draw = STATES[states]
    drawn = draw(seed)
    mean, axes = principal_axes(drawn, 16)
    clean = local_pca_projection((drawn - mean) @ axes)
    found = bars(landmark_distances(clean, metric, torch.Generator().manual_seed(seed)), (2,))
    diagram = found.diagrams[2][1]
    ratios = diagram[:, 1] / diagram[:, 0]
    index = int(np.argsort(-ratios)[max(loops - 1, 0)])
    return {"ratio": float(ratios[index]), "death": float(diagram[index, 1] / found.threshold * REACH)}


def table(rows: list[Row]) -> str:
    """Format ratios and deaths by states and metric."""
    lines = []
    for states in STATES:
        for metric in ("geodesic", "euclidean"):
            own = [found for found in rows if (found["states"], found["metric"]) == (states, metric)]
            if own:
                spans = [
                    f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"
                    for values in ([found[key] for found in own] for key in ("ratio", "death"))
                ]
                lines.append([states, metric, str(len(own)), *spans])
    return small_nets.markdown(("states", "metric", "draws", "death / birth", "death / enclosing radius"), lines)


def main() -> None:
    """Run missing cases on one thread, and print the table."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=FILE)
    parser.add_argument("--print-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.print_only:
        cases = [
            (seed, states, metric)
            for seed in range(100, 100 + SEEDS)
            for states in STATES
            for metric in ("geodesic", "euclidean")
        ]
        small_nets.run_missing(arguments.records, NAMES, cases, row)
    print(table(small_nets.read(arguments.records, NAMES)))


if __name__ == "__main__":
    main()
