"""Do three geometries of a net's units come to agree while it trains: of points, of tuning curves, of the weight graph?

Nets learn navigation; at eight moments the distances between units are compared, pair by pair of geometries:

- *points* on the arena's manifold, moved by Eq. 6 together with the weights, which pay at the presets' strength;
- *co-activity*: points on the same manifold that follow the correlations of the same net's units without a penalty;
- *tuning*: 1 - correlation of rate maps;
- *weights*: shortest paths over the weights (`graph_distances`).

Agreement is the bias-corrected distance correlation. Its mean is 0 for independent geometries, and it is negative if
units that are near in one are far in the other. Its p-value is two-sided, from relabeled units (Mantel's test), and its
baseline is the 95 % quantile of its absolute value over relabelings.

    python -m analysis.alignment_over_training               runs missing cases and prints the table
    python -m analysis.alignment_over_training --print-only  prints the table of the existing records
    python -m analysis.alignment_over_training --figure      also draws docs/_static/alignment_over_training.png
"""

import itertools
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from analysis import small_nets
from analysis.points import RATE, READ_EVERY, Follower, ReadOut, symmetric, units_of
from analysis.small_nets import Row
from benchmarks.intervals import mean_and_half_width
from riemod import alignment, inhibitors, manifolds
from riemod.coactivity import WIDE
from riemod.regularization import ModuliRegularizer
from riemod.tasks.navigation import Navigation, NavigationModel
from riemod.training import Stream, generator_for

FILE = small_nets.RECORDS / "alignment_over_training.jsonl"
NAMES = ("arena", "seed")
ARENAS = ("circle", "torus", "sphere")
SEEDS = range(5)
GEOMETRIES = ("points", "co-activity", "tuning", "weights")
PAIRS = tuple(f"{one}, {other}" for one, other in itertools.combinations(GEOMETRIES, 2))
# As shares of the steps of training.
MOMENTS = (0.0, 0.0625, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0)
PERMUTATIONS, BASELINE = 499, 99


def rows(arena: str, seed: int, **changes: Any) -> list[Row]:
    """Train a net, and compare its geometries at each moment."""
    plan = small_nets.config(arena, seed, **{"embedding_learning_rate": RATE, "evaluation_batches": 5} | changes)
    task = Navigation(plan)
    model = small_nets.fresh(task)
    strength = Navigation.presets["cpu"].regularization.strength
    assert not isinstance(strength, str)
    space, draw = manifolds.by_name(arena), generator_for("cpu", Stream.POINTS, seed)
    moduli = ModuliRegularizer(model, space, strength=strength, learn=True, refresh_every=READ_EVERY, generator=draw)
    read_out = ReadOut(space, "coactivity", inhibitors.as_inhibitor(WIDE.inhibitor), plan.hidden_size, draw)
    follower = Follower(model, [read_out])
    steps = plan.training.epochs * plan.training.batches_per_epoch
    moments = {round(moment * steps) for moment in MOMENTS}
    found: list[Row] = []

    def watch(step: int, factor: float, states: Tensor | None) -> None:
        if states is not None:
            follower(step, factor, states)
        if step in moments:
            points = {"points": moduli.layer_embeddings(0)[0], "co-activity": read_out.embedding}
            distances = {name: embedding.distances().detach() for name, embedding in points.items()}
            found.append({"step": step} | small_nets.errors(task, model) | agreements(task, model, distances))

    watch(0, 1.0, None)
    small_nets.train(task, model, moduli, watch=watch)
    return found


