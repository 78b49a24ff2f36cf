"""The frontier of a suite: what its nets err, against what they cost to run."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from riemod.plotting import FrontierPoint, draw_frontier
from riemod.suites.errors import SuiteError
from riemod.suites.figures import digest_of, save_marked
from riemod.suites.measures import BATCHES, Cost, read_measures
from riemod.suites.plan import Suite
from riemod.suites.rows import cells

__all__ = ["COSTS", "FrontierLine", "frontier", "frontier_digest", "frontier_table", "save_frontier"]

COSTS: Mapping[str, str] = {
    "multiply_adds": "multiply-adds a step",
    "bytes": "kB",
    **{f"seconds_{size}": f"ms, {'one sequence' if size == 1 else f'{size} sequences'}" for size in BATCHES},
}
"""The costs of a net by name, as headings say them, with their units."""
_DENSE = 0.0


class FrontierLine(NamedTuple):
    """Holds the runs of one arm at one sparsity."""

    arm: str
    sparsity: float
    errors: tuple[float, ...]
    """Of the runs, in the order of their seeds."""
    lost: int
    """Number of lost runs among them."""
    costs: Mapping[str, float]
    """Mean over the runs, by the names of `COSTS`, in the units of these."""
    forms: tuple[str, ...]
    """The form that was fastest in most runs, for each of `BATCHES`."""

    @property
    def mean(self) -> float:
        """The mean error."""
        return float(np.mean(self.errors))

    @property
    def is_dense(self) -> bool:
        """Whether nothing was pruned."""
        return self.sparsity == _DENSE


def frontier(suite: Suite, folder: Path, metric: str | None = None) -> list[FrontierLine]:
    """Join the records of a suite's finished runs with what was measured on their nets.

    Args:
        suite: from `load_suite`.
        folder: of its results, with the file that `riemod measure` wrote.
        metric: the error; None for the suite's first metric.

    Returns:
        A line for each arm and sparsity, in the order of the suite's arms and of sparsities.

    Raises:
        SuiteError: nothing was measured, no run is finished, or a net was not measured since its run finished.
    """
    metric = suite.metrics[0] if metric is None else metric
    measured, rows = read_measures(suite, folder), list(cells(suite, folder))
    keys = {(run.arm, run.sparsity, run.seed): run.key for run in suite.runs}
    groups: dict[tuple[str, float], list[tuple[float, float, Cost]]] = {}
    for row in rows:
        key = keys[row.arm, row.sparsity, row.seed]
        if key not in measured:
            raise SuiteError(
                f"the net of {row.arm!r}, {100 * row.sparsity:g} %, seed {row.seed} was not measured: riemod measure "
                f"{suite.name} --preset {suite.preset} --results {folder} does it"
            )
        group = groups.setdefault((row.arm, row.sparsity), [])
        group.append((row.metrics[metric], row.metrics["lost"], measured[key]))
    return [_line(*key, runs) for key, runs in groups.items()]


def frontier_table(lines: list[FrontierLine], label: str) -> str:
    """Return the lines as a table in Markdown.

    Args:
        lines: from `frontier`.
        label: of the error, with its unit.
    """
    headings = ["net", "sparsity", "n", f"{label} (each run)", *COSTS.values()]
    text = [f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}"]
    for line in lines:
        runs = ", ".join(f"{error:.2g}" for error in line.errors)
        lost = f"; {line.lost} lost" if line.lost else ""
        costs = [f"{line.costs['multiply_adds']:,.0f}", f"{line.costs['bytes']:.1f}"]
        costs += [
            f"{line.costs[f'seconds_{size}']:.3f} ({form})" for size, form in zip(BATCHES, line.forms, strict=True)
        ]
        cells = [
            line.arm,
            f"{100 * line.sparsity:g} %",
            str(len(line.errors)),
            f"{line.mean:.2g} ({runs}{lost})",
            *costs,
        ]
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def save_frontier(lines: list[FrontierLine], label: str, title: str, path: Path, dpi: int = 150) -> None:
    """Draw the lines as a PNG file, which also holds the digest of its numbers (`frontier_digest`).

    Args:
        lines: from `frontier`.
        label: of the error, with its unit.
        title: of the figure.
        path: of the file, which is replaced.
        dpi: dots an inch.

    Raises:
        OSError: the file cannot be written.
    """
    sparsities: dict[str, list[str]] = {}
    for line in lines:
        sparsities.setdefault(line.arm, []).append(f"{100 * line.sparsity:g}")
    points = [
        FrontierPoint(
            "dense, by width" if line.is_dense else f"{line.arm}, {', '.join(sparsities[line.arm])} %",
            line.arm.rpartition(" ")[2] if line.is_dense else "",
            line.errors,
            line.costs,
            reference=line.is_dense,
        )
        for line in lines
    ]
    save_marked(draw_frontier(points, COSTS, label, title), frontier_digest(lines, label, title), path, dpi)


def frontier_digest(lines: list[FrontierLine], label: str, title: str) -> str:
    """Return a digest of the numbers that the figure of a frontier shows, to six digits."""
    numbers = [
        f"{line.arm} {line.sparsity:.6g} " + " ".join(f"{x:.6g}" for x in (*line.errors, *line.costs.values()))
        for line in lines
    ]
    return digest_of([title, label, *COSTS.values(), *numbers])


def _line(arm: str, sparsity: float, runs: list[tuple[float, float, Cost]]) -> FrontierLine:
    costs = [cost for _, _, cost in runs]
    means: dict[str, float] = {
        "multiply_adds": float(np.mean([cost.multiply_adds for cost in costs])),
        "bytes": float(np.mean([cost.stored_bytes for cost in costs])) / 1e3,
    }
    forms = []
    for size in BATCHES:
        means[f"seconds_{size}"] = 1e3 * float(np.mean([cost.seconds[size] for cost in costs]))
        names = [cost.fastest[size] for cost in costs]
        forms.append(max(dict.fromkeys(names), key=names.count))
    return FrontierLine(
        arm, sparsity, tuple(error for error, _, _ in runs), int(sum(lost for _, lost, _ in runs)), means, tuple(forms)
    )
