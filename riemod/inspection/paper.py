"""The paper's Figures 1, 6, 7 and 8, drawn of a run of yours."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from riemod import plotting
from riemod._checks import check_type
from riemod._statistics import rank_p_value
from riemod.alignment import distance_matrix
from riemod.manifolds import Manifold, by_name
from riemod.regularization import NeuronEmbedding
from riemod.regularization.inhibitors import DifferenceOfGaussians, Diffusion, Inhibitor, Sinusoid
from riemod.regularization.weights import recurrent_weights
from riemod.sparse import order_neurons
from riemod.topology import persistence
from riemod.training import Run, RunError, Stream, generator_for

__all__ = ["PAPER_FIGURES", "draw_costs", "draw_persistence", "draw_structure", "draw_weights"]

_Panels = Mapping[str, Callable[[plotting.Axes], None]]
_COST_POINTS = 1500
# Beyond this number of points, degree 2 takes minutes.
_MOST_POINTS = 250
_DRAWS = 19
_INHIBITORS: Mapping[str, Inhibitor] = {
    "diffusion, d²": Diffusion(amplitude=1.0, exponent=2.0),
    "difference of Gaussians": DifferenceOfGaussians(amplitude=10.0, narrow=1.0, wide=5.0),
    "sinusoid": Sinusoid(amplitude=10.0, frequency=2.0),
}


def draw_structure(run: Run, out: Path) -> Path:
    """Draw Figure 1: the neurons of a run on their manifold, and the neurons that feed one of them.

    The second panel has equally many sources, drawn uniformly, the third those that pruning left. The neuron is the one
    with the largest sum of incoming |w|.

    Args:
        run: with points of its recurrent layer, on a manifold that can be drawn.
        out: PNG, PDF or SVG file.

    Returns:
        The file.

    Raises:
        RunError: the run has no such points, or its manifold cannot be drawn.
    """
    embedding, weight = _one_layer(run, picture=True)
    points, manifold = embedding.points.detach().cpu(), embedding.manifold
    neuron = _busiest(weight)
    kept = np.flatnonzero(weight[neuron])
    kept = kept[kept != neuron]
    generator = generator_for("cpu", Stream.ANALYSIS, 5)
    others = np.delete(np.arange(len(points)), neuron)
    drawn = others[torch.randperm(len(others), generator=generator)[: len(kept)].numpy()]
    panels = {
        "points": _titled(lambda ax: plotting.plot_points(points, manifold, None, ax), f"neurons on {manifold}"),
        "uniform": _titled(
            lambda ax: plotting.plot_joined_neurons(points, manifold, neuron, drawn, ax),
            f"{len(kept)} sources drawn uniformly",
        ),
        "pruned": _titled(
            lambda ax: plotting.plot_joined_neurons(points, manifold, neuron, kept, ax),
            f"the {len(kept)} sources that pruning left",
        ),
    }
    return _save(panels, [list(panels)], out, (7.2, 2.6))


def draw_costs(out: Path) -> Path:
    """Draw Figure 6: the cost of a weight between one neuron (star) and each other one, by manifold and inhibitor.

    Args:
        out: PNG, PDF or SVG file.

    Returns:
        The file.
    """
    panels: dict[str, Callable[[plotting.Axes], None]] = {}
    rows = []
    for name in ("circle", "sphere", "klein", "torus"):
        manifold = by_name(name)
        points = manifold.sample(_COST_POINTS, generator=generator_for("cpu", Stream.ANALYSIS, 6))
        distances = manifold.distance(points[:1], points)[0]
        rows.append([f"{name} {law}" for law in _INHIBITORS])
        for law, inhibitor in _INHIBITORS.items():
            panels[f"{name} {law}"] = _titled(_costs(points, manifold, inhibitor(distances).numpy()), f"{name}: {law}")
    return _save(panels, rows, out, (7.2, 7.8))


def draw_weights(run: Run, out: Path) -> Path:
    """Draw Figure 7: the hidden weights of a run, in the order of its points, of one neuron, and by distance.

    The neuron is the one with the largest sum of incoming |w|; colors are the weights from each neuron to it.

    Args:
        run: with points of its recurrent layer, on a manifold that can be drawn.
        out: PNG, PDF or SVG file.

    Returns:
        The file.

    Raises:
        RunError: the run has no such points, or its manifold cannot be drawn.
    """
    embedding, weight = _one_layer(run, picture=True)
    points, manifold = embedding.points.detach().cpu(), embedding.manifold
    matrix, neuron = torch.from_numpy(weight), _busiest(weight)
    order = order_neurons(embedding).cpu().numpy()
    distances = torch.from_numpy(distance_matrix(points, manifold))
    panels = {
        "matrix": _titled(lambda ax: plotting.plot_weight_matrix(matrix, order, ax), "hidden weights, in order"),
        "neuron": _titled(
            lambda ax: plotting.plot_neuron_values(
                points, manifold, weight[neuron], "weight to the neuron", neuron, ax
            ),
            "weights to one neuron",
        ),
        "distance": _titled(
            lambda ax: plotting.plot_weights_by_distance(matrix, distances, ax=ax).legend(), "weights by distance"
        ),
    }
    return _save(panels, [list(panels)], out, (7.2, 2.4))


def draw_persistence(run: Run, out: Path) -> Path:
    """Draw Figure 8: the persistence diagram of a run's points, beside that of uniform points of the same number.

    Distances are geodesic. A bar's length is death / birth; its p-value in degrees 1 and 2 is that of the longest bar
    among those of 19 draws of uniform points, and the dashed line the longest of these. Of more than 250 points 250
    max-min landmarks are taken, of drawn points too.

    Args:
        run: with points of its recurrent layer.
        out: PNG, PDF or SVG file.

    Returns:
        The file.

    Raises:
        RunError: the run has no such points.
        ImportError: gudhi or ripser is not installed.
    """
    embedding, _ = _one_layer(run, picture=False)
    points, manifold = embedding.points.detach().cpu(), embedding.manifold
    generator = generator_for("cpu", Stream.ANALYSIS, 7)
    found = _diagrams(points, manifold)
    drawn = [_diagrams(manifold.sample(len(points), generator=generator), manifold) for _ in range(_DRAWS)]
    floors, words = {}, []
    for degree in (1, 2):
        lengths = [_longest(diagrams[degree]) for diagrams in drawn]
        floors[degree] = max(lengths)
        p_value = rank_p_value(_longest(found[degree]), lengths)
        words.append(f"degree {degree}: p = {p_value:.2g}")
    kind = "learned" if embedding.points.requires_grad else "fixed"
    panels = {
        "run": _titled(
            lambda ax: plotting.plot_persistence_diagram(found, floors, ax),
            f"{len(points)} {kind} points on {manifold}\n{', '.join(words)}",
        ),
        "uniform": _titled(
            lambda ax: plotting.plot_persistence_diagram(drawn[0], floors, ax), f"{len(points)} uniform points\n"
        ),
    }
    return _save(panels, [list(panels)], out, (6.0, 3.3))


PAPER_FIGURES: Mapping[int, Callable[[Run, Path], Path]] = {
    1: draw_structure,
    7: draw_weights,
    8: draw_persistence,
}
"""What draws a figure of the paper from a run, by its number; Figure 6 needs none (`draw_costs`)."""


def _one_layer(run: Run, picture: bool) -> tuple[NeuronEmbedding, np.ndarray]:
    """Return the points of a run's first recurrent layer, and its hidden weights (n, n), the sum of all gates."""
    check_type("run", run, Run, "a Run")
    embeddings = [] if run.moduli is None else run.moduli.layer_embeddings(0)
    tensors = [weight.tensor for weight in recurrent_weights(run.model)]
    size = len(embeddings[0].points) if len(embeddings) == 1 else 0
    if not size or not tensors or tensors[0].shape[1] != size:
        raise RunError(f"run {run.folder.path} must have points of its recurrent layer on one manifold, got none")
    if picture and not plotting.has_picture(embeddings[0].manifold):
        raise RunError(f"run {run.folder.path} must have points that can be drawn, got {embeddings[0].manifold}")
    weight = tensors[0].detach().double().cpu().numpy().reshape(-1, size, size).sum(0)
    return embeddings[0], weight