def agreements(task: Navigation, model: NavigationModel, distances: dict[str, Tensor]) -> Row:
    """Compute distance correlations of all pairs of geometries, p-values and baselines, over the units that are awake.

    Args:
        task: of the net.
        model: the net at present.
        distances: by name, (n, n) distances of points.
    """
    units = units_of(task, model)
    awake = units.awake
    graph = alignment.graph_distances(model.rnn.get_parameter("weight_hh_l0").detach()[awake][:, awake])
    geometry = {name: symmetric(own[awake][:, awake]).numpy() for name, own in distances.items()}
    geometry |= {"tuning": symmetric(units.truths["tuning"]).numpy(), "weights": graph}
    found: Row = {"awake": int(awake.sum())}
    generator = torch.Generator().manual_seed(task.config.seed)
    for pair in PAIRS:
        one, other = (geometry[name] for name in pair.split(", "))
        test = alignment.mantel_test(
            one, other, permutations=PERMUTATIONS, method="distance", alternative="two-sided", generator=generator
        )
        orders = [torch.randperm(len(one), generator=generator).numpy() for _ in range(BASELINE)]
        relabeled = [alignment.distance_correlation(one[np.ix_(order, order)], other) for order in orders]
        found |= {
            pair: test.statistic,
            f"{pair} p": test.p_value,
            f"{pair} baseline": float(np.quantile(np.abs(relabeled), 0.95)),
            f"{pair} rank": alignment.rank_correlation(one, other),
        }
    return found


def tables(found: list[Row]) -> str:
    """Format distance correlations at the start, halfway and the end, with 95 % intervals and counts of p <= 0.05."""
    if not found:
        return "no records of alignment_over_training"
    lines = []
    for arena in ARENAS:
        steps = sorted({row["step"] for row in found if row["arena"] == arena})
        for step in (steps[index] for index in sorted({0, len(steps) // 2, len(steps) - 1}) if steps):
            now = [row for row in found if row["arena"] == arena and row["step"] == step]
            cells = [
                f"{small_nets.summary(row[pair] for row in now)} ({sum(row[f'{pair} p'] <= 0.05 for row in now)})"
                for pair in PAIRS
            ]
            error = small_nets.summary(row["error"] / row["floor"] for row in now)
            lines.append([arena, str(step), str(len(now)), error, *cells])
    return small_nets.markdown(("arena", "step", "n", "error / floor", *PAIRS), lines)


def figure(found: list[Row], file: Path) -> None:
    """Draw distance correlations over training with 95 % bands, the baseline in gray, and the error below."""
    drawn, axes = plt.subplots(
        2, len(ARENAS), figsize=(11, 5.6), sharex=True, sharey="row", height_ratios=(3, 1), layout="constrained"
    )
    for column, arena in enumerate(ARENAS):
        upper, lower = axes[:, column]
        own = [row for row in found if row["arena"] == arena]
        steps = sorted({row["step"] for row in own})
        at = [[row for row in own if row["step"] == step] for step in steps]
        for index, pair in enumerate(PAIRS):
            _band(upper, steps, [[row[pair] for row in now] for now in at], f"C{index}", pair)
        chance = np.array([np.mean([row[f"{pair} baseline"] for row in now for pair in PAIRS]) for now in at])
        upper.fill_between(steps, -chance, chance, color="0.85", linewidth=0, label="relabeled units")
        _band(lower, steps, [[row["error"] / row["floor"] for row in now] for now in at], "black", "error")
        lower.set_yscale("log", nonpositive="clip")
        lower.set_ylim(bottom=0.8)
        upper.set_title(f"{arena} arena")
        lower.set_xlabel("training steps")
    axes[0, 0].set_ylabel("distance correlation")
    axes[1, 0].set_ylabel("error / floor")
    drawn.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    drawn.savefig(file, dpi=150)
    plt.close(drawn)


def _band(ax: Axes, steps: list[int], values: list[list[float]], color: str, label: str) -> None:
    means, halves = np.array([mean_and_half_width(now) for now in values]).reshape(-1, 2).T
    ax.plot(steps, means, ".-", color=color, label=label)
    ax.fill_between(steps, means - halves, means + halves, color=color, alpha=0.15, linewidth=0)


def cases(seeds: int) -> list[small_nets.Case]:
    """List the cases with seeds outermost, so that an unfinished study is balanced."""
    return [(arena, seed) for seed, arena in itertools.product(range(seeds), ARENAS)]


def main() -> None:
    """Run the command line of the study."""
    small_nets.run_study(__doc__, FILE, NAMES, cases, rows, len(SEEDS), tables, figure)


if __name__ == "__main__":
    main()
