"""How far off may points be before a torus, or a sphere, of 240 points can no longer be read?

The points of `analysis.neutral` agree with the places of their units less than the places themselves do. Here nothing
but that agreement changes: 240 uniform places, embedded as there, get Gaussian noise in six coordinates. Each row has
the agreement of the noisy points' distances with the places' and the verdict of `ModuliRecovery`.

python -m analysis.blurred                # run what is missing, seeds outermost, then print the table
python -m analysis.blurred --print-only   # print the table of the committed records
"""

from collections.abc import Sequence

import torch

from analysis.neutral import embedded
from analysis.points import agreement
from analysis.small_nets import RECORDS, Row, markdown, run_study, summary
from riemod import manifolds, topology

RECORD = RECORDS / "blurred.jsonl"
ARENAS = ("torus", "sphere")
POINTS, COORDINATES, SEEDS = 240, 6, 3
# Standard deviations in each coordinate, in units of a circle's radius or of the sphere's.
NOISES = (0.1, 0.2, 0.3, 0.4)


def row(arena: str, noise: float, seed: int) -> Row:
    """Blur places of one arena, and read them."""
    generator = torch.Generator().manual_seed(seed)
    space = manifolds.by_name(arena)
    places = space.sample(POINTS, generator=generator, dtype=torch.float64)
    clean = embedded(places, space)
    if arena == "sphere":
        clean = clean / clean.norm(dim=1, keepdim=True)
    padded = torch.cat((clean, clean.new_zeros(POINTS, COORDINATES - clean.shape[1])), 1)
    points = padded + noise * torch.randn(padded.shape, generator=generator, dtype=torch.float64)
    found = topology.ModuliRecovery(random_state=seed).fit(points)
    return {
        "places": agreement(torch.cdist(points, points), space.distance(places, places)),
        "verdict": found.manifold_,
        "betti 2": list(found.betti_[2].numbers),
    }


def tables(rows: Sequence[Row]) -> str:
    """Format the agreement and the verdicts by arena and noise."""
    lines = []
    for arena in ARENAS:
        for noise in NOISES:
            own = [found for found in rows if (found["arena"], found["noise"]) == (arena, noise)]
            if own:
                right = sum(found["verdict"] == arena for found in own)
                agreements = summary([found["places"] for found in own])
                lines.append([arena, str(noise), agreements, f"{right} of {len(own)}"])
    return markdown(("arena", "noise", "places", "right verdict"), lines)


def cases(seeds: int) -> list[tuple[str, float, int]]:
    """List the cases, seeds outermost."""
    return [(arena, noise, seed) for seed in range(seeds) for noise in NOISES for arena in ARENAS]


if __name__ == "__main__":
    run_study(__doc__, RECORD, ("arena", "noise", "seed"), cases, row, SEEDS, tables)
