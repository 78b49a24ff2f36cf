"""Which moduli space fits: is a net pruned best under the penalty of its own arena's manifold?

Nets learn navigation in an arena with fixed points drawn uniformly on a manifold and the difference of Gaussians of
Eq. 6, while their hidden matrix is pruned by magnitude. Manifolds are rescaled to the same share of cheap pairs
(`match_budget`), and strengths to the same mean coefficient, so that they differ in geometry alone. *Shuffled* has the
coefficients of the arena's own manifold, permuted over pairs. All of these share weights and batches of a seed. The
error is that of the position decoded by maximum likelihood, divided by its floor, the error of perfect codes.

    python -m analysis.which_space                 runs missing cases and prints the tables
    python -m analysis.which_space --print-only    prints the tables of the existing records
    python -m analysis.which_space --figure        also draws docs/_static/which_space.png
"""

import functools
import itertools
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from analysis import small_nets
from analysis.small_nets import Row
from benchmarks.intervals import mean_and_half_width
from riemod import manifolds
from riemod.manifolds import Manifold
from riemod.pruning import CubicSchedule, MagnitudePruner
from riemod.regularization import ModuliRegularizer, controls, inhibitors
from riemod.tasks.navigation import Navigation, NavigationModel
from riemod.training import Stream, generator_for

FILE = small_nets.RECORDS / "which_space.jsonl"
ARENAS = ("circle", "torus", "sphere", "klein")
SPACES = (*ARENAS, "euclidean2")
ARMS = ("none", *SPACES, "shuffled")
SEEDS = range(6)
NAMES = ("arena", "arm", "seed")
# The share of cheap pairs of the default torus.
SHARE = 0.138
# strength * mean f: a weight pays on average this, divided by the number of weights. Of 0.1, 1, 3, 10 and 100 it is the
# best one for the shuffled control in the torus arena, with a seed that the study does not have.
MEAN_COST = 3.0
SPARSITY = 0.95
EPOCHS, TAIL = 20, 10


@functools.cache
def space(name: str) -> Manifold:
    """Return the manifold of that name, in the size at which it has the share of cheap pairs."""
    return controls.match_budget(manifolds.by_name(name), inhibitors.DifferenceOfGaussians(), SHARE)[0]


def penalty(model: NavigationModel, arena: str, arm: str, seed: int) -> ModuliRegularizer | None:
    """Build the regularizer of an arm; "shuffled" permutes the coefficients that the own manifold's arm has."""
    if arm == "none":
        return None
    costs = controls.Shuffled() if arm == "shuffled" else None
    draw = generator_for("cpu", Stream.POINTS, seed)
    moduli = ModuliRegularizer(
        model, space(arena if arm == "shuffled" else arm), strength=1.0, costs=costs, generator=draw
    )
    moduli.strength = MEAN_COST / moduli.coefficients().mean().item()
    return moduli


def row(arena: str, arm: str, seed: int, **changes: Any) -> Row:
    """Train and prune a net, and let it recover."""
    plan = small_nets.config(arena, seed, **{"epochs": EPOCHS, "tail_epochs": TAIL, "dense_epochs": 4} | changes)
    task = Navigation(plan)
    model = small_nets.fresh(task)
    moduli = penalty(model, arena, arm, seed)
    course = plan.training
    schedule = CubicSchedule(SPARSITY, course.epochs, tail=course.tail_epochs, start=course.dense_epochs)
    pruner = MagnitudePruner(model, schedule, targets=["rnn.weight_hh_l0"])
    small_nets.train(task, model, moduli, pruner)
    found = small_nets.errors(task, model)
    costs = None if moduli is None else moduli.coefficients()
    return found | {
        "ratio": found["error"] / found["floor"],
        "sparsity": pruner.sparsity()["total"],
        "cheap share": None if costs is None else (costs < costs.max() / 2).double().mean().item(),
    }


