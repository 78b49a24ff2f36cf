"""How often `ModuliRecovery` reads few points right, and how many points it needs.

*Judged*: 100 points of a circle, a sphere and a flat torus (unit radii) with Gaussian noise of standard deviation 0.1
in six coordinates, 20 draws each, and of data that are no closed manifold of dimension 1 or 2: S^3, a disc and a square
with the same noise, and a Gaussian in R^6 and in R^2, 60 draws each. Settings were chosen on seeds from 1000 on, which
these draws do not share.

*Sizes*: the same at 60 and 250 points, and other shapes: a torus of revolution, a 3-torus, two circles that meet, a
cylinder.

*Enough*: the smallest number of points at which 8 of 10 draws are recognized, with 40 nulls, at three levels of noise.
`riemod.topology.power` holds these numbers.

    python -m analysis.few_points                 runs missing cases and prints the tables
    python -m analysis.few_points --part judged   runs missing cases of one part alone: judged, enough, sizes
    python -m analysis.few_points --print-only    prints the tables of the existing records
"""

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from analysis import clouds, small_nets
from analysis.small_nets import Case, Row
from riemod.topology import ModuliRecovery

FILE = small_nets.RECORDS / "few_points.jsonl"
NAMES = ("part", "cloud", "points", "noise", "seed")
COORDINATES = 6
Draw = Callable[[int, np.random.Generator], np.ndarray]


def _sphere3(n: int, rng: np.random.Generator) -> np.ndarray:
    points = rng.standard_normal((n, 4))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _wedge(n: int, rng: np.random.Generator) -> np.ndarray:
    points, right = np.pad(clouds.circle(n, rng), ((0, 0), (0, 1))), rng.uniform(size=n) < 0.5
    shift = np.array([1.0, 0.0, 0.0])
    return np.where(right[:, None], points + shift, points[:, [0, 2, 1]] - shift)


