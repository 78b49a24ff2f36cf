"""An estimator that says which manifold points fill, how sure that is, and "undecided" if they do not tell."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from riemod._arrays import check_distances
from riemod._checks import check_choice, check_fraction, check_integer, check_repeats, shown
from riemod._machine import check_fits
from riemod._statistics import rank_p_value
from riemod.topology import few, few_verdict
from riemod.topology import nulls as null_models
from riemod.topology._arguments import random_source, validated
from riemod.topology._neighbors import (
    Neighborhood,
    local_dimensions,
    neighborhood,
    participation_ratio,
    project,
    two_nn,
)
from riemod.topology.clouds import apart, principal_axes, scaled_coordinates
from riemod.topology.conclusion import conclude
from riemod.topology.landmarks import (
    FEWEST_POINTS,
    MOST_POINTS,
    PLANE,
    Metric,
    denoised,
    fitting_metric,
    landmark_distances,
)
from riemod.topology.looks import Look, both, checked, metrics_for
from riemod.topology.power import needed_points
from riemod.topology.report import describe
from riemod.topology.surrogates import Surrogates
from riemod.topology.verdict import FLOORS, ROOM, Bars, Findings, Floors, bars, count, longest, vote

_LOG = logging.getLogger(__name__)
COMPONENTS = 16
# A point's share of its neighborhood for the two estimates of the dimension, itself among them.
_TWO_NN, _LOCAL_PCA = 41, 40
# Local dimensions at each point take this share of the points, up to so many.
_LOCAL_SHARE, _MOST_LOCAL = 25, 80
# The least share among few points.
_FEWEST_NEAR = 11
_MOST_JOBS = 1024


class ModuliRecovery(BaseEstimator):
    """Finds the manifold M that points fill: H_k(points; F_p) = H_k(M; F_p) for p = 2 and 3, compared with null data.

    1. More than 2,000 points are subsampled; more than 16 coordinates are replaced by 16 principal components.
    2. The nearest points of each point are searched once. They give the local dimension and the plane onto which the
       point is projected (`local_pca_projection`). Up to 250 max-min landmarks cover the projected points.
    3. Persistence is computed in degrees 0, 1 and 2, modulo 2 and 3, up to 0.6 of the enclosing radius. The length of a
       bar is death / birth.
    4. The same is done, modulo 2, with `n_nulls` data sets of each kind of null, each with a search of its own. The
       p-value of a degree is the rank of its longest bar among those of the least favorable kind, corrected over the
       two degrees (Holm). A kind ends early when 20 of its draws reach the data's bar in both degrees (Besag and
       Clifford), and after 20, 40, ... draws when each degree's bar has been reached by a draw and is too short to
       count anyway (step 5).
    5. A bar counts if it is longer than 95 % of the longest bars of every kind of null, and longer than 2.5 (degree 1)
       or 1.3 (degree 2). Bars are counted on all points and on each subsample of nine tenths of them, which is a new
       cloud with a search of its own; `betti_` is the most frequent count.

    Fewer than 500 distinct points are read in another way (`riemod.topology.few`). Nothing is denoised; all points are
    used, or 120 max-min landmarks of more; bars end at 0.85 of the enclosing radius. There is no fixed floor. The
    longest bar of each degree is ranked among those of as many points of each null, of S^3 and, in degree 1, of S^2
    with the noise of the data, and corrected as in step 4. A torus is recognized by its two longest loops: the second
    is longer than the second ones of nulls, and their cup product lives (`riemod.topology.products`). Subsamples leave
    out a twentieth. "contractible" needs a number of points at which closed manifolds would have been seen. An
    undecided verdict says how many points of this noise would be enough. A Klein bottle is not recognized.

    Points that were learned on a manifold fill it because it was given to them: its Betti numbers are no evidence.
    Learn them in a neutral space, R^k or S^k with k > 2, which has none of these classes. Evidence that is permuted
    over neurons gives the same points in another order: a verdict cannot tell the two apart, agreement with tuning can.

    docs/topology.md and docs/confusion.md say how much time this takes, and how often it is right.

    Args:
        metric: "euclidean"; "geodesic", along the graph of the 15 nearest points, for strongly curved manifolds, such
            as the states of narrowly tuned units; "auto", by the median ratio of geodesic to Euclidean distance: above
            1.4 geodesic, up to 1.1 Euclidean, and in between both, one after the other (`riemod.topology.looks`); or
            "precomputed" if X is a distance matrix, which is not denoised.
        n_nulls: null data sets of each kind, >= 1.
        n_subsamples: how many subsamples, >= 1.
        alpha: significance level of the corrected p-values, between 0 and 1.
        nulls: kinds of nulls. "shuffled" and "gaussian" are drawn from the principal components (from classical
            scaling, if precomputed), "uniform" in a ball of the data's dimension, "rolled" from rows in the order of
            time. A function (X, generator) -> X is called with the X that is fitted.
        random_state: seed, or numpy RandomState.
        n_jobs: processes that compute the nulls, as in scikit-learn; their number does not change the result.

    Attributes:
        manifold_: "circle", "sphere", "torus", "klein bottle", "contractible" or "undecided".
        reason_: why, in a sentence.
        betti_: `Betti` (numbers, low, high) by prime.
        p_values_: by degree, 1 and 2.
        dimension_: two local estimates, `two_nn_dimension` and `local_pca_dimension`.
        bars_: diagrams by prime, and where they were cut.
        longest_: by degree, the largest ratio of death to birth.
        null_ratios_: by degree, the largest ratio of each null, an array for each kind.
        floors_: by degree, the ratio above which a bar counts.
        agreement_: share of the counts, of all points and of each subsample, that are the Betti numbers in `betti_`.
        metric_: the metric by which the manifold was found.
        looks_: by metric that was looked at, what it shows by itself; with at least 500 points.
        second_loop_: length and p-value of the second longest bar of degree 1; with fewer than 500 points only.
        product_: whether the product of the two longest loops lives; with fewer than 500 points only.
        needed_points_: by manifold, how many points of this noise were enough in 80 % of draws, None if more than were
            tried (`riemod.topology.power`); with fewer than 500 points only.

    Raises:
        ValueError: from `fit`: NaN or infinity in X or in a null, fewer than 10 distinct points, only constant columns,
            distances that are not symmetric or not zero on the diagonal, an unknown metric or null, or a number out of
            its range.
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
        """Find the manifold that the points fill.

        Args:
            X: (n, k) points, an array or a tensor; (n, n) distances if the metric is "precomputed".
            y: not used.

        Returns:
            The estimator.
        """
        data = self._validate(X)
        generator = torch.Generator().manual_seed(int(random_source(self.random_state).randint(2**31)))
        points = self._prepare(data, generator)
        given = self.metric == "precomputed"
        coordinates = scaled_coordinates(points, COMPONENTS) if given else points
        for name in ("second_loop_", "product_", "needed_points_", "evidence_", "looks_"):
            self.__dict__.pop(name, None)
        if len(points) < few.FEW:
            return self._fit_few(points, data, coordinates, generator)
        near = neighborhood(coordinates, int(np.clip(len(points) // _LOCAL_SHARE, _TWO_NN, _MOST_LOCAL)))
        self.dimension_ = two_nn(near.first(_TWO_NN)), participation_ratio(near.first(_LOCAL_PCA))
        clean = points if given else project(near.first(PLANE))
        surrogates = self._surrogates(data, coordinates)
        metrics = metrics_for(clean) if self.metric == "auto" else (cast("Metric", self.metric),)
        look = self._look(metrics[0], points, clean, near, surrogates, generator)
        self.looks_ = {look.metric: f"{look.manifold} ({look.reason})"}
        for metric in metrics[1:]:
            if look.manifold == "undecided":
                second = self._look(metric, points, clean, near, surrogates, generator)
                self.looks_[metric] = f"{second.manifold} ({second.reason})"
                look = both(look, second, self.alpha)
            else:
                look, self.looks_[metric] = checked(look, clean, metric, generator)
        for field in dataclasses.fields(look):
            setattr(self, f"{field.name}_", getattr(look, field.name))
        return self

    def _look(
        self,
        metric: Metric,
        points: np.ndarray,
        clean: np.ndarray,
        near: Neighborhood,
        surrogates: Surrogates,
        generator: torch.Generator,
    ) -> Look:
        """Look at the points by one metric: bars, nulls, subsamples, and the name that they give."""
        given = metric == "precomputed"
        landmarks = landmark_distances(clean, metric, generator)
        found = bars(landmarks)
        observed = longest(found)
        drawn = surrogates.longest(observed, metric, generator)
        null_ratios = {k: [np.array([null[k] for null in kind]) for kind in drawn] for k in FLOORS}
        p_values = null_models.holm(
            {k: max(rank_p_value(observed[k], kind) for kind in null_ratios[k]) for k in FLOORS}
        )
        highest = {k: max(np.quantile(kind, 0.95, method="higher") for kind in null_ratios[k]) for k in FLOORS}
        floors = {k: float(max(FLOORS[k], highest[k])) for k in FLOORS}
        counts = [count(landmarks, found, floors)]
        for _ in range(self.n_subsamples):
            chosen = _subset(len(points), len(points) * 9 // 10, generator)
            part = points[np.ix_(chosen, chosen)] if given else denoised(points[chosen])
            landmarks = landmark_distances(part, metric, generator)
            counts.append(count(landmarks, bars(landmarks), floors))
        betti, agreement = vote(max(counts, key=counts.count), counts)
        width = None if given else points.shape[1]
        flat = float((local_dimensions(near) < ROOM).mean())
        findings = Findings(len(points), width, betti, agreement, p_values, self.dimension_, self.alpha, flat)
        named = conclude(findings, found, Floors(observed, floors), near, metric, generator)
        return Look(metric, found, observed, null_ratios, floors, p_values, betti, agreement, *named)

    def _fit_few(
        self, points: np.ndarray, data: np.ndarray, coordinates: np.ndarray, generator: torch.Generator
    ) -> Self:
        """Find the manifold that fewer than 500 points fill, from all of them."""
        given = self.metric == "precomputed"
        share = min(max(len(points) // 5, _FEWEST_NEAR), _TWO_NN)
        near = neighborhood(coordinates, share)
        self.dimension_ = two_nn(near), participation_ratio(near.first(share - 1))
        metric = fitting_metric(points) if self.metric == "auto" else cast("Metric", self.metric)
        self.metric_: Metric = metric
        reading = few.read(points, metric, generator)
        surrogates = self._surrogates(data, coordinates)

        def draw(kind: int, seeds: list[int]) -> list[few.Lengths]:
            return surrogates.few(kind, seeds, metric)

        def rival(dim: int, seed: int) -> few.Lengths:
            return few.rival(dim, coordinates, "euclidean" if given else metric, seed)

        observed = reading.lengths[2]
        ranks = few.rank(reading, draw, len(self.nulls), self.n_nulls, self.alpha, rival, generator)
        self.longest_ = {1: observed.first, 2: observed.void}
        self.null_ratios_ = {k: [kind[:, column] for kind in ranks.kinds] for k, column in ((1, 0), (2, 2))}
        self.p_values_ = null_models.holm({1: ranks.p_value(observed, "first"), 2: ranks.p_value(observed, "void")})
        floors = few.Lengths(*(ranks.floor(name) for name in few.Lengths._fields))
        self.floors_ = {1: floors.first, 2: floors.void}
        self.bars_ = Bars({prime: found.diagrams for prime, found in reading.found.items()}, reading.threshold)
        counts = [few_verdict.by_p_values(reading, ranks, self.alpha)]
        for _ in range(self.n_subsamples):
            chosen = _subset(len(points), len(points) * 19 // 20, generator)
            part = points[np.ix_(chosen, chosen)] if self.metric == "precomputed" else points[chosen]
            counts.append(few_verdict.by_floors(few.read(part, metric, generator), floors))
        self.betti_, self.agreement_ = vote(counts[0], counts)
        self.product_ = reading.product
        second = min(ranks.p_value(found, "second") for found in reading.lengths.values())
        self.second_loop_ = observed.second, second
        self.needed_points_ = needed_points(coordinates)
        findings = few_verdict.FewFindings(
            len(points),
            None if self.metric == "precomputed" else points.shape[1],
            self.betti_,
            few_verdict.by_floors(reading, floors),
            self.agreement_,
            self.p_values_,
            second,
            reading.product,
            self.dimension_,
            self.alpha,
            self.needed_points_,
        )
        self.manifold_, self.reason_ = few_verdict.decide_few(findings)
        return self

    def report(self) -> str:
        """Describe the manifold, the Betti numbers, p-values and dimensions behind it, one on each line."""
        check_is_fitted(self, "manifold_")
        return describe(self)

    def _validate(self, X: Any) -> np.ndarray:
        check_choice("metric", self.metric, ("auto", "euclidean", "geodesic", "precomputed"))
        check_fits("n_nulls", check_repeats("n_nulls", self.n_nulls), 8 * self.n_nulls)
        check_repeats("n_subsamples", self.n_subsamples)
        check_fraction("alpha", self.alpha)
        if self.n_jobs is not None:
            check_integer("n_jobs", self.n_jobs, -_MOST_JOBS, _MOST_JOBS)
        if not isinstance(self.nulls, list | tuple) or not self.nulls:
            raise ValueError(f"nulls must be a list of kinds, got {shown(self.nulls)}")
        for kind in self.nulls:
            if not callable(kind):
                check_choice("each of nulls, unless it is a function,", kind, (*null_models.BY_NAME, "uniform"))
            if kind == "rolled" and self.metric == "precomputed":
                raise ValueError(
                    f"nulls must not hold 'rolled' for distances, which have no order, got {shown(self.nulls)}"
                )
        data = validated(self, X, ensure_min_samples=FEWEST_POINTS)
        if self.metric == "precomputed":
            return check_distances(data, "X")
        varies = np.ptp(data, axis=0) > 0
        if not varies.any():
            raise ValueError(f"X must have a column that is not constant, got {data.shape[1]} constant columns")
        if not varies.all():
            _LOG.info("%d of %d columns are constant and are left out", (~varies).sum(), data.shape[1])
        return data[:, varies]

    def _prepare(self, data: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """Draw at most 2,000 points and drop duplicates; return their principal components, or their distances."""
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
            points = apart((kept - mean) @ axes)
        if len(points) < len(data):
            _LOG.info("%d of %d points are duplicates, up to a jitter", len(data) - len(points), len(data))
        if len(points) < FEWEST_POINTS:
            raise ValueError(f"X must have at least {FEWEST_POINTS} distinct points, got {len(points)}")
        return points

    def _surrogates(self, data: np.ndarray, coordinates: np.ndarray) -> Surrogates:
        """Draw null data like these; "uniform" in a ball of the local dimension, rounded."""
        dim = min(max(1, round(np.nan_to_num(np.mean(self.dimension_), nan=1.0))), coordinates.shape[1])
        given = self.metric == "precomputed"
        return Surrogates(self.nulls, self.n_nulls, self.n_jobs, data, coordinates, dim, given, self._prepare)


def _subset(size: int, part: int, generator: torch.Generator) -> np.ndarray:
    return np.sort(torch.randperm(size, generator=generator)[:part].numpy())
