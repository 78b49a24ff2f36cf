"""Appendix H done right: do points learned in R^3 and R^4 tell which arena a net was trained in?

The published answer rests on distances of reshaped coordinates. Here they are those of the points, and the rule that
moves the points is varied: Eq. 6 by its laws and strengths (at 0 points follow the weights, and the weights nothing);
co-activity while training; points fitted to the final correlations. Nets learn navigation on a circle, a torus or in a
box. Every set of points is measured alike (`analysis.recovered`), and so are

- points of the untrained net under the same rule, against that net's own tuning;
- points under the same rule from the trained net's weights or correlations, shuffled over pairs of units;
- *true places*: the units' preferred places themselves, mapped into R^3 or R^4 with noise, as many as there are
  units. What share of these is recognized is the measure's power.

    python -m analysis.appendix_h                 runs what is missing among the records and prints the tables
    python -m analysis.appendix_h --print-only    prints the tables of the records there are
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

from analysis import nets
from analysis.nets import Row
from analysis.points import RATE, READ_EVERY, Follower, ReadOut, units_of
from analysis.recovered import ARENAS, measure, true_points
from riemod.coactivity import Coactivity, fit_to_correlations
from riemod.coactivity.energy import WIDE
from riemod.manifolds import Euclidean
from riemod.regularization import ModuliRegularizer, inhibitors
from riemod.tasks.navigation import Navigation
from riemod.training import Stream, generator_for

FILE = nets.RECORDS / "appendix_h.jsonl"
NAMES = ("arena", "net", "seed")
SEEDS = range(3)
DIMS = (3, 4)
RULES = ("weights dog", "weights ricker", "coactivity gaussian", "fitted dog")
# Nets whose weights pay by Eq. 6: rule of the points, strength (mean), dimension. The larger strength is the paper's.
PENALISED = {
    f"{rule}, strength {strength:g}, R^{dim}": (rule, strength, dim)
    for rule, strength, dim in (
        *itertools.product(("weights dog", "weights ricker"), (0.01, 0.1), (3,)),
        *itertools.product(("weights dog", "weights ricker", "coactivity gaussian"), (0.1,), (4,)),
        ("coactivity gaussian", 0.1, 3),
    )
}
NETS = ("read-outs", *PENALISED)
NOISES, DRAWS = (0.0, 0.1, 0.2), 4
SOURCES = ("trained", "untrained", "shuffled", "true places")
# Of points that are fitted.
RESTARTS, STEPS = 4, 200
Key = tuple[str, str, float, int, float]


def rows(arena: str, net: str, seed: int, **changes: Any) -> list[Row]:
    """The rows of one net: of each read-out, its nulls and true places, or of the points it was trained with."""
    task = Navigation(nets.config(arena, seed, **changes))
    model = nets.fresh(task)
    if net in PENALISED:
        rule, strength, dim = PENALISED[net]
        evidence, law = rule.split()
        moduli = ModuliRegularizer(
            model,
            Euclidean(dim),
            inhibitor=inhibitors.by_name(law if evidence == "weights" else "dog"),
            strength=strength,
            learn=True,
            refresh_every=READ_EVERY,
            evidence=None if evidence == "weights" else Coactivity(),
            generator=generator_for("cpu", Stream.POINTS, seed),
        )
        task = Navigation(task.config.replace(embedding_learning_rate=RATE))
        nets.train(task, model, moduli)
        named = {"source": "trained", "rule": rule, "strength": strength, "dim": dim, "noise": 0.0}
        units = units_of(task, model)
        return [named | nets.errors(task, model) | measure(moduli.points.detach()[units.awake], units, arena, seed)]
    before: Tensor = model.rnn.get_parameter("weight_hh_l0").detach().clone()
    untrained = units_of(task, model)
    learned = {case: _read_out(*case, task, seed) for case in itertools.product(RULES, DIMS) if "fitted" not in case[0]}
    follower = Follower(model, list(learned.values()))
    nets.train(task, model, watch=follower)
    weight: Tensor = model.rnn.get_parameter("weight_hh_l0").detach()
    units = units_of(task, model)
    scores = nets.errors(task, model)
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
    # The wide Gaussian that co-activity has by default, not the inhibitor of that name.
    chosen = WIDE if law == "gaussian" else inhibitors.by_name(law)
    return ReadOut(Euclidean(dim), "weights" if evidence == "weights" else "coactivity", chosen, size, draw)


def _settled(
    rule: str, dim: int, matrix: Tensor, factors: Sequence[float], task: Navigation, draw: torch.Generator
) -> Tensor:
    """Points under a rule for weights or correlations that stay: as many steps as read-outs take, at the same rates."""
    if rule.startswith("fitted"):
        return fit_to_correlations(
            matrix, Euclidean(dim), restarts=RESTARTS, steps=STEPS, generator=draw
        ).points.detach()
    read_out = _read_out(rule, dim, task, int(torch.randint(2**31, (), generator=draw)))
    for factor in factors:
        read_out.follow(matrix, factor)
    return read_out.embedding.points.detach()


def _shuffled(matrix: Tensor, draw: torch.Generator) -> Tensor:
    """The entries of pairs j < k, with their mirrors, permuted; the diagonal stays."""
    upper, lower = torch.triu_indices(len(matrix), len(matrix), 1)
    order = torch.randperm(len(upper), generator=draw)
    mixed = matrix.clone()
    mixed[upper, lower], mixed[lower, upper] = matrix[upper, lower][order], matrix[lower, upper][order]
    return mixed


def groups(rows_found: list[Row]) -> dict[Key, dict[str, list[Row]]]:
    """Rows by (points of, rule, strength, dimension, noise) and arena, in the order of `SOURCES`."""
    grouped: dict[Key, dict[str, list[Row]]] = {}
    for row in rows_found:
        key: Key = (row["source"], row["rule"], row["strength"], row["dim"], row["noise"])
        grouped.setdefault(key, {}).setdefault(row["arena"], []).append(row)
    return dict(sorted(grouped.items(), key=lambda item: (SOURCES.index(item[0][0]), *item[0][1:])))


def by_seed(case: list[Row], name: str) -> list[float]:
    """The value of each seed, its mean where true places have several draws of noise."""
    seeds = dict.fromkeys(row["seed"] for row in case)
    return [float(np.mean([row[name] for row in case if row["seed"] == seed])) for seed in seeds]


def _correlation(name: str) -> Callable[[list[Row]], str]:
    """A cell: mean ± half its interval, and how many are significant."""
    return lambda case: (
        f"{nets.summary(by_seed(case, name))} ({sum(row[f'{name} p'] <= 0.05 for row in case)} of {len(case)})"
    )


def _shape(case: list[Row]) -> str:
    """A cell: how many verdicts are right, how many name another closed manifold, how many have a significant loop."""
    wrong = sum(not row["right"] and row["verdict"] not in ("contractible", "undecided") for row in case)
    loops = sum(row["loop p"] <= 0.05 for row in case)
    return f"{sum(row['right'] for row in case)}, {wrong}, {loops} of {len(case)}"


def _extent(case: list[Row]) -> str:
    """A cell: mean [least, largest] of the correlation with tuning, then `_shape`."""
    values = [row["tuning"] for row in case]
    return f"{np.mean(values):.2f} [{min(values):.2f}, {max(values):.2f}]; {_shape(case)}"


def brief(rows_found: list[Row]) -> str:
    """By rule, over all dimensions and strengths: correlation with tuning, mean [least, largest]; then `_shape`."""
    pooled: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for (source, rule, _, _, noise), arenas in groups(rows_found).items():
        for arena, case in arenas.items():
            name = rule or f"noise {noise:g}"
            pooled.setdefault((source, name), {}).setdefault(arena, []).extend(case)
    lines = [
        [*key, *(_extent(arenas[arena]) if arena in arenas else "" for arena in ARENAS)]
        for key, arenas in pooled.items()
    ]
    return nets.markdown(("points of", "rule", *ARENAS), lines)


def tables(rows_found: list[Row]) -> str:
    """The short table, and the long ones of correlations with places and tuning, verdicts and loops."""
    if not rows_found:
        return "no records of appendix_h"
    parts = {
        "Correlation with the distance of preferred places (p <= 0.05 by Mantel's test)": _correlation("places"),
        "Correlation with tuning distance (p <= 0.05 by Mantel's test)": _correlation("tuning"),
        "Correlation with the weights |w_jk| + |w_kj|": lambda case: nets.summary(by_seed(case, "weights")),
        "Right verdicts, verdicts of another closed manifold, loops with p <= 0.05": _shape,
    }
    found = groups(rows_found)
    written = [brief(rows_found)]
    for title, cell in parts.items():
        lines = [
            [*(str(part) for part in key), *(cell(arenas[arena]) if arena in arenas else "" for arena in ARENAS)]
            for key, arenas in found.items()
        ]
        written.append(f"{title}\n\n{nets.markdown(('points of', 'rule', 'strength', 'k', 'noise', *ARENAS), lines)}")
    return "\n\n".join(written)


def figure(rows_found: list[Row], file: Path) -> None:
    """Correlations with tuning distance by rule in R^3: of trained and untrained nets, and of shuffled evidence."""
    drawn, axes = plt.subplots(1, len(ARENAS), figsize=(11, 4.6), sharey=True, layout="constrained")
    found = groups(rows_found)
    shown = [(rule, 0.0) for rule in RULES] + [
        (rule, strength) for rule, strength, dim in PENALISED.values() if dim == 3
    ]
    for ax, arena in zip(axes, ARENAS, strict=True):
        for x, (rule, strength) in enumerate(shown):
            for shift, source in enumerate(SOURCES[:3]):
                case = found.get((source, rule, strength, 3, 0.0), {}).get(arena)
                if case:
                    values = by_seed(case, "tuning")
                    mean, half = nets.interval(values)
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


def cases(seeds: int) -> list[nets.Case]:
    """Seeds outermost, so that what is done at any time is balanced."""
    return [(arena, net, seed) for seed, net, arena in itertools.product(range(seeds), NETS, ARENAS)]


def main() -> None:
    """Run what is missing, print, draw."""
    nets.run_study(__doc__, FILE, NAMES, cases, rows, len(SEEDS), tables, figure)


if __name__ == "__main__":
    main()
