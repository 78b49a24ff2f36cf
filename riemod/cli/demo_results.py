"""What the demo measures of its three nets, and its figure."""

import statistics
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from riemod import plotting, sparse
from riemod.alignment import distance_matrix, rank_correlation, spread
from riemod.inspection import draw_states
from riemod.inspection.navigation import arena_of
from riemod.manifolds import Torus
from riemod.regularization import NeuronEmbedding
from riemod.tasks.navigation import Navigation, NavigationModel
from riemod.topology import ModuliRecovery
from riemod.training import Run, RunFolder, Stream, generator_for, load
from riemod.training.compression import MODEL
from riemod.tuning import preferred_positions, rate_maps

_STATES = 1500
_SUBSAMPLES = 5
_WALKS = 1500
# Walks at once when the forward pass is timed, and rounds of timing.
_BATCH, _ROUNDS = 48, 31
# Decoded walks are longer than those of training, so that they go somewhere.
_PATHS, _LONGER = 6, 3
_ERROR = "eval_error_maximum_likelihood"


class Units(NamedTuple):
    """Holds where the units of a net fire, and how much their points agree with that."""

    places: Tensor
    """(n, 2), preferred places, m; NaN for units that do not vary."""
    tuning: float
    """Rank correlation, over pairs, of the points' distances with 1 - the correlation of rate maps."""
    near: float
    """The same with the distances of preferred places."""
    spread: float
    """Mean distance of the points over that of uniform points."""


@dataclass(frozen=True)
class Results:
    """Holds what the demo shows."""

    runs: dict[str, Run]
    """The finished runs: without a penalty, and with points on the torus."""
    verdict: ModuliRecovery
    """Fitted to hidden states of the net that nobody told of a torus."""
    units: Units
    """Of the net with points on the torus."""
    errors: dict[str, list[tuple[float, float]]]
    """By name of the run, sparsity and error, cm, after every epoch."""
    floor: float
    """Error of a perfect net, cm."""
    seconds: dict[str, list[float]]
    """Seconds of a forward pass, dense and compressed, round by round."""

    @property
    def learned(self) -> Run:
        """The run with points on the torus."""
        return next(run for run in self.runs.values() if run.moduli is not None)

    @property
    def side(self) -> float:
        """The side of the arena, m."""
        task = self.learned.task
        assert isinstance(task, Navigation)
        return task.config.side

    @property
    def speed_up(self) -> float:
        """The median over rounds of dense over compressed seconds."""
        return statistics.median(
            dense / fast for dense, fast in zip(self.seconds["dense"], self.seconds["compressed"], strict=True)
        )

    def lines(self) -> list[str]:
        """Say in sentences what was found."""
        units, dense, fast = self.units, *(1e3 * statistics.median(times) for times in self.seconds.values())
        return [
            f"points: spread {units.spread:.2f} of uniform points; rank correlation of their distances with tuning "
            f"{units.tuning:.2f}, with preferred places {units.near:.2f}",
            f"compressed: {_BATCH} walks in {fast:.2f} ms, dense {dense:.2f} ms, {self.speed_up:.2f} times faster "
            f"(median of {_ROUNDS} paired rounds, 1 thread)",
        ]


def find_manifold(run: Run, nulls: int) -> ModuliRecovery:
    """Fit the estimator to the last hidden states of fresh walks.

    Args:
        run: of navigation.
        nulls: null data sets of each kind.
    """
    return ModuliRecovery(n_nulls=nulls, n_subsamples=_SUBSAMPLES, n_jobs=2).fit(draw_states(run, _STATES).states)


