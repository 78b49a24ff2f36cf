"""Appendix H done right: do points learned in R^3 and R^4 tell which arena a net was trained in?

The published answer rests on distances of reshaped coordinates. Here distances are those of the points, and points
move by several rules: Eq. 6 with several laws and strengths (at strength 0 points follow the weights, which pay no
penalty); co-activity during training; and a fit to the final correlations. Nets learn navigation on a circle, a torus
or in a box. `analysis.recovered` measures every set of points in the same way, and also

- points of the untrained net under the same rule, against the tuning of that net;
- points under the same rule from the trained net's weights or correlations, shuffled over pairs of units;
- *true places*: the preferred places of the units, mapped to R^3 or R^4 with noise, one a unit. The share of these that
  is recognized is the power of the measure.

    python -m analysis.appendix_h                 runs missing cases and prints the tables
    python -m analysis.appendix_h --print-only    prints the tables of the existing records
    python -m analysis.appendix_h --figure        also draws docs/_static/appendix_h.png
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from analysis import small_nets
from analysis.points import RATE, READ_EVERY, Follower, ReadOut, units_of
from analysis.recovered import ARENAS, measure, true_points
from analysis.small_nets import Row
from benchmarks.intervals import mean_and_half_width
from riemod.coactivity import WIDE, fit_to_correlations
from riemod.evidence import Coactivity, PointEvidence
from riemod.manifolds import Euclidean
from riemod.regularization import ModuliRegularizer, inhibitors
from riemod.tasks.navigation import Navigation
from riemod.training import Stream, generator_for

FILE = small_nets.RECORDS / "appendix_h.jsonl"
NAMES = ("arena", "net", "seed")
SEEDS = range(3)
DIMS = (3, 4)
RULES = ("weights dog", "weights ricker", "coactivity gaussian", "fitted dog")
# Nets whose weights pay by Eq. 6: rule of the points, strength (mean), dimension. The larger strength is the paper's.
PENALIZED = {
    f"{rule}, strength {strength:g}, R^{dim}": (rule, strength, dim)
    for rule, strength, dim in (
        *itertools.product(("weights dog", "weights ricker"), (0.01, 0.1), (3,)),
        *itertools.product(("weights dog", "weights ricker", "coactivity gaussian"), (0.1,), (4,)),
        ("coactivity gaussian", 0.1, 3),
    )
}
NETS = ("read-outs", *PENALIZED)
NOISES, DRAWS = (0.0, 0.1, 0.2), 4
SOURCES = ("trained", "untrained", "shuffled", "true places")
# Starts and steps of points that are fitted.
RESTARTS, STEPS = 4, 200
Key = tuple[str, str, float, int, float]


def rows(arena: str, net: str, seed: int, **changes: Any) -> list[Row]:
    """Train a net; return rows of each read-out, its nulls and true places, or of the points it was trained with."""
    task = Navigation(small_nets.config(arena, seed, **changes))
    model = small_nets.fresh(task)
    if net in PENALIZED:
        rule, strength, dim = PENALIZED[net]
        evidence, law = rule.split()
        moduli = ModuliRegularizer(
            model,
            Euclidean(dim),
            inhibitor=inhibitors.by_name(law if evidence == "weights" else "dog"),
            strength=strength,
            learn=True,
            refresh_every=READ_EVERY if evidence == "weights" else 1,
            generator=generator_for("cpu", Stream.POINTS, seed),
        )
        followed = None
        if evidence != "weights":
            followed = PointEvidence(moduli, Coactivity(), law=WIDE, every=READ_EVERY)
        task = Navigation(task.config.replace(embedding_learning_rate=RATE))
        small_nets.train(task, model, moduli, evidence=followed)
        named = {"source": "trained", "rule": rule, "strength": strength, "dim": dim, "noise": 0.0}
        units = units_of(task, model)
        return [
            named | small_nets.errors(task, model) | measure(moduli.points.detach()[units.awake], units, arena, seed)
        ]
    before: Tensor = model.rnn.get_parameter("weight_hh_l0").detach().clone()
    untrained = units_of(task, model)
    learned = {case: _read_out(*case, task, seed) for case in itertools.product(RULES, DIMS) if "fitted" not in case[0]}
    follower = Follower(model, list(learned.values()))
    small_nets.train(task, model, watch=follower)
    weight: Tensor = model.rnn.get_parameter("weight_hh_l0").detach()
    units = units_of(task, model)
    scores = small_nets.errors(task, model)
    found = []
    for rule, dim in itertools.product(RULES, DIMS):
        named = {"rule": rule, "strength": 0.0, "dim": dim, "noise": 0.0} | scores
        draw = generator_for("cpu", Stream.POINTS, seed, dim, RULES.index(rule))
        own = weight if "weights" in rule else units.correlations
        null = before if "weights" in rule else untrained.correlations
        followed = learned.get((rule, dim))
        sets = {
            "trained": (
                _settled(rule, dim, own, follower.factors, task, draw) if followed is None else followed,
                units,
            ),
            "untrained": (_settled(rule, dim, null, follower.factors, task, draw), untrained),
            "shuffled": (_settled(rule, dim, _shuffled(own, draw), follower.factors, task, draw), units),
        }
        for source, (points, seen) in sets.items():
            points = points.embedding.points.detach() if isinstance(points, ReadOut) else points
            found.append({"source": source} | named | measure(points[seen.awake], seen, arena, seed))
    for dim, noise, draw in itertools.product(DIMS, NOISES, range(DRAWS)):
        generator = generator_for("cpu", Stream.NOISE, seed, dim, draw)
        points = true_points(arena, units.places, dim, noise, generator, task.config.side)
        named = {"source": "true places", "rule": "", "strength": 0.0, "dim": dim, "noise": noise} | scores
        found.append(named | measure(points, units, arena, seed))
    return found


def _read_out(rule: str, dim: int, task: Navigation, seed: int) -> ReadOut:
    evidence, law = rule.split()
    draw = generator_for("cpu", Stream.POINTS, seed, dim, RULES.index(rule))
    size = task.config.hidden_size
    # The wide Gaussian is the default law of co-activity, not the inhibitor of that name.
    chosen = inhibitors.as_inhibitor(WIDE.inhibitor) if law == "gaussian" else inhibitors.by_name(law)
    return ReadOut(Euclidean(dim), "weights" if evidence == "weights" else "coactivity", chosen, size, draw)


def _settled(
    rule: str, dim: int, matrix: Tensor, factors: Sequence[float], task: Navigation, draw: torch.Generator
) -> Tensor:
    """Move points by a rule for constant weights or correlations, with the number of steps and rates of read-outs."""
    if rule.startswith("fitted"):
        return fit_to_correlations(
            matrix, Euclidean(dim), restarts=RESTARTS, steps=STEPS, generator=draw
        ).points.detach()
    read_out = _read_out(rule, dim, task, int(torch.randint(2**31, (), generator=draw)))
    for factor in factors:
        read_out.follow(matrix, factor)
    return read_out.embedding.points.detach()


def _shuffled(matrix: Tensor, draw: torch.Generator) -> Tensor:
    """Permute the entries of pairs j < k, and those of k < j in the same way; keep the diagonal."""
    upper, lower = torch.triu_indices(len(matrix), len(matrix), 1)
    order = torch.randperm(len(upper), generator=draw)
    mixed = matrix.clone()
    mixed[upper, lower], mixed[lower, upper] = matrix[upper, lower][order], matrix[lower, upper][order]
    return mixed


def groups(rows_found: list[Row]) -> dict[Key, dict[str, list[Row]]]:
    """Group rows by (points of, rule, strength, dimension, noise) and arena, in the order of `SOURCES`."""
    grouped: dict[Key, dict[str, list[Row]]] = {}
    for row in rows_found:
        key: Key = (row["source"], row["rule"], row["strength"], row["dim"], row["noise"])
        grouped.setdefault(key, {}).setdefault(row["arena"], []).append(row)
    return dict(sorted(grouped.items(), key=lambda item: (SOURCES.index(item[0][0]), *item[0][1:])))


def by_seed(case: list[Row], name: str) -> list[float]:
    """Return the value of each seed, averaged over draws of noise."""
    seeds = dict.fromkeys(row["seed"] for row in case)
    return [float(np.mean([row[name] for row in case if row["seed"] == seed])) for seed in seeds]


def _correlation(name: str) -> Callable[[list[Row]], str]:
    """Return the formatter of a cell: mean ± half its interval, and the number of significant rows."""
    return lambda case: (
        f"{small_nets.summary(by_seed(case, name))} ({sum(row[f'{name} p'] <= 0.05 for row in case)} of {len(case)})"
    )


def _shape(case: list[Row]) -> str:
    """Format a cell: the numbers of right verdicts, verdicts of another closed manifold, and significant loops."""
    wrong = sum(not row["right"] and row["verdict"] not in ("contractible", "undecided") for row in case)
    loops = sum(row["loop p"] <= 0.05 for row in case)
    return f"{sum(row['right'] for row in case)}, {wrong}, {loops} of {len(case)}"


def _extent(case: list[Row]) -> str:
    """Format a cell: mean [least, largest] of the correlation with tuning, then `_shape`."""
    values = [row["tuning"] for row in case]
    return f"{np.mean(values):.2f} [{min(values):.2f}, {max(values):.2f}]; {_shape(case)}"


def brief(rows_found: list[Row]) -> str:
    """Format the short table by rule, over all dimensions and strengths."""
    pooled: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for (source, rule, _, _, noise), arenas in groups(rows_found).items():
        for arena, case in arenas.items():
            name = rule or f"noise {noise:g}"
            pooled.setdefault((source, name), {}).setdefault(arena, []).extend(case)
    lines = [
        [*key, *(_extent(arenas[arena]) if arena in arenas else "" for arena in ARENAS)]
        for key, arenas in pooled.items()
    ]
    return small_nets.markdown(("points of", "rule", *ARENAS), lines)


def tables(rows_found: list[Row]) -> str:
    """Format the short table, and the long ones of correlations with places and tuning, verdicts and loops."""
    if not rows_found:
        return "no records of appendix_h"
    parts = {
        "Correlation with the distance of preferred places (p <= 0.05 by Mantel's test)": _correlation("places"),
        "Correlation with tuning distance (p <= 0.05 by Mantel's test)": _correlation("tuning"),
        "Correlation with the weights |w_jk| + |w_kj|": lambda case: small_nets.summary(by_seed(case, "weights")),
        "Right verdicts, verdicts of another closed manifold, loops with p <= 0.05": _shape,
    }
    found = groups(rows_found)
    written = [brief(rows_found)]
    for title, cell in parts.items():
        lines = [
            [*(str(part) for part in key), *(cell(arenas[arena]) if arena in arenas else "" for arena in ARENAS)]
            for key, arenas in found.items()
        ]
        written.append(
            f"{title}\n\n{small_nets.markdown(('points of', 'rule', 'strength', 'k', 'noise', *ARENAS), lines)}"
        )
    return "\n\n".join(written)


def figure(rows_found: list[Row], file: Path) -> None:
    """Draw correlations with tuning distance by rule in R^3: of trained and untrained nets, and of shuffled data."""
    drawn, axes = plt.subplots(1, len(ARENAS), figsize=(11, 4.6), sharey=True, layout="constrained")
    found = groups(rows_found)
    shown = [(rule, 0.0) for rule in RULES] + [
        (rule, strength) for rule, strength, dim in PENALIZED.values() if dim == 3
    ]
    for ax, arena in zip(axes, ARENAS, strict=True):
        for x, (rule, strength) in enumerate(shown):
            for shift, source in enumerate(SOURCES[:3]):
                case = found.get((source, rule, strength, 3, 0.0), {}).get(arena)
                if case:
                    values = by_seed(case, "tuning")
                    mean, half = mean_and_half_width(values)
                    place = x + 0.22 * (shift - 1)
                    ax.plot([place] * len(values), values, ".", color=f"C{shift}", alpha=0.35)
                    ax.errorbar([place], [mean], [half], fmt="o", color=f"C{shift}", capsize=2, label=source)
        ax.axhline(0, color="0.8", linewidth=0.8)
        ax.set_xticks(range(len(shown)), [f"{rule}, {strength:g}" for rule, strength in shown], rotation=60, ha="right")
        ax.set_title(f"{arena} arena")
    names = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=False))
    axes[0].legend(names.values(), names.keys(), frameon=False)
    axes[0].set_ylabel("correlation with tuning distance")
    axes[0].set_ylim(-0.5, 1.05)
    drawn.savefig(file, dpi=150)
    plt.close(drawn)


def cases(seeds: int) -> list[small_nets.Case]:
    """List the cases with seeds outermost, so that an unfinished study is balanced."""
    return [(arena, net, seed) for seed, net, arena in itertools.product(range(seeds), NETS, ARENAS)]


def main() -> None:
    """Run the command line of the study."""
    small_nets.run_study(__doc__, FILE, NAMES, cases, rows, len(SEEDS), tables, figure)


if __name__ == "__main__":
    main()
