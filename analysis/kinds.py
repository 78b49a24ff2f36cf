"""Which units are of one kind? Populations of one kind and of several, split by their activity alone.

    python -m analysis.kinds                 runs what is missing among the records and prints the table
    python -m analysis.kinds --print-only    prints the table of the existing records

Populations are simulated (`riemod.recordings.simulate`): 20 min, Poisson spikes, peak rates from 10 to 30/s unless
said. Cells of one population share a walk. `activity_modules` takes the roots of the smoothed counts that `prepare`
makes by default; no position is given. A row has the adjusted Rand index between the kinds of units and the modules
found. Cells without tuning are of no module. Settings were chosen on seeds 100 to 106; seeds 1 to 10 judge.
"""

import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from analysis import small_nets
from analysis.small_nets import Case, Row
from riemod.recordings import Recording, Spikes, bin_activity, from_spikes, simulate, smoothed, stabilized
from riemod.recordings.prepare import BIN_WIDTH, SMOOTHING
from riemod.tuning import activity_modules

FILE = small_nets.RECORDS / "kinds.jsonl"
NAMES = ("seed", "population")
SEEDS, MINUTES = 10, 20.0
_LOW = (2.0, 6.0)
Trains = list[np.ndarray]
Kind = Callable[[torch.Generator], Trains]


def _trains(recording: Recording) -> Trains:
    assert isinstance(recording.activity, Spikes)
    return list(recording.activity.times)


def grid(units: int, spacing: float = 0.6, orientation: float = 0.1, peaks: tuple[float, float] = (10.0, 30.0)) -> Kind:
    """A module of grid cells, with its spacing in m."""
    return lambda g: _trains(
        simulate.grid_module(units, MINUTES, spacing=spacing, orientation=orientation, peak_rates=peaks, generator=g)
    )


def head(units: int, width: float = 0.6) -> Kind:
    """Head direction cells, with the width of their tuning in rad."""
    return lambda g: _trains(simulate.head_direction_cells(units, MINUTES, width=width, generator=g))


def place(units: int, width: float = 0.2) -> Kind:
    """Place cells in a box of 1.5 m, with the width of their fields in m."""
    return lambda g: _trains(simulate.place_cells(units, MINUTES, width=width, generator=g))


def track(units: int, length: float = 6.0, width: float = 0.2) -> Kind:
    """Place cells that know one coordinate of a walk, as on a track of `length` m."""

    def draw(generator: torch.Generator) -> Trains:
        walked = simulate.random_walk(MINUTES, length, generator=generator).position[:, :1]
        centers = length * torch.rand(units, generator=generator, dtype=torch.float64).numpy()
        return simulate.poisson_spikes(20 * np.exp(-np.square(walked - centers) / (2 * width**2)), generator=generator)

    return draw


def untuned(units: int) -> Kind:
    """Cells that fire at constant rates from 1 to 6/s."""

    def draw(generator: torch.Generator) -> Trains:
        rates = 1 + 5 * torch.rand(units, generator=generator, dtype=torch.float64).numpy()
        return simulate.poisson_spikes(np.tile(rates, (round(60 * MINUTES), 1)), seconds=1.0, generator=generator)

    return draw


# Kinds of each population; those in the second list are of no module.
POPULATIONS: dict[str, tuple[list[Kind], list[Kind]]] = {
    "60 grid cells": ([grid(60)], []),
    "30 grid cells": ([grid(30)], []),
    "40 grid cells, 2 to 6/s": ([grid(40, peaks=_LOW)], []),
    "60 head direction cells": ([head(60)], []),
    "60 head direction cells, 0.25 rad": ([head(60, 0.25)], []),
    "40 place cells": ([place(40)], []),
    "120 place cells": ([place(120)], []),
    "120 place cells, 0.1 m": ([place(120, 0.1)], []),
    "60 place cells, track": ([track(60)], []),
    "60 untuned cells": ([], [untuned(60)]),
    "31 and 30 grid cells, 0.6 and 0.8 m": ([grid(31), grid(30, 0.8, 0.4)], []),
    "31 and 30 grid cells, 0.6 and 0.85 m, one orientation": ([grid(31), grid(30, 0.85)], []),
    "31 and 30 grid cells, 2 to 6/s": ([grid(31, peaks=_LOW), grid(30, 0.8, 0.4, _LOW)], []),
    "40 grid and 30 head direction cells": ([grid(40), head(30)], []),
    "40 grid and 40 place cells": ([grid(40), place(40)], []),
    "30 head direction and 40 place cells": ([head(30), place(40)], []),
    "40 grid and 20 untuned cells": ([grid(40)], [untuned(20)]),
    "31 and 30 grid, 29 head direction cells": ([grid(31), grid(30, 0.8, 0.4), head(29)], []),
    "31 and 30 grid, 29 head direction, 28 place cells": (
        [grid(31), grid(30, 0.8, 0.4), head(29), place(28)],
        [],
    ),
}


def row(seed: int, population: str) -> Row:
    """Split one population, and compare the modules with the kinds."""
    tuned, others = POPULATIONS[population]
    # The same seed, and so the same walk, for all kinds of tuned cells; other numbers for those without a walk.
    parts = [draw(torch.Generator().manual_seed(seed)) for draw in tuned]
    parts += [draw(torch.Generator().manual_seed(5000 + seed)) for draw in others]
    kinds = np.repeat([*range(len(tuned)), *len(others) * [-1]], [len(part) for part in parts])
    recording = from_spikes([train for part in parts for train in part], spans=(0.0, 60 * MINUTES))
    activity = stabilized(smoothed(bin_activity(recording, BIN_WIDTH), SMOOTHING))
    begin = time.process_time()
    found = activity_modules(activity, generator=torch.Generator().manual_seed(seed))
    return {
        "index": float(adjusted_rand_score(kinds, found)),
        "sizes": np.bincount(found[found >= 0]).tolist(),
        "unassigned": int((found < 0).sum()),
        "processor_seconds": round(time.process_time() - begin, 2),
    }


def tables(rows: list[Row]) -> str:
    """Format indices, and the numbers of modules found, by population."""
    lines = []
    for name, (tuned, _) in POPULATIONS.items():
        own = [found for found in rows if found["population"] == name]
        if own:
            indices = [found["index"] for found in own]
            right = sum(len(found["sizes"]) == len(tuned) for found in own)
            lines.append(
                [
                    name,
                    str(len(tuned)),
                    f"{right} of {len(own)}",
                    f"{np.median(indices):.2f}",
                    f"{min(indices):.2f}",
                    f"{np.mean([found['unassigned'] for found in own]):.1f}",
                ]
            )
    header = ("population", "kinds", "as many modules", "index, median", "lowest", "units of none, mean")
    return small_nets.markdown(header, lines)


def cases(seeds: int) -> Iterable[Case]:
    """Seeds 1 to `seeds` of each population."""
    return [(seed, population) for seed in range(1, seeds + 1) for population in POPULATIONS]


if __name__ == "__main__":
    small_nets.run_study(__doc__, FILE, NAMES, cases, row, SEEDS, tables)
