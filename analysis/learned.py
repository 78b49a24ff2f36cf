"""Do learned points show the space that the task lives on, while the penalty is on?

Nets learn navigation in arenas that are a circle, a torus or a sphere. Their points live on a manifold of the same
kind, and follow evidence while a signed penalty acts on the weights. Points are compared with two true distances
between units, by rank correlation over pairs: *tuning*, 1 minus the correlation of rate maps, and *places*, the
geodesic distance of the places where units are most active. The *spread* is the mean distance of the points over that
of uniform points.

The controls are points that stay where they were drawn under the same penalty (*fixed*); points that follow the same
evidence about other neurons (*permuted*), with the same law and uniformity; and Eq. 6 as published, whose difference of
Gaussians has the same mean coefficient (*eq6*).

python -m analysis.learned                # run what is missing, seeds outermost, then print the tables
python -m analysis.learned --print-only   # print the tables of the committed records
python -m analysis.learned --figure       # draw docs/_static/learned.png
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from analysis import small_nets
from analysis.points import agreement, units_of
from analysis.small_nets import RECORDS, Row, markdown, run_study, summary
from riemod import inhibitors, manifolds
from riemod.evidence import Coactivity, Permuted, PointEvidence, Source, incoming_cosine, signed_weights
from riemod.evidence.sources import as_source
from riemod.manifolds import Manifold
from riemod.manifolds._uniform_pairs import mean_distance, uniform_pairs
from riemod.regularization import ModuliRegularizer
from riemod.regularization.inhibitors import CostLaw, DifferenceOfGaussians
from riemod.tasks.navigation import Navigation
from riemod.training import Stream, generator_for

RECORD = RECORDS / "learned.jsonl"
ARENAS = ("circle", "torus", "sphere")
# Mean coefficient of the penalty times its strength, in every arm.
COST = 3.0
RATE = 0.1
EVERY = 5
# Seeds 100 and above chose the settings.
FIRST_SEED = 10
# Besides 120 units and no cost of their parts in the scores.
NETS: dict[str, Row] = {
    "circle": {},
    "torus": {"hidden_size": 256, "contribution_cost": 3e-3},
    "sphere": {},
}


class Arm:
    """Describes what a net pays by, and what its points follow.

    Args:
        law: makes the law of costs of a manifold.
        source: makes what points follow for a seed; None for Eq. 6, if they are learned.
        learn: whether points are learned.
    """

    def __init__(
        self, law: Callable[[Manifold], CostLaw], source: Callable[[int], Source] | None = None, learn: bool = True
    ) -> None:
        self.law, self.source, self.learn = law, source, learn


def _dog(manifold: Manifold) -> CostLaw:
    return DifferenceOfGaussians()


_signed = inhibitors.Signed.mexican_hat
ARMS: dict[str, Arm] = {
    "coactivity": Arm(_signed, lambda seed: Coactivity()),
    "fixed": Arm(_signed, learn=False),
    "permuted": Arm(_signed, lambda seed: Permuted(Coactivity(), seed=seed)),
    "eq6": Arm(_dog),
    "cosine": Arm(_signed, lambda seed: as_source(incoming_cosine)),
    "signed": Arm(_signed, lambda seed: as_source(signed_weights)),
}
CONTROLS = ("fixed", "permuted", "eq6")


def row(arena: str, arm: str, seed: int) -> Row:
    """Train a net, and measure its points."""
    task = Navigation(small_nets.config(arena, seed, embedding_learning_rate=RATE, **NETS[arena]))
    model, manifold, plan = small_nets.fresh(task), manifolds.by_name(arena), ARMS[arm]
    law = plan.law(manifold)
    squared = uniform_pairs(manifold)
    mean = torch.stack([part.of_squared_distance(squared).mean() for part in law.parts]).mean().item()
    moduli = ModuliRegularizer(
        model,
        manifold,
        inhibitor=law,
        strength=COST / mean,
        learn=plan.learn,
        generator=generator_for("cpu", Stream.POINTS, seed),
    )
    evidence = None if plan.source is None else PointEvidence(moduli, plan.source(seed), every=EVERY)
    small_nets.train(task, model, moduli, evidence=evidence)
    units = units_of(task, model)
    own = moduli.layer_embeddings(0)[0].distances().detach()
    awake = own[units.awake][:, units.awake]
    score = small_nets.errors(task, model)
    return {
        "error": score["error"],
        "floor": score["floor"],
        "awake": int(units.awake.sum()),
        "spread": own.mean().item() / mean_distance(manifold),
        **{name: agreement(awake, truth) for name, truth in units.truths.items()},
        **{
            f"ceiling {name}": agreement(-units.correlations[units.awake][:, units.awake], truth)
            for name, truth in units.truths.items()
        },
        "places by tuning": agreement(units.truths["places"], units.truths["tuning"]),
    }


def tables(rows: Sequence[Row]) -> str:
    """Format means and intervals over seeds, and in how many seeds the points beat every control."""
    lines = []
    for arena in ARENAS:
        for arm in ARMS:
            own = [found for found in rows if (found["arena"], found["arm"]) == (arena, arm)]
            if not own:
                continue
            values = [[found[name] for found in own] for name in ("spread", "tuning", "places", "places by tuning")]
            error = [found["error"] / found["floor"] for found in own]
            wins = _wins(rows, arena, arm)
            lines.append([arena, arm, str(len(own)), *map(summary, [error, *values]), wins])
    header = (
        "arena",
        "arm",
        "n",
        "error / floor",
        "spread",
        "tuning",
        "places",
        "places by tuning",
        "above all controls",
    )
    return markdown(header, lines)


def _wins(rows: Sequence[Row], arena: str, arm: str) -> str:
    """Count the seeds in which an arm agrees with tuning more than each control does."""
    if arm in CONTROLS:
        return ""
    by = {(found["arm"], found["seed"]): found["tuning"] for found in rows if found["arena"] == arena}
    seeds = [seed for name, seed in by if name == arm and all((control, seed) in by for control in CONTROLS)]
    wins = sum(by[arm, seed] > max(by[control, seed] for control in CONTROLS) for seed in seeds)
    return f"{wins} of {len(seeds)}"


def draw(rows: Sequence[Row], file: Path) -> None:
    """Draw the agreement with tuning of every net, by arm and arena."""
    figure, axes = plt.subplots(1, len(ARENAS), figsize=(7.2, 2.8), sharey=True, layout="constrained")
    for axis, arena in zip(axes, ARENAS, strict=True):
        for place, arm in enumerate(ARMS):
            values = [found["tuning"] for found in rows if (found["arena"], found["arm"]) == (arena, arm)]
            color = "0.55" if arm in CONTROLS else "C0"
            axis.plot([place] * len(values), values, "o", color=color, markersize=4, alpha=0.8)
            if values:
                axis.plot([place - 0.3, place + 0.3], [sum(values) / len(values)] * 2, color=color)
        axis.set_xticks(range(len(ARMS)), ARMS, rotation=45, ha="right")
        axis.set_title(arena)
        axis.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes[0].set_ylabel("agreement of distances\nwith tuning (rank correlation)")
    figure.savefig(file, dpi=200)


def cases(seeds: int) -> list[tuple[str, str, int]]:
    """List the cases, seeds outermost, so that a study that was stopped has every arena and arm."""
    return [(arena, arm, FIRST_SEED + seed) for seed in range(seeds) for arm in ARMS for arena in ARENAS]


if __name__ == "__main__":
    run_study(__doc__, RECORD, ("arena", "arm", "seed"), cases, row, 5, tables, draw)
