"""What hidden states of navigation say of the position: decoding errors, tuning, and agreement of geometries."""

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from riemod.alignment import distance_matrix, graph_distances, mantel_test
from riemod.inspection.states import Sample
from riemod.manifolds import Euclidean, Manifold, Sphere
from riemod.tasks import Task
from riemod.tasks.navigation import Navigation, NavigationModel
from riemod.training import Run
from riemod.tuning import (
    Bins,
    RateMaps,
    preferred_positions,
    rate_maps,
    regular_bins,
    shuffle_test,
    spatial_information,
)

LEVEL = 0.01
_SHUFFLES = 199
_PERMUTATIONS = 999
_BINS = {1: 60, 2: 15}
# This many units are drawn from a larger layer, because each permutation of a test takes O(n^2) time.
MOST_UNITS = 512


class NavigationArena(NamedTuple):
    """Describes where the animal walks."""

    name: str
    truth: str
    """Its manifold, as `ModuliRecovery` names it."""
    manifold: Manifold
    bins: Bins
    width: float
    """Of a landmark's code, m."""


@dataclass(frozen=True)
class Tuning:
    """Holds what units say of the position."""

    chosen: np.ndarray
    """(u,), the indices of the units that were tested."""
    p_values: np.ndarray
    """(u,), p-values of their spatial information; 1 for silent units."""
    maps: RateMaps
    """Mean activity of these units in each bin of the arena."""
    varying: np.ndarray
    """(u,), whether the mean activity varies over the arena."""
    places: Tensor
    """(n, c), where each unit of the layer is most active; NaN for units that do not vary or were not tested."""
    means: Tensor
    """(n, c), the Frechet mean of each rate map, NaN as in `places`; between the fields of a unit with several."""
    silent: int
    """The number of tested units that are never active."""

    @property
    def rates(self) -> np.ndarray:
        """(u, b), mean activity in each bin of the arena that was visited."""
        return self.maps.rates[:, np.isfinite(self.maps.rates).all(axis=0)]

    def to_dict(self) -> dict[str, Any]:
        """Return the part that goes into the record."""
        informative = float((self.p_values <= LEVEL).mean())
        return {"units": len(self.chosen), "silent": self.silent, "informative": informative, "level": LEVEL}


def arena_of(task: Task[Any]) -> NavigationArena | None:
    """Return the arena of a navigation task, or None for other tasks.

    Args:
        task: of the run.
    """
    if not isinstance(task, Navigation):
        return None
    name, side, width = task.config.arena, task.config.side, task.config.width
    if task.arena is None:
        manifold = Euclidean(2, side)
        return NavigationArena(name, "contractible", manifold, regular_bins(manifold, 15, (-side / 2, side / 2)), width)
    manifold = task.arena.manifold
    count = _BINS[2] ** 2 if isinstance(manifold, Sphere) and manifold.dim == 2 else _BINS[manifold.dim]
    truth = "klein bottle" if name == "klein" else name
    return NavigationArena(name, truth, manifold, regular_bins(manifold, count), width)


def decoding(run: Run, sample: Sample, arena: NavigationArena) -> dict[str, float]:
    """Compute mean errors of positions that are decoded from the states, cm.

    - "readout" is the error of the net itself, which takes the mean of its three most active landmarks.
    - "nearest_state" decodes the second half of the sample: the position of the nearest state of the first half.
    - "nearest_position" is the least possible value of that: the distance to the nearest position of the first half.
    - "chance" is the mean distance to all positions of the first half.

    Args:
        run: of navigation.
        sample: its states.
        arena: its arena.
    """
    assert isinstance(run.task, Navigation)
    assert isinstance(run.model, NavigationModel)
    assert sample.positions is not None
    half, cells = sample.half, run.task.cells
    with torch.no_grad():
        scores = run.model.decoder(sample.states.to(run.task.device))
        readout = cells.distance(cells.decode_top(scores), sample.positions.to(scores.device))
        apart = arena.manifold.distance(sample.positions[half:], sample.positions[:half])
        nearest = torch.cdist(sample.states[half:], sample.states[:half]).argmin(1, keepdim=True)
    errors = {
        "readout": readout,
        "nearest_state": apart.gather(1, nearest),
        "nearest_position": apart.amin(1),
        "chance": apart,
    }
    return {name: 100 * error.mean().item() for name, error in errors.items()}


