"""Points on spheres by least squares: how well they recover the tuning of units, after training and during it.

`trained` looks at the nets of the confusion study (`python -m analysis.confusion --runs DIR` trains them), with points
fitted to the states at the end of 4,000 walks: on the arena's own manifold by the default law, and on S^3 and S^5 by
least squares. `training` trains nets of `analysis.small_nets` whose points on S^5 follow their co-activity without a
penalty on the weights, and fits points to the same nets afterwards.
"""

from pathlib import Path

import torch
from torch import Tensor

from analysis import small_nets
from analysis.points import agreement, correlations_of, truths, units_of
from analysis.small_nets import Row
from riemod import manifolds, topology
from riemod.coactivity import fit_to_correlations, least_squares
from riemod.evidence import Coactivity, PointEvidence
from riemod.manifolds import Manifold, Sphere, Torus
from riemod.regularization import ModuliRegularizer, NeuronEmbedding
from riemod.tasks.navigation import Navigation
from riemod.training import RunFolder, Stream, generator_for, load

WALKS = 4000
# The default law needs more starts than least squares, which reaches the same energy from nearly every start.
OWN_RESTARTS, OWN_STEPS = 4, 200
RESTARTS, STEPS = 2, 100
# In the first of the 10 steps of a walk some units represent the start, and then fall silent.
SKIP = 5
# Length of a point's first step, and the number of steps of the net for one step of the points.
RATE, EVERY = 0.1, 5


def trained_rows(runs: Path, arena: str, seed: int) -> list[Row]:
    """Fit points to a finished run: one row for each manifold."""
    folder = RunFolder(runs / f"{arena}-seed{seed}")
    if not folder.record_file.is_file():
        raise FileNotFoundError(f"--runs: no finished run {folder.path}; python -m analysis.confusion trains it")
    run = load(folder)
    task, model = run.task, run.model.eval()
    assert isinstance(task, Navigation)
    assert task.arena is not None
    states, positions = task.states(model, torch.Generator().manual_seed(1000 + seed), WALKS, last=1)
    correlations = correlations_of(states)
    # A silent unit has no place.
    awake = correlations.diagonal() > 0.5
    correlations = correlations[awake][:, awake]
    true = truths(states[:, awake], positions, task.arena.manifold)
    rows = []
    for name, manifold in {"own": manifolds.by_name(arena), "S^3": Sphere(3), "S^5": Sphere(5)}.items():
        fitted = fit(correlations, manifold, seed, own=name == "own")
        rows.append({"points": name} | measure(fitted, correlations, true, arena, seed))
    return rows


def training_rows(arena: str, seed: int) -> list[Row]:
    """Train a small net, and measure points on S^5 at the end of training and points fitted afterwards."""
    sphere = Sphere(5)
    task = Navigation(small_nets.config(arena, seed, embedding_learning_rate=RATE))
    model = small_nets.fresh(task)
    moduli = ModuliRegularizer(
        model,
        sphere,
        strength=0.0,
        learn=True,
        generator=generator_for("cpu", Stream.POINTS, seed),
    )
    evidence = PointEvidence(moduli, Coactivity(), law=least_squares(sphere), every=EVERY)
    small_nets.train(task, model, moduli, evidence=evidence, skip=SKIP)
    units = units_of(task, model, 800, task.config.steps - SKIP)
    correlations = units.correlations[units.awake][:, units.awake]
    own = moduli.layer_embeddings(0)[0]
    during = NeuronEmbedding(sphere, len(correlations), learn=False, points=own.points.detach()[units.awake])
    found = {"during": during, "after": fit(correlations, sphere, seed, own=False)}
    error = small_nets.errors(task, model)
    return [
        {"points": when} | error | measure(points, correlations, units.truths, arena, seed)
        for when, points in found.items()
    ]


def fit(correlations: Tensor, manifold: Manifold, seed: int, *, own: bool) -> NeuronEmbedding:
    """Fit points by the default law, or by least squares on a sphere."""
    generator = torch.Generator().manual_seed(seed)
    if own:
        return fit_to_correlations(correlations, manifold, restarts=OWN_RESTARTS, steps=OWN_STEPS, generator=generator)
    assert isinstance(manifold, Sphere)
    return fit_to_correlations(
        correlations, manifold, law=least_squares(manifold), restarts=RESTARTS, steps=STEPS, generator=generator
    )


def measure(embedding: NeuronEmbedding, correlations: Tensor, true: dict[str, Tensor], arena: str, seed: int) -> Row:
    """Compute rank correlations, shares of the leading eigenvalues of the correlations, Betti numbers and a verdict.

    Args:
        embedding: m points.
        correlations: (m, m) of their units.
        true: (m, m) distances by name.
        arena: where the net was trained.
        seed: of nulls.
    """
    distances = embedding.distances().detach()
    verdict = topology.ModuliRecovery(random_state=seed).fit(in_space(embedding))
    space = manifolds.by_name(arena)
    eigenvalues = torch.linalg.eigvalsh(correlations.double()).flip(0) / len(correlations)
    betti = {prime: verdict.betti_[prime].numbers for prime in (2, 3)}
    return {
        "awake": len(correlations),
        "leading 4": eigenvalues[:4].sum().item(),
        "leading 6": eigenvalues[:6].sum().item(),
        **{f"ceiling {name}": agreement(-correlations, truth) for name, truth in true.items()},
        **{name: agreement(distances, truth) for name, truth in true.items()},
        "betti": str(betti[2]),
        "right betti": str(all(found == (*space.betti(prime), 0)[:3] for prime, found in betti.items())),
        "verdict": verdict.manifold_,
        "metric": verdict.metric_,
        "degree 1 p": verdict.p_values_[1],
        "degree 2 p": verdict.p_values_[2],
        "longest": {str(degree): round(float(ratio), 3) for degree, ratio in verdict.longest_.items()},
    }


def in_space(embedding: NeuronEmbedding) -> Tensor:
    """Return the points in R^k, (m, k): unit vectors of a sphere, and a torus as a product of unit circles."""
    points = embedding.points.detach().double()
    if not isinstance(embedding.manifold, Torus):
        return points
    angles = points * (2 * torch.pi / embedding.manifold.period)
    return torch.cat((angles.cos(), angles.sin()), 1)