def measure(folders: dict[str, RunFolder], verdict: ModuliRecovery, compressed: Path) -> Results:
    """Measure tuning, points, errors while pruning, and the time of a forward pass.

    Args:
        folders: finished runs of navigation, by name; those that were pruned are compared, and one has points.
        verdict: fitted.
        compressed: folder of that net, compressed.
    """
    loaded = [(name, load(folder)) for name, folder in reversed(folders.items())]
    runs = {name: run for name, run in loaded if run.config.masks.sparsity > 0}
    learned = next(run for run in runs.values() if run.moduli is not None)
    errors = {name: [(row["sparsity"], row[_ERROR]) for row in folders[name].read_metrics()] for name in runs}
    levels = learned.folder.read_record()["levels"]
    return Results(
        runs,
        verdict,
        units_of(learned),
        errors,
        levels["error_maximum_likelihood of a perfect net"]["value"],
        _time(learned, compressed),
    )


@torch.no_grad()
def units_of(run: Run) -> Units:
    """Compute where units fire, and compare that with their points on a torus.

    Args:
        run: of navigation, with points.
    """
    task, model, moduli, arena = run.task, run.model, run.moduli, arena_of(run.task)
    assert isinstance(task, Navigation)
    assert arena is not None
    assert moduli is not None
    states, positions = task.states(model, generator_for(task.device, Stream.ANALYSIS, 0), _WALKS)
    maps = rate_maps(states.cpu(), positions.cpu(), arena.bins, smoothing=arena.manifold.diameter / 20)
    varying = torch.from_numpy(maps.varying)
    places = torch.full((states.shape[1], positions.shape[1]), torch.nan, dtype=torch.float64)
    places[varying] = preferred_positions(maps.only(maps.varying), peak=True)
    embedding = moduli.layer_embeddings(0)[0]
    points, manifold = embedding.points.detach().cpu(), embedding.manifold
    apart = distance_matrix(points[varying], manifold)
    visited = maps.rates[maps.varying][:, np.isfinite(maps.rates).all(axis=0)]
    tuning = rank_correlation(apart, distance_matrix(visited, "correlation"))
    near = rank_correlation(apart, distance_matrix(places[varying], arena.manifold))
    return Units(places, tuning, near, spread(points, manifold))


def _time(run: Run, compressed: Path) -> dict[str, list[float]]:
    """Time forward passes of a few walks, dense and compressed, in turn."""
    task = run.task
    assert isinstance(task, Navigation)
    walks = task.walks(_BATCH, generator_for(task.device, Stream.ANALYSIS, 1))
    example = task.cells.code(walks.start), walks.velocity
    dense, fast = run.model.eval(), sparse.load(compressed / MODEL, task.build_model()).eval()
    return sparse.paired_seconds(
        {"dense": lambda: dense(*example), "compressed": lambda: fast(*example)}, task.device, _ROUNDS
    )


@torch.no_grad()
def _decoded_walks(results: Results) -> tuple[Tensor, Tensor]:
    """Return walks with their starts, (T + 1, p, 2), and what the net with points decodes, (T, p, 2), m."""
    task, model = results.learned.task, results.learned.model
    assert isinstance(task, Navigation)
    longer = Navigation(task.config.replace(steps=_LONGER * task.config.steps))
    walks = longer.walks(_PATHS, generator_for(task.device, Stream.ANALYSIS, 2))
    scores = model(task.cells.code(walks.start), walks.velocity)
    return torch.cat((walks.start[None], walks.position)), task.cells.decode_maximum_likelihood(scores)


def draw(results: Results, file: Path) -> Path:
    """Draw points, weights, bars, errors, a decoded path and times into one figure, 7 inches wide.

    Args:
        results: of `measure`.
        file: where to write it.
    """
    panels = {
        "points": partial(_draw_points, results),
        "weights": partial(_draw_weights, results),
        "bars": partial(_draw_bars, results),
        "errors": partial(_draw_errors, results),
        "walk": partial(_draw_walk, results),
        "times": partial(_draw_times, results),
    }
    rows = ({"points": 2.05, "weights": 1.45, "bars": 1.55}, {"errors": 1.75, "walk": 1.85, "times": 1.2})
    return plotting.save_composite(panels, rows, file, (7.0, 4.6), heights=(1.12, 1.0))


