"""The speed rows of a CUDA device: the penalty, a training step, compressed layers and 2:4 weights."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

import riemod
from benchmarks.speed import penalty
from benchmarks.speed.harness import Result, compare, compare_several
from benchmarks.speed.sparse import pruned_layer
from benchmarks.speed.training import LEARNED_TORUS, new_run, stepper
from riemod.manifolds import PoincareBall, Torus
from riemod.pruning import semi_structured_mask, semi_structured_weight

KINDS = {"blocks-90": 1.0, "single-90": 1.0, "blocks-98": 1.0, "single-98": 1.0}


@dataclass(frozen=True)
class Scale:
    """Where the rows run, and how large they are.

    Args:
        device: of torch.
        neurons: n.
        batch: of sequences.
        steps: of sequences.
        rounds: how often each side of a comparison runs.
        navigation: changes of navigation's preset `paper` for its step.
        tests_seconds: for the tests, at most.
        rows_seconds: for each group of rows, at most.
    """

    device: str = "cuda"
    neurons: int = 4096
    batch: int = 200
    steps: int = 50
    rounds: int = 15
    navigation: dict[str, Any] | None = None
    tests_seconds: float = 150.0
    rows_seconds: float = 75.0


DRY = Scale(
    "cpu",
    neurons=256,
    batch=4,
    steps=3,
    rounds=2,
    navigation={"hidden_size": 64, "landmarks": 64, "width": 0.34, "steps": 3, "batch_size": 4},
    tests_seconds=math.inf,
    rows_seconds=math.inf,
)


def penalties(scale: Scale) -> list[Result]:
    """A learned torus against L1 and the broadcast formula, and a learned ball against geoopt."""
    torus, ball, n = Torus(2), PoincareBall(2).to(scale.device), scale.neurons
    weight, points = penalty.operands(torus, n, scale.device)
    ours = penalty.ours(weight, points, torus)
    results = [
        compare(
            "gpu-penalty-torus", ours, penalty.l1(weight), 1.0, f"W.abs().mean() with backward, n = {n}", scale.rounds
        ),
        compare(
            "gpu-penalty-torus-broadcast",
            ours,
            penalty.broadcast(weight, points, torus.period),
            1 / 5,
            f"broadcast formula in torch with backward, n = {n}",
            scale.rounds,
        ),
    ]
    half = max(n // 2, 1)
    weight, points = penalty.operands(PoincareBall(2), half, scale.device)
    against = f"geoopt's PoincareBall.dist of all pairs with backward, n = {half}"
    by_geoopt = penalty.by_geoopt(weight, points)
    results.append(
        compare(
            "gpu-penalty-poincare-geoopt", penalty.ours(weight, points, ball), by_geoopt, 1 / 5, against, scale.rounds
        )
    )
    return results


def navigation(scale: Scale) -> list[Result]:
    """What a learned torus adds to a step of navigation at the paper's scale, and the time of that step."""
    changes = {"device": scale.device, **(scale.navigation or {})}
    with_penalty = stepper(new_run("navigation", "paper", **changes, **LEARNED_TORUS))
    without = stepper(new_run("navigation", "paper", **changes))
    against = "the same step without a penalty: navigation's preset paper, data included"
    return [compare("gpu-navigation-step", with_penalty, without, 1.1, against, scale.rounds)]


def graphs(scale: Scale) -> list[Result]:
    """A step of navigation with a learned torus as a CUDA graph against the usual one, for a large and a small net."""
    changes = {"device": scale.device, **(scale.navigation or {}), **LEARNED_TORUS}
    results = []
    for preset, target in (("paper", 1.0), ("cpu", 1 / 2)):
        replayed = stepper(new_run("navigation", preset, **changes, cuda_graph=scale.device == "cuda"))
        usual = stepper(new_run("navigation", preset, **changes))
        # The first steps are computed as usual, and one is captured.
        for _ in range(5):
            replayed()
        against = f"the same step without a CUDA graph: navigation's preset {preset}, a learned torus, data included"
        results.append(compare(f"gpu-graph-{preset}", replayed, usual, target, against, scale.rounds))
    return results


def compressed(scale: Scale) -> list[Result]:
    """A whole sequence through compressed layers against torch's dense layer."""
    x = torch.randn(scale.steps, scale.batch, 2, device=scale.device)

    def forward(layer: nn.Module) -> Callable[[], object]:
        return torch.inference_mode()(lambda: layer(x))

    layers = {kind: copy.deepcopy(pruned_layer(kind, scale.neurons)).to(scale.device) for kind in KINDS}
    dense = nn.RNN(2, scale.neurons, nonlinearity="relu", bias=False, device=scale.device)
    ours = {
        f"gpu-sparse-{kind}": forward(riemod.sparse.compress(layer, example_input=x)) for kind, layer in layers.items()
    }
    against = f"dense nn.RNN, n = {scale.neurons}, batch {scale.batch}, {scale.steps} steps"
    targets = {f"gpu-sparse-{kind}": target for kind, target in KINDS.items()}
    return list(compare_several(ours, forward(dense), targets, against, scale.rounds).values())


def semi_structured(scale: Scale) -> list[Result]:
    """A product with a 2:4 matrix in float16 against the dense product."""
    n, batch = scale.neurons, max(scale.batch // 8, 1) * 8
    weight = torch.randn(n, n, device=scale.device).half()
    weight *= semi_structured_mask(weight)
    x = torch.randn(batch, n, device=scale.device).half()
    # Only CUDA has kernels for it: the dry run multiplies the masked matrix.
    sparse = semi_structured_weight(weight) if scale.device == "cuda" else weight.clone()
    with torch.inference_mode():
        result = compare(
            "gpu-2-4",
            lambda: nn.functional.linear(x, sparse),
            lambda: nn.functional.linear(x, weight),
            1.0,
            f"dense float16 product, n = {n}, batch {batch}",
            scale.rounds,
        )
    error = (nn.functional.linear(x, sparse) - nn.functional.linear(x, weight)).abs().max().item()
    return [replace(result, notes={"largest_difference": error})]


# By what the names of their records begin with.
GROUPS: dict[str, Callable[[Scale], list[Result]]] = {
    "gpu-penalty": penalties,
    "gpu-navigation": navigation,
    "gpu-graph": graphs,
    "gpu-sparse": compressed,
    "gpu-2-4": semi_structured,
}
