"""Null data of one cloud, drawn and read as the cloud was, on several processes."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy.spatial.distance import cdist

from riemod._arrays import check_distances, check_points
from riemod.topology import few, nulls
from riemod.topology.landmarks import Metric, denoised, landmark_distances
from riemod.topology.verdict import FLOORS, bars, longest_of_null

Kind = str | Callable[[Any, torch.Generator], Any]
_ROUND = 20


@dataclasses.dataclass(frozen=True)
class Surrogates:
    """Draws null data of each kind.

    Args:
        kinds: names of nulls, or functions.
        number: of draws of each kind.
        jobs: processes, as in scikit-learn.
        data: rows as they were given; "rolled" and functions draw from them.
        coordinates: (n, k) principal components; the other kinds draw from them.
        dim: of the ball from which "uniform" draws.
        given: whether the data are distances.
        prepare: makes distinct points of the rows that "rolled" or a function draws.
    """

    kinds: Sequence[Kind]
    number: int
    jobs: int | None
    data: np.ndarray
    coordinates: np.ndarray
    dim: int
    given: bool
    prepare: Callable[[np.ndarray, torch.Generator], np.ndarray]

    def longest(
        self, observed: Mapping[int, float], metric: Metric, generator: torch.Generator
    ) -> list[list[dict[int, float]]]:
        """Return, for each kind, the longest bars of each draw; a kind ends early when more would change nothing.

        Args:
            observed: longest bars of the data, by degree.
            metric: in which draws are read.
            generator: draws seeds.
        """
        return [self._longest_of_kind(kind, observed, metric, generator) for kind in self.kinds]

    def _longest_of_kind(
        self, kind: Kind, observed: Mapping[int, float], metric: Metric, generator: torch.Generator
    ) -> list[dict[int, float]]:
        drawn: list[dict[int, float]] = []
        seeds = torch.randint(2**62, (self.number,), generator=generator).tolist()
        # Draw in rounds, so that few draws are wasted when a kind ends early.
        for first in range(0, self.number, _ROUND):
            for null in self._parallel(_longest, kind, seeds[first : first + _ROUND], metric):
                drawn.append(null)
                if all(sum(other[k] >= observed[k] for other in drawn) >= _ROUND for k in FLOORS):
                    return drawn
            if all(observed[k] <= min(FLOORS[k], max(null[k] for null in drawn)) for k in FLOORS):
                return drawn
        return drawn

    def few(self, kind: int, seeds: list[int], metric: Metric) -> list[few.Lengths]:
        """Measure null data of few points.

        Args:
            kind: index of the kind.
            seeds: one for each draw.
            metric: in which draws are read.
        """
        return self._parallel(_lengths, self.kinds[kind], seeds, metric)

    def _parallel(self, measure: Callable[..., Any], kind: Kind, seeds: list[int], metric: Metric) -> list[Any]:
        source = self.coordinates if isinstance(kind, str) and kind != "rolled" else self.data
        rest = self.dim, self.given, self.prepare, metric
        with Parallel(n_jobs=self.jobs) as run:
            return cast("list[Any]", run(delayed(measure)(kind, source, seed, *rest) for seed in seeds))


def _longest(
    kind: Kind, source: np.ndarray, seed: int, dim: int, given: bool, prepare: Callable[..., np.ndarray], metric: Metric
) -> dict[int, float]:
    """Draw one null, denoise it as the data were, and return its longest bars."""
    generator = torch.Generator().manual_seed(seed)
    points = _drawn(kind, source, dim, given, prepare, generator)
    clean = points if given else denoised(points)
    return longest_of_null(bars(landmark_distances(clean, metric, generator), (2,)))


def _lengths(
    kind: Kind, source: np.ndarray, seed: int, dim: int, given: bool, prepare: Callable[..., np.ndarray], metric: Metric
) -> few.Lengths:
    """Draw one null of few points and return the lengths of its bars."""
    generator = torch.Generator().manual_seed(seed)
    points = _drawn(kind, source, dim, given, prepare, generator)
    if kind == "uniform":
        points = few.planted(nulls.uniform_ball(len(source), dim, generator), source, generator)
        points = cdist(points, points) if given else points
    return few.measure(points, metric, generator)


def _drawn(
    kind: Kind,
    source: np.ndarray,
    dim: int,
    given: bool,
    prepare: Callable[..., np.ndarray],
    generator: torch.Generator,
) -> np.ndarray:
    """Draw the points of one null, or their distances."""
    if callable(kind) or kind == "rolled":
        drawn = (kind if callable(kind) else nulls.rolled)(source, generator)
        return prepare(
            (check_distances if given else check_points)(drawn, "what a function in nulls returns"), generator
        )
    points = (
        nulls.uniform_ball(len(source), dim, generator) if kind == "uniform" else nulls.BY_NAME[kind](source, generator)
    )
    return cdist(points, points) if given else points
