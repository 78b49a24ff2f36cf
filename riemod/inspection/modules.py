"""Populations of several kinds: each module, and the units of none, judged on their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from riemod.inspection.output import verdict_of
from riemod.recordings import Prepared, Recording
from riemod.topology import ModuliRecovery
from riemod.tuning import RateMaps, activity_modules, grid_modules, grid_scores

__all__ = ["Part", "held_back", "parts_of"]

# Fewer units are too few for a verdict of their own.
_FEWEST = 10


@dataclass(frozen=True)
class Part:
    """Holds units that were judged together, apart from the others."""

    units: tuple[str, ...]
    module: bool
    """Whether they share a lattice or coordinates; if not, these are the units of no module."""
    spacing: float | None
    """Of the lattice, median over the units, m; None for units without one."""
    recovery: ModuliRecovery | None
    """Fitted to their cloud; None if there are too few bins or units that can be used."""
    problem: str = ""
    """Why there is no verdict."""

    @property
    def manifold(self) -> str:
        """The name, or "undecided" without a verdict."""
        return "undecided" if self.recovery is None else self.recovery.manifold_

    def to_dict(self) -> dict[str, Any]:
        """Return units, spacing and verdict as values that JSON can hold."""
        return {
            "units": list(self.units),
            "module": self.module,
            "spacing": self.spacing,
            "verdict": None if self.recovery is None else verdict_of(self.recovery),
            "problem": self.problem or None,
        }

    @property
    def title(self) -> str:
        """Which units these are, and how many."""
        what = "units that share coordinates" if self.module else "units of no module"
        if self.spacing is not None:
            what = f"grid cells with a spacing of {self.spacing:.2f} m"
        return f"{len(self.units)} {what}"

    def line(self) -> str:
        """Return the verdict on one line."""
        found = f"no verdict: {self.problem}" if self.recovery is None else self.manifold
        reason = "" if self.recovery is None else f" ({self.recovery.reason_})"
        return f"{self.title}: {found}{reason}"


def parts_of(
    recording: Recording,
    prepared: Prepared,
    places: RateMaps | None,
    prepare: Callable[[Recording], Prepared],
    judge: Callable[[Prepared], ModuliRecovery],
) -> list[Part]:
    """Split units into modules and others, and judge each part of 10 units or more.

    Units with the same lattice are a module (`grid_modules`), and among the others, or all if there is no position,
    those that share coordinates (`activity_modules`).

    Args:
        recording: of all units.
        prepared: the same in bins of time.
        places: rates of the units used over the arena, or None.
        prepare: makes points of the recording of some units.
        judge: fits an estimator to the cloud of prepared units.

    Returns:
        Modules of grid cells in the order of spacing, other modules by size, and the other units. Nothing if all units
        are of one module, or if none of them is.
    """
    lattices = _lattices(len(prepared.units), places)
    labels = lattices.copy()
    others = np.flatnonzero(labels < 0)
    if len(others):
        shared = activity_modules(
            prepared.stable[:, others], least_units=_FEWEST, generator=torch.Generator().manual_seed(0)
        )
        labels[others] = np.where(shared < 0, -1, shared + lattices.max() + 1)
    groups = [np.flatnonzero(labels == label) for label in [*range(labels.max() + 1), -1]]
    groups = [members for members in groups if len(members) >= _FEWEST]
    if labels.max() < 0 or (len(groups) == 1 and (lattices.max() < 0 or (labels == 0).all())):
        return []
    parts = []
    for members in groups:
        units, module, spacing = tuple(prepared.units[index] for index in members), bool(labels[members[0]] >= 0), None
        if places is not None and lattices[members[0]] >= 0:
            spacing = float(np.nanmedian(grid_scores(places.only(members)).spacing))
        try:
            found = prepare(recording.only(units))
        except ValueError as error:
            parts.append(Part(units, module, spacing, None, str(error)))
            continue
        parts.append(Part(units, module, spacing, judge(found)))
    return parts


def _lattices(units: int, places: RateMaps | None) -> np.ndarray:
    """Return the module of grid cells of each unit; -1 for those of none, or of all without a two-dimensional arena."""
    labels = np.full(units, -1)
    if places is None or len(places.bins.shape) != 2:
        return labels
    varying = np.flatnonzero(places.varying)
    if len(varying) >= _FEWEST:
        labels[varying] = grid_modules(places.only(varying), least_units=_FEWEST)
    return labels


def held_back(name: str, parts: list[Part]) -> str:
    """Say why the name of all units together is held back; nothing if the text is empty.

    The directions with most variance are those of one kind of cells, and their manifold is not that of the population.
    A name stands if there is one module at most, which has it too, and if the other units have no other name.

    Args:
        name: of all units together.
        parts: of the population.
    """
    modules = [part for part in parts if part.module]
    others = [part.manifold for part in parts if not part.module]
    alone = len(modules) == 1 and modules[0].manifold == name and {*others} <= {name, "undecided", "contractible"}
    if name == "undecided" or not parts or alone:
        return ""
    listed = "; ".join(part.title for part in parts)
    return f"the units are of several kinds ({listed}); together they would be called {name} by the strongest of them"