def tuning(sample: Sample, arena: NavigationArena, generator: torch.Generator) -> Tuning:
    """Compute rate maps of the units, and test their spatial information against activity shifted to other samples.

    Args:
        sample: the states.
        arena: of the states.
        generator: of the shuffles, and of the units if the layer has more than 512.
    """
    assert sample.positions is not None
    count = sample.states.shape[1]
    chosen = torch.randperm(count, generator=generator)[:MOST_UNITS].sort().values.numpy()
    activity = sample.states[:, chosen].double().numpy()
    active = activity.max(axis=0) > 0
    p_values = np.ones(len(chosen))
    smoothing = arena.width
    if active.any():
        p_values[active] = shuffle_test(
            activity[:, active],
            sample.positions,
            arena.bins,
            spatial_information,
            shuffles=_SHUFFLES,
            generator=generator,
            smoothing=smoothing,
        ).p_values
    maps = rate_maps(activity, sample.positions, arena.bins, smoothing=smoothing)
    varying = maps.varying & active
    places, means = torch.full((2, count, arena.bins.centers.shape[1]), torch.nan, dtype=torch.float64)
    if varying.any():
        for positions, peak in ((places, True), (means, False)):
            positions[torch.from_numpy(chosen[varying])] = preferred_positions(maps.only(varying), peak=peak)
    return Tuning(chosen, p_values, maps, varying, places, means, int((~active).sum()))


def alignment(run: Run, found: Tuning, generator: torch.Generator) -> dict[str, Any]:
    """Compute the distance correlation of each pair of geometries, with a two-sided Mantel p-value.

    The geometries are tuning curves (1 minus their correlation), the weight graph (`graph_distances`), and points
    (geodesic distances). The units are those whose rates vary, in the largest connected piece of the weight graph.

    Args:
        run: of navigation.
        found: the tuning of its units.
        generator: of the permutations.
    """
    assert isinstance(run.model, NavigationModel)
    weight = run.model.rnn.get_parameter("weight_hh_l0").detach().cpu()
    piece = _largest_piece(weight.numpy())
    tuned = np.isin(found.chosen, piece) & found.varying
    units = found.chosen[tuned]
    compared: dict[str, Any] = {"units": len(units), "pairs": []}
    try:
        within = np.searchsorted(piece, units)
        geometries = {
            "tuning": distance_matrix(found.rates[tuned], "correlation"),
            "weights": graph_distances(weight[piece][:, piece])[np.ix_(within, within)],
        }
        embeddings = [] if run.moduli is None else run.moduli.layer_embeddings(0)
        if len(embeddings) == 1:
            points = embeddings[0].points.detach().cpu()[units]
            geometries["points"] = distance_matrix(points, embeddings[0].manifold)
        for first, second in itertools.combinations(geometries, 2):
            test = mantel_test(
                geometries[first],
                geometries[second],
                permutations=_PERMUTATIONS,
                method="distance",
                alternative="two-sided",
                generator=generator,
            )
            pair = {"first": first, "second": second, "distance_correlation": test.statistic, "p_value": test.p_value}
            compared["pairs"].append(pair)
    except ValueError as error:
        return compared | {"problem": str(error)}
    return compared | {"problem": None}


def _largest_piece(weight: np.ndarray) -> np.ndarray:
    """Return the units of the largest connected piece of a weight graph, (m,), in order."""
    _, labels = connected_components(csr_array(weight), directed=False)
    return np.flatnonzero(labels == np.bincount(labels).argmax())
