"""Do points that were learned in a neutral space show which arena a net lives in?

Nets learn navigation on a circle, a torus or a sphere, without any penalty, and with a cost on their units' parts that
leaves most of them one field. Points on S^5 follow each net while it trains and do not change it. `ModuliRecovery` then
reads the points of the units that are awake. S^5 has none of the classes in question: nobody told the points of a
circle, a torus or a sphere.

Rules of the points: least squares to the cosines of the profiles (`Profiles`) of incoming weights, or of co-activity.
The controls are the same cosines of incoming weights shuffled over pairs, Eq. 6 with the difference of Gaussians, and
uniform points that stay. Evidence that is permuted over neurons is no control here: it gives the same cloud.

What limits the torus: the *places* rule reads the places of the same units, embedded in R^4 by the torus itself.

python -m analysis.neutral                # run what is missing, seeds outermost, then print the tables
python -m analysis.neutral --print-only   # print the tables of the committed records
python -m analysis.neutral --figure       # draw docs/_static/neutral.png
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from analysis import small_nets
from analysis.points import Units, agreement, units_of
from analysis.small_nets import RECORDS, Row, markdown, run_study, summary
from riemod import manifolds, topology
from riemod.coactivity import least_squares
from riemod.evidence import Coactivity, PointEvidence, Profiles, Source, incoming_cosine
from riemod.evidence.sources import as_source, cosines
from riemod.manifolds import Manifold, Sphere, Torus
from riemod.optim import PointAdam
from riemod.regularization import ModuliRegularizer
from riemod.tasks.navigation import Navigation, NavigationModel
from riemod.training import Stream, generator_for

RECORD = RECORDS / "neutral.jsonl"
ARENAS = ("circle", "torus", "sphere")
# Seeds 100 and above chose the settings.
FIRST_SEED = 10
DIM, RATE, EVERY, OBSERVE_EVERY = 5, 0.1, 5, 10
UNITS = {"circle": 120, "torus": 240, "sphere": 240}
CONTRIBUTION_COST = 3e-3
CONTROLS = ("shuffled", "eq6", "fixed")
RULES = ("incoming", "coactivity", *CONTROLS, "places")


def shuffled_cosines(seed: int) -> Source:
    """Return the cosines of the profiles of incoming weights, permuted over pairs at random, as a source."""

    def shuffled(blocks: Tensor) -> Tensor:
        found = cosines(incoming_cosine(blocks))
        rows, columns = torch.triu_indices(len(found), len(found), 1)
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        upper = torch.zeros_like(found)
        upper[rows, columns] = found[rows, columns][order]
        return upper + upper.T + torch.eye(len(found))

    return as_source(shuffled)


class ReadOuts:
    """Holds points on S^5 for each rule, and moves them after the steps of `small_nets.train`.

    Args:
        model: the net; it is not changed.
        seed: of the first points.
    """

    def __init__(self, model: NavigationModel, seed: int) -> None:
        sphere = Sphere(DIM)
        sources: dict[str, Source] = {
            "incoming": Profiles(incoming_cosine),
            "coactivity": Profiles(Coactivity()),
            "shuffled": shuffled_cosines(seed),
        }
        self.moduli = {
            rule: ModuliRegularizer(
                model, sphere, strength=1.0, learn=rule != "fixed", generator=generator_for("cpu", Stream.POINTS, seed)
            )
            for rule in (*sources, "eq6", "fixed")
        }
        self.evidence = {
            rule: PointEvidence(self.moduli[rule], source, law=least_squares(sphere), every=1)
            for rule, source in sources.items()
        }
        self.optimizers = {rule: PointAdam([self.moduli[rule].points], lr=RATE) for rule in (*self.evidence, "eq6")}

    def __call__(self, step: int, factor: float, states: Tensor) -> None:
        """Observe in every 10th step, and move all points in every 5th."""
        if step % EVERY:
            return
        for rule, optimizer in self.optimizers.items():
            evidence, points = self.evidence.get(rule), self.moduli[rule].points
            if evidence is not None and evidence.needs_states and (step % OBSERVE_EVERY == 0 or step == EVERY):
                evidence.observe(states)
            optimizer.param_groups[0]["lr"] = RATE * factor
            optimizer.zero_grad()
            (self.moduli[rule]() if evidence is None else evidence()).backward(inputs=[points])
            optimizer.step()

    def points(self) -> dict[str, Tensor]:
        """Return the points (n, 6) of each rule."""
        return {rule: moduli.points.detach() for rule, moduli in self.moduli.items()}


def rows(arena: str, seed: int) -> list[Row]:
    """Train a net; return a row for each rule."""
    changes = {"hidden_size": UNITS[arena], "contribution_cost": CONTRIBUTION_COST}
    task = Navigation(small_nets.config(arena, seed, **changes))
    model = small_nets.fresh(task)
    read_outs = ReadOuts(model, seed)
    small_nets.train(task, model, watch=read_outs)
    units, score = units_of(task, model), small_nets.errors(task, model)
    found = {rule: points[units.awake] for rule, points in read_outs.points().items()}
    assert task.arena is not None
    found["places"] = embedded(units.places, task.arena.manifold)
    return [{"rule": rule, **score, **measure(points, units, arena, seed)} for rule, points in found.items()]


def embedded(places: Tensor, space: Manifold) -> Tensor:
    """Return places in R^k: as they are, or for a torus by the product of its circles."""
    if not isinstance(space, Torus):
        return places
    angles = places * (2 * torch.pi / space.period)
    return torch.cat((angles.cos(), angles.sin()), 1)


def measure(points: Tensor, units: Units, arena: str, seed: int) -> Row:
    """Return the verdict on points, whether their Betti numbers are right modulo 2 and 3, and agreements."""
    verdict = topology.ModuliRecovery(random_state=seed).fit(points.double())
    space = manifolds.by_name(arena)
    right = all(verdict.betti_[prime].numbers[:3] == (*space.betti(prime), 0)[:3] for prime in (2, 3))
    distances = torch.cdist(points, points)
    return {
        "awake": len(points),
        "tuning": agreement(distances, units.truths["tuning"]),
        "places": agreement(distances, units.truths["places"]),
        "betti 2": list(verdict.betti_[2].numbers),
        "betti 3": list(verdict.betti_[3].numbers),
        "right": right,
        "verdict": verdict.manifold_,
        "degree 1 p": verdict.p_values_[1],
        "degree 2 p": verdict.p_values_[2],
    }


def tables(found: Sequence[Row]) -> str:
    """Format, by arena and rule, how many nets have the right Betti numbers and verdict, and the agreements."""
    lines = []
    for arena in ARENAS:
        for rule in RULES:
            own = [one for one in found if (one["arena"], one["rule"]) == (arena, rule)]
            if own:
                named = [one["verdict"] for one in own]
                counts = ", ".join(f"{name} {named.count(name)}" for name in sorted(set(named)))
                right = f"{sum(one['right'] for one in own)} of {len(own)}"
                agreements = [summary([one[name] for one in own]) for name in ("tuning", "places")]
                lines.append([arena, rule, *agreements, right, counts])
    totals = []
    for rule in RULES:
        own = [one for one in found if one["rule"] == rule]
        named = sum(one["verdict"] == one["arena"] for one in own)
        totals.append([rule, f"{sum(one['right'] for one in own)} of {len(own)}", f"{named} of {len(own)}"])
    return "\n\n".join(
        (
            markdown(("arena", "rule", "tuning", "places", "right Betti numbers", "verdicts"), lines),
            markdown(("rule", "right Betti numbers", "right verdict"), totals),
        )
    )


def draw(found: Sequence[Row], file: Path) -> None:
    """Draw the share of nets with the right Betti numbers, by rule and arena."""
    figure, axes = plt.subplots(1, len(ARENAS), figsize=(7.2, 2.6), sharey=True, layout="constrained")
    for axis, arena in zip(axes, ARENAS, strict=True):
        for place, rule in enumerate(RULES):
            own = [one["right"] for one in found if (one["arena"], one["rule"]) == (arena, rule)]
            color = "0.6" if rule in CONTROLS else "C2" if rule == "places" else "C0"
            axis.bar(place, sum(own) / max(1, len(own)), color=color)
        axis.set_xticks(range(len(RULES)), RULES, rotation=45, ha="right")
        axis.set_title(arena)
        axis.set_ylim(0, 1)
    axes[0].set_ylabel("nets with the right\nBetti numbers")
    figure.savefig(file, dpi=200)


def cases(seeds: int) -> list[tuple[str, int]]:
    """List the cases, seeds outermost."""
    return [(arena, FIRST_SEED + seed) for seed in range(seeds) for arena in ARENAS]


if __name__ == "__main__":
    run_study(__doc__, RECORD, ("arena", "seed"), cases, rows, 5, tables, draw)