def ratios(rows: list[Row], arena: str) -> dict[str, dict[int, float]]:
    """Return the error over floor by arm and seed."""
    found: dict[str, dict[int, float]] = {arm: {} for arm in ARMS}
    for each in rows:
        if each["arena"] == arena:
            found[each["arm"]][each["seed"]] = each["ratio"]
    return found


def differences(found: dict[str, dict[int, float]], own: str) -> dict[str, list[float]]:
    """Compute, by seed, the own manifold's ratio minus the mean of the others, minus "none" and minus "shuffled"."""
    others = [name for name in SPACES if name != own]
    against = {"others": others, "none": ["none"], "shuffled": ["shuffled"]}
    return {
        name: [
            found[own][seed] - sum(found[arm][seed] for arm in arms) / len(arms)
            for seed in found[own]
            if all(seed in found[arm] for arm in arms)
        ]
        for name, arms in against.items()
    }


def best(found: dict[str, dict[int, float]]) -> list[str]:
    """Return the manifold with the least error, for each seed that has all manifolds."""
    whole = set.intersection(*(set(found[name]) for name in SPACES))
    return [min(SPACES, key=lambda name: found[name][seed]) for seed in sorted(whole)]


def tables(rows: list[Row]) -> str:
    """Format errors over floor by arm, and the paired differences, with 95 % intervals over seeds."""
    if not rows:
        return "no records of which_space"
    errors, paired = [], []
    for arena in ARENAS:
        found = ratios(rows, arena)
        seeds = max(len(by_seed) for by_seed in found.values())
        if not seeds:
            continue
        errors.append(
            [arena, str(seeds), *(small_nets.summary(found[arm].values()) if found[arm] else "" for arm in ARMS)]
        )
        won = best(found)
        apart = differences(found, arena)
        cells = [small_nets.summary(values) if values else "" for values in apart.values()]
        paired.append([arena, *cells, f"{won.count(arena)} of {len(won)}"])
    pooled = [
        f"{sum(int(line[-1].split()[0]) for line in paired)} of {sum(int(line[-1].split()[2]) for line in paired)}"
    ]
    return "\n\n".join(
        (
            small_nets.markdown(("arena", "n", *ARMS), errors),
            small_nets.markdown(
                ("arena", "own less others", "own less none", "own less shuffled", "own is best of five"),
                [*paired, ["all", "", "", "", *pooled]],
            ),
        )
    )


def figure(rows: list[Row], file: Path) -> None:
    """Draw the error over floor by arm, a panel for each arena; dots are seeds, bars 95 % intervals."""
    drawn, axes = plt.subplots(1, len(ARENAS), figsize=(11, 3.2), sharey=True, layout="constrained")
    for ax, arena in zip(axes, ARENAS, strict=True):
        found = ratios(rows, arena)
        for x, arm in enumerate(ARMS):
            if not found[arm]:
                continue
            mean, half = mean_and_half_width(found[arm].values())
            color = "C3" if arm == arena else "0.55" if arm in ("none", "shuffled") else "C0"
            ax.plot([x] * len(found[arm]), list(found[arm].values()), ".", color=color, alpha=0.35)
            ax.errorbar([x], [mean], [half], fmt="o", color=color, capsize=3)
        ax.axhline(1, color="0.8", linewidth=0.8)
        ax.set_xticks(range(len(ARMS)), ["plane" if arm == "euclidean2" else arm for arm in ARMS], rotation=60)
        ax.set_title(f"{arena} arena")
    axes[0].set_ylabel("error / floor")
    drawn.savefig(file, dpi=150)
    plt.close(drawn)


def cases(seeds: int) -> list[small_nets.Case]:
    """List the cases with seeds outermost, so that an unfinished study is balanced."""
    return [(arena, arm, seed) for seed, arena, arm in itertools.product(range(seeds), ARENAS, ARMS)]


def main() -> None:
    """Run the command line of the study."""
    small_nets.run_study(__doc__, FILE, NAMES, cases, row, len(SEEDS), tables, figure)


if __name__ == "__main__":
    main()
