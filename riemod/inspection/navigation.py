"""What hidden states of navigation say of the position: decoding, units' tuning, and whether geometries agree."""

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
from riemod.tuning import Bins, preferred_positions, rate_maps, regular_bins, shuffle_test, spatial_information

LEVEL = 0.01
_SHUFFLES = 199
_PERMUTATIONS = 999
_BINS = {1: 60, 2: 15}
# Of more units so many are drawn: a permutation test takes n^2 time a permutation.
_MOST_UNITS = 512


class NavigationArena(NamedTuple):
    """Where the animal walks."""

    name: str
    truth: str
    """Its manifold, as `ModuliRecovery` names it."""
    manifold: Manifold
    bins: Bins
    width: float
    """Of a landmark's code, m."""


@dataclass(frozen=True)
class Tuning:
    """What units say of the position."""

    chosen: np.ndarray
    """(u,) indices of the units that were looked at."""
    p_values: np.ndarray
    """(u,), of their spatial information; 1 for units that are silent."""
    rates: np.ndarray
    """(u, b), mean activity in each part of the arena."""
    varying: np.ndarray
    """(u,) whether it varies over the arena."""
    places: Tensor
    """(n, c), where each unit of the layer is most active; NaN for those that do not vary or were not looked at."""
    silent: int

    def to_dict(self) -> dict[str, Any]:
        """What of it goes into the record."""
        informative = float((self.p_values <= LEVEL).mean())
        return {"units": len(self.chosen), "silent": self.silent, "informative": informative, "level": LEVEL}


def arena_of(task: Task[Any]) -> NavigationArena | None:
    """The arena of a navigation task; None for others.

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
    """Mean errors of positions told from the states, cm.

    "readout" is the net's own, the mean of its three most active landmarks. "nearest_state" answers for the second half
    of the sample with the position of the nearest state of the first. "nearest_position" is the least that this could
    be, the distance to the nearest of the first half's positions, and "chance" the mean distance to all of them.

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
    """Rate maps of the units, and whether they are spatially informative, against activity given to other samples.

    Args:
        sample: the states.
        arena: where they come from.
        generator: of the shuffles, and of the units if the layer has more than 512.
    """
    assert sample.positions is not None
    count = sample.states.shape[1]
    chosen = torch.randperm(count, generator=generator)[:_MOST_UNITS].sort().values.numpy()
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
    places = torch.full((count, arena.bins.centers.shape[1]), torch.nan, dtype=torch.float64)
    if varying.any():
        places[torch.from_numpy(chosen[varying])] = preferred_positions(maps.only(varying), peak=True)
    seen = np.isfinite(maps.rates).all(axis=0)
    return Tuning(chosen, p_values, maps.rates[:, seen], varying, places, int((~active).sum()))


def alignment(run: Run, found: Tuning, generator: torch.Generator) -> dict[str, Any]:
    """The distance correlation of each two of: tuning curves, the weight graph, and points, with a Mantel p-value.

    Tuning curves are as far apart as 1 minus their correlation, weights by `graph_distances`, points along their
    manifold; p-values are two-sided. All this over the units whose rates vary and that the largest piece of the weight
    graph joins.

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
    """(m,) the units of the largest connected piece of a weight graph, in order."""
    _, labels = connected_components(csr_array(weight), directed=False)
    return np.flatnonzero(labels == np.bincount(labels).argmax())
