"""Which manifold is this? The estimator that answers, says on what evidence, and says "undecided" when it cannot."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self, cast

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from riemod._arrays import as_array, check_distances
from riemod._statistics import rank_p_value
from riemod.topology import nulls as null_models
from riemod.topology.clouds import neighbor_dimension, plane_dimension, principal_axes
from riemod.topology.landmarks import FEWEST_POINTS, Metric, fitting_metric, landmark_net
from riemod.topology.verdict import FLOORS, PRIMES, Betti, Evidence, bars, count, decide, longest

_LOG = logging.getLogger(__name__)
MOST_POINTS = 2000
COMPONENTS = 16
_ROUND = 20


class ModuliRecovery(BaseEstimator):
    """M such that H_k(points; F_p) = H_k(M; F_p) for p = 2 and 3: which manifold points fill, against null data.

    1. More than 2,000 points are subsampled; more than 16 coordinates become 16 principal components.
    2. Each point is put on the plane through its 20 nearest ones (`smooth`); up to 250 max-min landmarks cover them.
    3. Persistence in degrees 0, 1 and 2, modulo 2 and 3, up to 0.6 of the enclosing radius. A bar's length is death /
       birth.
    4. The same, modulo 2, of `n_nulls` data sets of every kind of null. The p-value of a degree is the rank of its
       longest bar among those of the least favorable kind, corrected over the two degrees (Holm). A kind ends early
       when 20 of its draws reach the data's bar in both degrees (Besag and Clifford), and after 20, 40, ... draws when
       each degree's bar has been reached by a draw and is too short to count anyway (step 5).
    5. A bar counts if it is longer than 95 % of the longest bars of every kind, and than 2.5 (degree 1) or 1.3
       (degree 2). `betti_` is what most of the nets agree on: one of all points, and one of nine tenths of them for
       each subsample.

    What it costs, and how often it is right, stands in docs/topology.md and docs/confusion.md.

    Args:
        metric: "euclidean"; "geodesic", along the graph of the 15 nearest points, for sheets that are strongly bent,
            such as states of narrowly tuned units; "auto", which is geodesic where the median ratio of the two
            exceeds 1.4; or "precomputed", for distances, of which neither noise is taken off.
        n_nulls: null data sets of each kind, >= 1.
        n_subsamples: how many subsamples, >= 1.
        alpha: level of the corrected p-values.
        nulls: kinds: "shuffled" and "gaussian" of the principal components (of classical scaling, if precomputed),
            "uniform" in a ball of the data's dimension, "rolled" for rows in the order of time, or functions (X,
            generator) -> X of what is fitted.
        random_state: seed, or numpy RandomState.
        n_jobs: processes that work on the nulls, as in scikit-learn; their number changes no result.

    Attributes:
        manifold_: "circle", "sphere", "torus", "klein bottle", "contractible" or "undecided".
        reason_: why, in a sentence.
        betti_: `Betti` (numbers, low, high) by prime.
        p_values_: by degree, 1 and 2.
        dimension_: two local estimates, by the distances to neighbors and by their principal axes.
        bars_: diagrams by prime, and where they were cut.
        longest_: by degree, the largest ratio of death to birth.
        null_ratios_: by degree, the same of each null drawn, an array for each kind.
        floors_: by degree, the ratio above which a bar counts.
        agreement_: share of the nets that have the Betti numbers in `betti_`.
        metric_: the metric used.

    Raises:
        ValueError: from `fit`: NaN or infinity, fewer than 10 distinct points, only constant columns, distances that
            are not symmetric or not zero on the diagonal, or an unknown metric or null.
        ImportError: from `fit`: without gudhi or ripser.

    Reference: Besag and Clifford, https://doi.org/10.1093/biomet/78.2.301

    >>> angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    >>> ModuliRecovery(n_nulls=50, n_subsamples=2).fit(np.stack([np.cos(angle), np.sin(angle)], 1)).manifold_
    'circle'
    """

    def __init__(
        self,
        *,
        metric: Literal["auto", "euclidean", "geodesic", "precomputed"] = "auto",
        n_nulls: int = 100,
        n_subsamples: int = 10,
        alpha: float = 0.05,
        nulls: Sequence[str | Callable[[Any, torch.Generator], Any]] = ("shuffled", "gaussian", "uniform"),
        random_state: Any = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.metric = metric
        self.n_nulls = n_nulls
        self.n_subsamples = n_subsamples
        self.alpha = alpha
        self.nulls = nulls
        self.random_state = random_state
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.metric == "precomputed"
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Look at the points.

        Args:
            X: (n, k) points, an array or a tensor; (n, n) distances if the metric is "precomputed".
            y: not used.

        Returns:
            The estimator.
        """
        data = self._validate(X)
        generator = torch.Generator().manual_seed(int(check_random_state(self.random_state).randint(2**31)))
        points = self._prepare(data, generator)
        coordinates = _scaled_coordinates(points) if self.metric == "precomputed" else points
        self.metric_: Metric = fitting_metric(points) if self.metric == "auto" else cast("Metric", self.metric)
        self.dimension_ = _dimensions(coordinates)
        net = landmark_net(points, self.metric_, generator)
        self.bars_ = bars(net)
        self._compare(longest(self.bars_), data, coordinates, generator)
        counts = [count(net, self.bars_, self.floors_)]
        for _ in range(self.n_subsamples):
            chosen = _subset(len(points), len(points) * 9 // 10, generator)
            part = points[np.ix_(chosen, chosen)] if self.metric == "precomputed" else points[chosen]
            net = landmark_net(part, self.metric_, generator)
            counts.append(count(net, bars(net), self.floors_))
        numbers = max(counts, key=counts.count)
        self.agreement_ = counts.count(numbers) / len(counts)
        self.betti_ = {
            prime: Betti(
                numbers[prime],
                tuple(min(column) for column in zip(*(found[prime] for found in counts), strict=True)),
                tuple(max(column) for column in zip(*(found[prime] for found in counts), strict=True)),
            )
            for prime in PRIMES
        }
        width = None if self.metric == "precomputed" else points.shape[1]
        evidence = Evidence(
            len(points), width, self.betti_, self.agreement_, self.p_values_, self.dimension_, self.alpha
        )
        self.manifold_, self.reason_ = decide(evidence)
        return self

    def report(self) -> str:
        """The verdict and its evidence, a line each."""
        check_is_fitted(self, "manifold_")
        lines = [f"manifold: {self.manifold_} ({self.reason_})"]
        for prime, betti in self.betti_.items():
            spans = ", ".join(
                f"{number}" if low == high else f"{number} [{low}-{high}]"
                for number, low, high in zip(*betti, strict=True)
            )
            lines.append(f"Betti numbers mod {prime}: {spans}")
        lines.append(f"nets that agree: {self.agreement_:.0%}")
        for degree, p in self.p_values_.items():
            drawn = self.null_ratios_[degree]
            lines.append(
                f"degree {degree}: longest bar {self.longest_[degree]:.2f} (death / birth), counted above "
                f"{self.floors_[degree]:.2f}, p = {p:.3g} from {sum(map(len, drawn))} nulls"
            )
        lines.append("local dimension: {:.1f} by neighbors, {:.1f} by planes".format(*self.dimension_))
        lines.append(f"metric: {self.metric_}")
        return "\n".join(lines)

    def _validate(self, X: Any) -> np.ndarray:
        if self.metric not in ("auto", "euclidean", "geodesic", "precomputed"):
            raise ValueError(f"metric must be 'auto', 'euclidean', 'geodesic' or 'precomputed', got {self.metric!r}")
        if self.n_nulls < 1 or self.n_subsamples < 1:
            raise ValueError(f"n_nulls and n_subsamples must be >= 1, got {self.n_nulls} and {self.n_subsamples}")
        if not self.nulls or isinstance(self.nulls, str):
            raise ValueError(f"nulls must be a list of kinds, got {self.nulls!r}")
        for kind in self.nulls:
            if not callable(kind) and kind not in (*null_models.BY_NAME, "uniform"):
                raise ValueError(f"nulls: unknown kind {kind!r}; there are {sorted(null_models.BY_NAME)} and 'uniform'")
            if kind == "rolled" and self.metric == "precomputed":
                raise ValueError("nulls: 'rolled' needs points in the order of time, not distances")
        if isinstance(X, torch.Tensor):
            X = as_array(X)
        data = np.asarray(validate_data(self, X, dtype=np.float64, ensure_min_samples=FEWEST_POINTS))
        if self.metric == "precomputed":
            return check_distances(data, "X")
        varies = np.ptp(data, axis=0) > 0
        if not varies.any():
            raise ValueError(f"X: all {data.shape[1]} columns are constant, so every point is the same")
        if not varies.all():
            _LOG.info("%d of %d columns are constant and say nothing", (~varies).sum(), data.shape[1])
        return data[:, varies]

    def _prepare(self, data: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """Distinct points, not too many of them, in principal components; or distances between such points."""
        if len(data) > MOST_POINTS:
            _LOG.info("%d points drawn from %d", MOST_POINTS, len(data))
            chosen = _subset(len(data), MOST_POINTS, generator)
            data = data[np.ix_(chosen, chosen)] if self.metric == "precomputed" else data[chosen]
        if self.metric == "precomputed":
            first = np.flatnonzero(~np.triu(data == 0, 1).any(axis=0))
            points = data[np.ix_(first, first)]
        else:
            _, first = np.unique(data, axis=0, return_index=True)
            kept = data[np.sort(first)]
            mean, axes = principal_axes(kept, COMPONENTS)
            points = (kept - mean) @ axes
        if len(first) < len(data):
            _LOG.info("%d of %d points are duplicates", len(data) - len(first), len(data))
        if len(points) < FEWEST_POINTS:
            raise ValueError(f"X: {len(points)} distinct points, at least {FEWEST_POINTS} are needed")
        return points

    def _compare(
        self, observed: dict[int, float], data: np.ndarray, coordinates: np.ndarray, generator: torch.Generator
    ) -> None:
        """Draw the nulls; sets what they give."""
        dim = min(max(1, round(np.nan_to_num(np.mean(self.dimension_), nan=1.0))), coordinates.shape[1])
        drawn = [self._draw(kind, observed, data, coordinates, dim, generator) for kind in self.nulls]
        self.longest_ = observed
        self.null_ratios_ = {k: [np.array([null[k] for null in kind]) for kind in drawn] for k in FLOORS}
        self.p_values_ = null_models.holm(
            {k: max(rank_p_value(observed[k], kind) for kind in self.null_ratios_[k]) for k in FLOORS}
        )
        highest = {k: max(np.quantile(kind, 0.95, method="higher") for kind in self.null_ratios_[k]) for k in FLOORS}
        self.floors_ = {k: float(max(FLOORS[k], highest[k])) for k in FLOORS}

    def _draw(
        self,
        kind: str | Callable[[Any, torch.Generator], Any],
        observed: dict[int, float],
        data: np.ndarray,
        coordinates: np.ndarray,
        dim: int,
        generator: torch.Generator,
    ) -> list[dict[int, float]]:
        """The longest bars of the nulls of one kind."""
        drawn: list[dict[int, float]] = []
        seeds = torch.randint(2**62, (self.n_nulls,), generator=generator).tolist()
        source = coordinates if isinstance(kind, str) and kind != "rolled" else data
        with Parallel(n_jobs=self.n_jobs) as run:
            # In rounds, so that few draws are in vain when a kind ends early.
            for first in range(0, self.n_nulls, _ROUND):
                chosen = seeds[first : first + _ROUND]
                found = run(delayed(self._longest_of_null)(kind, source, dim, seed) for seed in chosen)
                for null in cast("list[dict[int, float]]", found):
                    drawn.append(null)
                    if all(sum(other[k] >= observed[k] for other in drawn) >= _ROUND for k in FLOORS):
                        return drawn
                if all(observed[k] <= min(FLOORS[k], max(null[k] for null in drawn)) for k in FLOORS):
                    return drawn
        return drawn

    def _longest_of_null(
        self, kind: str | Callable[[Any, torch.Generator], Any], source: np.ndarray, dim: int, seed: int
    ) -> dict[int, float]:
        generator = torch.Generator().manual_seed(seed)
        if callable(kind) or kind == "rolled":
            draw = kind if callable(kind) else null_models.rolled
            points = self._prepare(as_array(draw(source, generator)), generator)
        else:
            points = (
                null_models.uniform_ball(len(source), dim, generator)
                if kind == "uniform"
                else null_models.BY_NAME[kind](source, generator)
            )
            points = cdist(points, points) if self.metric_ == "precomputed" else points
        return longest(bars(landmark_net(points, self.metric_, generator), (2,)))


def _subset(size: int, part: int, generator: torch.Generator) -> np.ndarray:
    return np.sort(torch.randperm(size, generator=generator)[:part].numpy())


def _dimensions(points: np.ndarray) -> tuple[float, float]:
    size = len(points)
    return neighbor_dimension(points, min(20, (size - 1) // 2)), plane_dimension(points, min(40, size))


def _scaled_coordinates(distances: np.ndarray) -> np.ndarray:
    """Classical scaling: coordinates whose Euclidean distances come nearest to these."""
    squared = distances**2
    means = squared.mean(axis=0)
    values, vectors = np.linalg.eigh((means + means[:, None] - means.mean() - squared) / 2)
    kept = [index for index in range(len(values) - 1, -1, -1) if values[index] > 1e-9 * values[-1]][:COMPONENTS]
    return vectors[:, kept] * np.sqrt(values[kept])