def _torus3(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([clouds.circle(n, rng) for _ in range(3)], axis=1)


def _cylinder(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([clouds.circle(n, rng), rng.uniform(-1, 1, (n, 1))], axis=1)


CLOUDS: dict[str, tuple[str | None, Draw]] = {
    "circle": ("circle", clouds.circle),
    "sphere": ("sphere", clouds.sphere),
    "flat torus": ("torus", clouds.flat_torus),
    "S^3": (None, _sphere3),
    "disc": (None, clouds.disc),
    "square": (None, lambda n, rng: rng.uniform(-1, 1, (n, 2))),
    "Gaussian in R^6": (None, lambda n, rng: rng.standard_normal((n, 6))),
    "Gaussian in R^2": (None, lambda n, rng: rng.standard_normal((n, 2))),
    "torus of revolution": ("torus", clouds.torus),
    "3-torus": (None, _torus3),
    "two circles": (None, _wedge),
    # Its homotopy type is that of a circle.
    "cylinder": ("circle", _cylinder),
}
CLOSED = ("circle", "sphere", "flat torus")
OPEN = ("S^3", "disc", "Gaussian in R^6", "square", "Gaussian in R^2")
OTHER = ("torus of revolution", "3-torus", "two circles", "cylinder")
# Standard deviations of the noise in each coordinate, and numbers of points that are tried in turn.
LEVELS = (0.05, 0.1, 0.2)
LADDER = (40, 60, 80, 100, 120, 150, 200, 300, 400)
DRAWS, ENOUGH, NULLS = 10, 8, 40


def draw(cloud: str, points: int, noise: float, seed: int) -> np.ndarray:
    """Draw a cloud in at least six coordinates, with noise in all of them; seeds of clouds are independent."""
    rng = np.random.default_rng([seed, list(CLOUDS).index(cloud)])
    plain = CLOUDS[cloud][1](points, rng)
    plain = np.pad(plain, ((0, 0), (0, COORDINATES - plain.shape[1])))
    return plain + noise * rng.standard_normal(plain.shape)


def row(part: str, cloud: str, points: int, noise: float, seed: int) -> Row:
    """Fit one cloud; of "enough", count how many of ten draws are recognized."""
    if part == "enough":
        fits = (
            ModuliRecovery(n_nulls=NULLS, random_state=seed + draw_of).fit(draw(cloud, points, noise, seed + draw_of))
            for draw_of in range(DRAWS)
        )
        return {"right": sum(found.manifold_ == CLOUDS[cloud][0] for found in fits)}
    begin = time.perf_counter()
    found = ModuliRecovery(random_state=seed).fit(draw(cloud, points, noise, seed))
    return {
        "manifold": found.manifold_,
        "reason": found.reason_,
        "p_values": {str(degree): round(p, 4) for degree, p in found.p_values_.items()},
        "longest": {str(degree): round(length, 3) for degree, length in found.longest_.items()},
        "second": [round(value, 4) for value in found.second_loop_],
        "product": found.product_,
        "agreement": round(found.agreement_, 3),
        "seconds": round(time.perf_counter() - begin, 2),
    }


def judged(_file: Path) -> Iterator[Case]:
    """Yield the cases by which the estimator is judged, closed manifolds and the nearest impostors first."""
    for open_clouds, closed_clouds in ((OPEN[:3], CLOSED), (OPEN[3:], ())):
        for seed in range(60):
            yield from (("judged", cloud, 100, 0.1, seed) for cloud in closed_clouds if seed < 20)
            yield from (("judged", cloud, 100, 0.1, seed) for cloud in open_clouds)


def ladder(file: Path) -> Iterator[Case]:
    """Yield numbers of points in turn until one is enough, as the records say by then."""
    for noise in sorted(LEVELS, key=lambda level: level != LEVELS[1]):
        for cloud in CLOSED:
            for points in LADDER:
                if enough(small_nets.read(file, NAMES), cloud, noise) is None:
                    yield "enough", cloud, points, noise, 5000


def sizes(_file: Path) -> Iterator[Case]:
    """Yield other numbers of points, and other shapes."""
    for seed in range(20):
        yield from (("sizes", cloud, 60, 0.1, seed) for cloud in (*CLOSED, "S^3", "disc"))
        yield from (("sizes", cloud, 100, 0.1, seed) for cloud in OTHER)
    for seed in range(20):
        yield from (("sizes", cloud, 250, 0.1, seed) for cloud in ("flat torus", "sphere", "S^3", "3-torus", "disc"))


PARTS: dict[str, Callable[[Path], Iterator[Case]]] = {"judged": judged, "enough": ladder, "sizes": sizes}


def enough(rows: list[Row], cloud: str, noise: float) -> int | None:
    """Return the smallest number of points tried at which at least 8 of 10 draws were recognized; None if none was."""
    sizes = [
        found["points"]
        for found in rows
        if (found["part"], found["cloud"], found["noise"]) == ("enough", cloud, noise) and found["right"] >= ENOUGH
    ]
    return min(sizes, default=None)


def enough_table(rows: list[Row]) -> dict[str, tuple[tuple[float, int | None], ...]]:
    """Return the table of `riemod.topology.power`: by manifold, rows of (relative noise, points).

    A level of noise whose ladder has not been climbed to its end is left out.
    """
    radius = {"circle": 1.0, "sphere": 1.0, "flat torus": math.sqrt(2)}
    tried = {(found["cloud"], found["noise"], found["points"]) for found in rows if found["part"] == "enough"}
    table = {}
    for cloud, size in radius.items():
        levels = tuple(
            (round(noise * math.sqrt(COORDINATES) / size, 3), enough(rows, cloud, noise))
            for noise in LEVELS
            if enough(rows, cloud, noise) is not None or (cloud, noise, LADDER[-1]) in tried
        )
        if levels:
            table[str(CLOUDS[cloud][0])] = levels
    return table


def tables(rows: list[Row]) -> str:
    """Format verdicts by cloud, and how many points are enough."""
    fits = [found for found in rows if found["part"] != "enough"]
    lines = []
    for (points, cloud), _ in Counter((found["points"], found["cloud"]) for found in fits).items():
        own = [found for found in fits if (found["points"], found["cloud"]) == (points, cloud)]
        seen = Counter(found["manifold"] for found in own)
        right = CLOUDS[cloud][0]
        closed = sum(seen[name] for name in ("circle", "sphere", "torus", "klein bottle") if name != right)
        lines.append(
            [
                str(points),
                cloud,
                f"{seen[right]} of {len(own)}" if right else "",
                f"{closed} of {len(own)}",
                ", ".join(f"{name} {number}" for name, number in seen.most_common()),
                f"{np.median([found['seconds'] for found in own]):.1f}",
            ]
        )
    lines.sort(key=lambda line: (int(line[0]), list(CLOUDS).index(line[1])))
    header = ("points", "cloud", "right", "a wrong closed manifold", "verdicts", "seconds, median")
    power = [
        [name, str(noise), "more than 400" if points is None else str(points)]
        for name, levels in enough_table(rows).items()
        for noise, points in levels
    ]
    return "\n\n".join(
        (
            small_nets.markdown(header, lines),
            small_nets.markdown(("manifold", "noise, of its size", "points for 8 of 10"), power),
            f"ENOUGH = {enough_table(rows)}",
        )
    )


def main() -> None:
    """Run missing cases on one thread, and print the tables."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=FILE)
    parser.add_argument("--part", choices=tuple(PARTS), action="append")
    parser.add_argument("--print-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.print_only:
        for part in arguments.part or PARTS:
            small_nets.run_missing(arguments.records, NAMES, PARTS[part](arguments.records), row)
    print(tables(small_nets.read(arguments.records, NAMES)))


if __name__ == "__main__":
    main()