def _busiest(weight: np.ndarray) -> int:
    """Return the neuron with the largest sum of incoming |w| from others."""
    incoming = np.abs(weight - np.diag(np.diag(weight))).sum(axis=1)
    return int(incoming.argmax())


def _diagrams(points: Tensor, manifold: Manifold) -> list[np.ndarray]:
    count = _MOST_POINTS if len(points) > _MOST_POINTS else None
    return persistence(distance_matrix(points, manifold), metric="precomputed", count=count)


def _longest(diagram: np.ndarray) -> float:
    """Return the largest death / birth of the bars that end; 1 without any."""
    bars = diagram[np.isfinite(diagram[:, 1]) & (diagram[:, 0] > 0)]
    return float((bars[:, 1] / bars[:, 0]).max()) if len(bars) else 1.0


def _costs(points: Tensor, manifold: Manifold, values: np.ndarray) -> Callable[[plotting.Axes], object]:
    return lambda ax: plotting.plot_neuron_values(points, manifold, values, "cost", 0, ax)


def _titled(draw: Callable[[plotting.Axes], object], title: str) -> Callable[[plotting.Axes], None]:
    def panel(ax: plotting.Axes) -> None:
        draw(ax)
        ax.set_title(title)

    return panel


def _save(panels: _Panels, rows: list[list[str]], out: Path, size: tuple[float, float]) -> Path:
    return plotting.save_composite(panels, [dict.fromkeys(row, 1.0) for row in rows], out, size)
