"""Whether a run's points have learned anything: spread, agreement with the units, and a verdict without them."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from riemod.alignment import dissimilarities, distance_matrix, mantel_test, neutral_points, spread
from riemod.inspection.navigation import MOST_UNITS, NavigationArena, Tuning
from riemod.inspection.states import Sample
from riemod.regularization import NeuronEmbedding
from riemod.regularization.weights import recurrent_weights
from riemod.topology import ModuliRecovery
from riemod.training import Run

_LOG = logging.getLogger(__name__)
_PERMUTATIONS = 999
_SPACE_DIM = 5
# Of fewer units not even a sphere is recognized in most draws (`riemod.topology.power`: 80 points of little noise).
_FEWEST_UNITS = 60
_FEWEST_COMPARED = 4
_WHY = "on the manifold that was given, points that merely fill it prove nothing"


@dataclass(frozen=True)
class Points:
    """Holds the points of a run's units, and what was found of them."""

    embedding: NeuronEmbedding
    kept: np.ndarray
    """(m,), the units that fire and have incoming weights."""
    tuning: np.ndarray | None
    """(m, m), 1 - correlation of the rate maps of the kept units, for navigation."""
    record: dict[str, Any]
    """The part of the analysis' record."""

    @property
    def points(self) -> Tensor:
        """The points of the kept units, (m, k), on the CPU."""
        return self.embedding.points.detach().cpu()[torch.from_numpy(self.kept)]


def judge_points(
    run: Run, sample: Sample, found: Tuning | None, arena: NavigationArena | None, generator: torch.Generator
) -> Points | None:
    """Judge the points of a run's recurrent layer by the units that they belong to.

    - Spread: the mean distance of the points over that of uniform ones.
    - Agreement: Spearman's correlation, over pairs of units, of the points' distances with 1 - correlation of rate
      maps, with the distances of preferred and mean places, and with minus the weights w_jk + w_kj, their absolute
      values and the cosines of incoming rows. Each has the p-value of a Mantel test; a large correlation is extreme.
    - Verdict: `ModuliRecovery` on points that are fitted on S^5 to the cosines of incoming rows. The given manifold has
      no part in them; on it, points that merely fill it prove nothing.

    Units that never fire or whose rate map is constant have no tuning, and units without incoming weights no place in
    the neutral space. They are left out of all but the spread, and counted.

    Args:
        run: with points of one layer of its model.
        sample: hidden states.
        found: tuning of the units, for navigation.
        arena: of navigation.
        generator: of the permutations, on the CPU.

    Returns:
        The judgment, or None if the run has no points of a recurrent layer.
    """
    embeddings = [] if run.moduli is None else run.moduli.layer_embeddings(0)
    if len(embeddings) != 1 or run.moduli is None:
        return None
    embedding, weight = embeddings[0], _incoming(run.model, len(embeddings[0].points))
    if weight is None:
        return None
    tested, awake = _awake(sample, found, len(weight[0]), generator)
    connected = np.abs(weight[0][tested]).max(axis=1) > 0
    kept = tested[awake & connected]
    silent, unconnected = int((~awake).sum()), int((awake & ~connected).sum())
    if silent or unconnected:
        counts = silent, len(tested), unconnected
        _LOG.info("left out %d of %d units that never fire or do not vary, and %d without incoming weights", *counts)
    record: dict[str, Any] = {
        "manifold": str(embedding.manifold),
        "learned": embedding.points.requires_grad,
        "units": len(tested),
        "silent": silent,
        "unconnected": unconnected,
        "spread": spread(embedding.points.detach(), embedding.manifold),
    }
    rows, signed, absolute = (matrix[kept] for matrix in weight)
    geometries: dict[str, np.ndarray] = {}
    tuning = None
    if found is not None and arena is not None and len(kept) > 1:
        within = np.searchsorted(found.chosen, kept)
        tuning = geometries["tuning"] = distance_matrix(found.rates[within], "correlation")
        geometries["preferred places"] = distance_matrix(found.places[kept], arena.manifold)
        geometries["mean places"] = distance_matrix(found.means[kept], arena.manifold)
    if len(kept) > 1:
        geometries["weights"] = dissimilarities(signed[:, kept])
        geometries["absolute weights"] = dissimilarities(absolute[:, kept])
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        geometries["incoming rows"] = dissimilarities(unit @ unit.T)
    judged = Points(embedding, kept, tuning, record)
    record["agreement"] = _agreement(judged, geometries, generator)
    record["neutral"] = _verdict(rows)
    return judged


def _incoming(model: nn.Module, units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return each unit's incoming weights of all gates (n, gates n), their sum over gates, and that of magnitudes."""
    weight = recurrent_weights(model)[0].tensor.detach().double().cpu().numpy()
    if weight.shape[1] != units:
        return None
    gates = weight.reshape(-1, units, units)
    return np.concatenate([*gates], axis=1), gates.sum(0), np.abs(gates).sum(0)


def _awake(
    sample: Sample, found: Tuning | None, units: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return at most 512 units, and which of them have tuning, or states that vary if nothing is known of tuning."""
    if found is not None:
        return found.chosen, found.varying
    tested = torch.randperm(units, generator=generator)[:MOST_UNITS].sort().values.numpy()
    if sample.states.shape[1] != units:
        return tested, np.ones(len(tested), dtype=bool)
    return tested, np.ptp(sample.states.numpy()[:, tested], axis=0) > 0


def _agreement(judged: Points, geometries: dict[str, np.ndarray], generator: torch.Generator) -> dict[str, Any]:
    """Test the agreement of the points' distances with each geometry of the kept units."""
    units = len(judged.kept)
    if units < _FEWEST_COMPARED:
        problem = f"agreement needs at least {_FEWEST_COMPARED} units that fire, got {units}"
        return {"units": units, "with": {}, "problem": problem}
    found: dict[str, Any] = {}
    problems = []
    distances = distance_matrix(judged.points, judged.embedding.manifold)
    for name, geometry in geometries.items():
        try:
            test = mantel_test(distances, geometry, permutations=_PERMUTATIONS, method="spearman", generator=generator)
            found[name] = {"rank_correlation": test.statistic, "p_value": test.p_value}
        except ValueError as error:
            problems.append(f"{name}: {error}")
    return {"units": units, "with": found, "problem": "; ".join(problems) or None}


def _verdict(rows: np.ndarray) -> dict[str, Any]:
    """Find the manifold that units fill on S^5, by the cosines of their incoming rows."""
    verdict: dict[str, Any] = {
        "space": f"S^{_SPACE_DIM}",
        "of": "cosines of incoming rows",
        "why": _WHY,
        "units": len(rows),
        "manifold": None,
        "reason": None,
        "p_values": {},
    }
    if len(rows) < _FEWEST_UNITS:
        return verdict | {"problem": f"a verdict needs at least {_FEWEST_UNITS} units that fire, got {len(rows)}"}
    try:
        recovery = ModuliRecovery(n_jobs=torch.get_num_threads()).fit(neutral_points(rows, _SPACE_DIM))
    except ValueError as error:
        return verdict | {"problem": str(error)}
    return verdict | {
        "manifold": recovery.manifold_,
        "reason": recovery.reason_,
        "p_values": {str(degree): float(p) for degree, p in recovery.p_values_.items()},
        "problem": None,
    }
