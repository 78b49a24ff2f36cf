"""Populations of several kinds: each module of grid cells, and the other units, judged on their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from riemod.inspection.output import verdict_of
from riemod.recordings import Prepared, Recording
from riemod.topology import ModuliRecovery
from riemod.tuning import RateMaps, grid_modules, grid_scores

__all__ = ["Part", "held_back", "parts_of"]

# Fewer units are too few for a verdict of their own.
_FEWEST = 10


@dataclass(frozen=True)
class Part:
    """Holds units that were judged together, apart from the others."""

    units: tuple[str, ...]
    spacing: float | None
    """Median over the units, m; None for units of no module."""
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
        verdict = None if self.recovery is None else verdict_of(self.recovery)
        return {"units": list(self.units), "spacing": self.spacing, "verdict": verdict, "problem": self.problem or None}

    @property
    def title(self) -> str:
        """Which units these are, and how many."""
        what = "units of no module" if self.spacing is None else f"grid cells with a spacing of {self.spacing:.2f} m"
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
    recovery: ModuliRecovery,
) -> list[Part]:
    """Split units into modules of grid cells (`grid_modules`) and others, and judge each part of 10 units or more.

    Args:
        recording: of all units.
        prepared: the same in bins of time.
        places: rates of the units used over the arena, or None.
        prepare: makes points of the recording of some units.
        recovery: whose parameters the estimator of each part has.

    Returns:
        Each module, in the order of spacing, and the other units. Nothing without a module, or if one holds all units.
    """
    if places is None or len(places.bins.shape) != 2:
        return []
    labels = np.full(len(prepared.units), -1)
    varying = np.flatnonzero(places.varying)
    if len(varying) < _FEWEST:
        return []
    maps = places.only(varying)
    labels[varying] = grid_modules(maps, least_units=_FEWEST)
    if labels.max() < 0 or (labels == 0).all():
        return []
    parts = []
    for label in [*range(labels.max() + 1), -1]:
        members = np.flatnonzero(labels == label)
        if len(members) < _FEWEST:
            continue
        spacing = None if label < 0 else float(np.nanmedian(grid_scores(places.only(members)).spacing))
        units = tuple(prepared.units[index] for index in members)
        try:
            cloud = prepare(recording.only(units)).cloud
        except ValueError as error:
            parts.append(Part(units, spacing, None, str(error)))
            continue
        parts.append(Part(units, spacing, ModuliRecovery(**recovery.get_params()).fit(cloud)))
    return parts


def held_back(name: str, parts: list[Part]) -> str:
    """Say why the name of all units together is held back; nothing if the text is empty.

    The directions with most variance are those of one kind of cells, and their manifold is not that of the population.
    A name stands if there is one module at most, which has it too, and if the other units have no other name.

    Args:
        name: of all units together.
        parts: of the population.
    """
    modules = [part for part in parts if part.spacing is not None]
    others = [part.manifold for part in parts if part.spacing is None]
    alone = len(modules) == 1 and modules[0].manifold == name and {*others} <= {name, "undecided", "contractible"}
    if name == "undecided" or not parts or alone:
        return ""
    listed = "; ".join(part.title for part in parts)
    return f"the units are of several kinds ({listed}); together they would be called {name} by the strongest of them"