def _embedding(results: Results) -> tuple[NeuronEmbedding, Torus]:
    moduli = results.learned.moduli
    assert moduli is not None
    embedding = moduli.layer_embeddings(0)[0]
    assert isinstance(embedding.manifold, Torus)
    return embedding, embedding.manifold


def _draw_points(results: Results, ax: plotting.Axes) -> None:
    (embedding, torus), side = _embedding(results), results.side
    fires = results.units.places.isfinite().all(1)
    colors = plotting.torus_colors(results.units.places[fires].numpy() * (2 * np.pi / side))
    plotting.plot_torus_points(embedding.points[fires], torus, colors, ax)
    ticks = (0, torus.period / 2, torus.period)
    ax.set(title=f"{len(colors)} units on the torus they learned", xticks=ticks, yticks=ticks)
    ax.spines[:].set_visible(True)
    key = plotting.plot_torus_key(side, ax.inset_axes((1.12, 0.12, 0.4, 0.4)))
    key.set_title("where in the\narena it fires", fontsize=6.5, loc="left")
    key.set(xticks=(0, side), xticklabels=("0", f"{side:g} m"), yticks=(), xlabel="", ylabel="")
    key.spines[:].set_visible(True)


def _draw_weights(results: Results, ax: plotting.Axes) -> None:
    embedding, torus = _embedding(results)
    plotting.plot_weights_by_displacement(_hidden_matrix(results), embedding.points, torus, ax=ax)
    half = torus.period / 2
    ax.set(title="Excitation near, inhibition far", xticks=(-half, 0, half), yticks=(-half, 0, half))
    ax.set(xlabel="from source to target, circle 1", ylabel="circle 2")
    ax.spines[:].set_visible(True)


def _draw_bars(results: Results, ax: plotting.Axes) -> None:
    verdict = results.verdict
    plotting.plot_barcode(verdict.bars_.diagrams[2], verdict.floors_, most=5, ax=ax)
    names = {f"degree {k}": f"{name}\np = {verdict.p_values_[k]:.2g}" for k, name in ((1, "loops"), (2, "voids"))}
    # Only degrees that have bars are labeled.
    labels = [names[text] for label in ax.get_yticklabels() if (text := label.get_text()) in names]
    ax.set_yticks(ax.get_yticks()[: len(labels)], labels)
    ax.tick_params(axis="y", length=0)
    numbers = ", ".join(map(str, verdict.betti_[2].numbers))
    ax.set(title=f"Hidden states: {verdict.manifold_}", xlabel="distance of states", ylim=(ax.get_ylim()[0] + 3, -1))
    ax.text(
        1.0, 0.03, f"Betti numbers {numbers}\ngray: reached by nulls", transform=ax.transAxes, ha="right", va="bottom"
    )


def _draw_errors(results: Results, ax: plotting.Axes) -> None:
    plotting.plot_error_against_sparsity(results.errors, results.floor, "cm", ax)
    for line in ax.lines:
        if line.get_marker() == "*":
            line.set_markersize(8)
    ax.set(title="Pruned while trained, to 90 % zeros", xlabel="zeros among the weights, %")


def _draw_walk(results: Results, ax: plotting.Axes) -> None:
    true, decoded = _decoded_walks(results)
    plotting.plot_closed_paths(true, {"decoded": decoded}, results.side, ax)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
    ax.set(title="Paths decoded, 90 % zeros", xticks=(0, results.side), yticks=(0, results.side))
    ax.spines[:].set_visible(True)


def _draw_times(results: Results, ax: plotting.Axes) -> None:
    plotting.plot_paired_times(results.seconds, ax)
    ax.set(title=f"{results.speed_up:.1f} times as fast", ylabel=f"{_BATCH} walks, ms")


def _hidden_matrix(results: Results) -> Tensor:
    model = results.learned.model
    assert isinstance(model, NavigationModel)
    return model.rnn.get_parameter("weight_hh_l0")
