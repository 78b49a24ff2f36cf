"""The methods that bad arguments are given to, and calls whose arguments no signature tells."""

import importlib
import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from riemod import (
    coactivity,
    evidence,
    initialization,
    inspection,
    manifolds,
    masks,
    optim,
    pruning,
    regularization,
    sparse,
    tasks,
    topology,
)
from riemod.regularization import inhibitors
from tests.faults import values
from tests.faults.values import Maker


def _fitted() -> topology.CircularCoordinates:
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return topology.CircularCoordinates(n_landmarks=30).fit(np.stack([np.cos(angles), np.sin(angles)], 1))


def _step(**options: Any) -> Any:
    """Take a step of a dynamic pruner whose options these are."""
    model = values.masked()
    pruner = pruning.DynamicSparsePruner(model, **options)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return [pruner.step() for _ in range(3)]


def _penalized(module: Any) -> Any:
    return regularization.ModuliRegularizer(module, values.TORUS)()


def _config(task: str, **fields: Any) -> tasks.RunConfig:
    return tasks.task_class(task).presets["smoke"].replace(**fields)


def _estimate(kind: type, X: Any, **options: Any) -> Any:
    kind(**options).fit(X)


def methods() -> list[tuple[str, Callable[..., Any], dict[str, Maker]]]:
    """Return the name of each call, the function, and what makes valid values of its arguments."""
    circle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    ring = np.stack([np.cos(circle), np.sin(circle)], 1)
    fields = {
        task: {name: (lambda value=value: value) for name, value in _config(task).to_dict().items() if name != "preset"}
        for task in ("adding", "navigation", "language")
    }
    every = [manifolds.Torus(2), manifolds.Sphere(2), manifolds.Euclidean(2), manifolds.PoincareBall(2)]
    every += [manifolds.KleinBottle(), manifolds.Product([manifolds.Torus(1), manifolds.Sphere(2)])]
    calls: list[tuple[str, Callable[..., Any], dict[str, Maker]]] = []
    for manifold in every:
        name = f"manifolds.{type(manifold).__name__}"

        def sampled(manifold: manifolds.Manifold = manifold) -> torch.Tensor:
            return manifold.sample(4, generator=values.generator())

        calls += [
            (f"{name}.sample", manifold.sample, {"n": lambda: 4, "generator": values.generator}),
            (f"{name}.distance", manifold.distance, {"x": sampled, "y": sampled}),
            (f"{name}.parameter", manifold.parameter, {"points": sampled}),
            (f"{name}.scaled", manifold.scaled, {"factor": lambda: 2.0}),
            (f"{name}.betti", manifold.betti, {"prime": lambda: 2}),
        ]
    for manifold in (manifolds.Torus(2), manifolds.Sphere(2), manifolds.Euclidean(2), manifolds.KleinBottle()):
        calls.append((f"manifolds.{type(manifold).__name__}.lattice", manifold.lattice, {"count": lambda: 4}))
    return [
        *calls,
        ("pruning.MagnitudePruner.prune", pruning.MagnitudePruner(values.net()).prune, {"sparsity": lambda: 0.5}),
        ("pruning.MagnitudePruner.start_epoch", _scheduled().start_epoch, {"epoch": lambda: 2}),
        ("pruning.MagnitudePruner.apply", pruning.MagnitudePruner(values.net()).apply, {"optimizer": lambda: None}),
        *(
            (f"pruning.{type(schedule).__name__}.__call__", schedule.__call__, {"epoch": lambda: 2})
            for schedule in (
                pruning.ConstantSchedule(0.9),
                pruning.LinearSchedule(0.9, 10),
                pruning.CubicSchedule(0.9, 10, 2, 1),
            )
        ),
        (
            "pruning.DynamicSparsePruner",
            _step,
            {
                "steps": lambda: 10,
                "update_every": lambda: 1,
                "drop_fraction": lambda: 0.3,
                "temperature": lambda: 10.0,
            },
        ),
        ("regularization.ModuliRegularizer", _penalized, {"module": values.net}),
        ("tasks.AddingConfig", lambda **values: _config("adding", **values), fields["adding"]),
        (
            "tasks.LanguageConfig",
            lambda **values: _config("language", **values),
            {name: make for name, make in fields["language"].items() if name not in fields["adding"]},
        ),
        ("tasks.NavigationConfig", lambda **values: _config("navigation", **values), fields["navigation"]),
        (
            "topology.CircularCoordinates.fit",
            lambda **values: _estimate(topology.CircularCoordinates, **values),
            {
                "X": lambda: ring,
                "n_coordinates": lambda: 1,
                "n_landmarks": lambda: 20,
                "metric": lambda: "euclidean",
                "prime": lambda: 47,
                "random_state": lambda: 0,
            },
        ),
        ("topology.CircularCoordinates.transform", _fitted().transform, {"X": lambda: ring}),
        (
            "topology.ModuliRecovery.fit",
            lambda **values: _estimate(topology.ModuliRecovery, **values),
            {
                "X": lambda: ring,
                "metric": lambda: "euclidean",
                "n_nulls": lambda: 19,
                "n_subsamples": lambda: 1,
                "alpha": lambda: 0.05,
                "nulls": lambda: ("gaussian",),
                "random_state": lambda: 0,
                "n_jobs": lambda: None,
            },
        ),
        ("initialization.seeded_draws", _seeded, {"generator": values.generator}),
        ("evidence.PointEvidence.observe", _observed, {"states": lambda: values.tensor(20, 6), "layer": lambda: 0}),
        ("evidence.PointEvidence.observing", _observing, {"every": lambda: 1}),
        ("evidence.PointEvidence.matrix", _follower().matrix, {"layer": lambda: 0}),
        ("evidence.PointEvidence.silent", _follower().silent, {"layer": lambda: 0}),
        ("evidence.EvidenceLaw.on", evidence.EvidenceLaw().on, {"manifold": lambda: values.TORUS}),
        (
            "regularization.inhibitors.Signed.mexican_hat",
            inhibitors.Signed.mexican_hat,
            {"manifold": lambda: values.TORUS, "width": lambda: 1.0},
        ),
        (
            "regularization.ModuliRegularizer.coefficients",
            values.moduli().coefficients,
            {"layer": lambda: 0, "first": lambda: 0, "last": lambda: 3, "sign": lambda: 1},
        ),
        *(
            (f"regularization.ModuliRegularizer.{name}", getattr(values.moduli(), name), {argument: lambda: 1})
            for name, argument in (("release_points", "every"), ("start_epoch", "epoch"))
        ),
        *(
            (f"regularization.ModuliRegularizer.{name}", getattr(values.moduli(), name), {"layer": lambda: 0})
            for name in ("layer_embeddings", "source_embeddings")
        ),
        (
            "inspection.analyze_run",
            inspection.analyze_run,
            {"run": values.finished, "out": values.new_file, "states": lambda: 100},
        ),
        ("coactivity.RunningCorrelations.correlations", _seen().correlations, {"dtype": lambda: torch.float32}),
        ("coactivity.CoactivityLaw.on", coactivity.WIDE.on, {"manifold": lambda: values.TORUS, "factor": lambda: 2.0}),
        ("regularization.Modules.sizes", _MODULES.sizes, {"neurons": lambda: 6}),
        ("tuning.RateMaps.only", values.maps().only, {"units": lambda: np.array([1])}),
        (
            "sparse.CSRMatrix.of",
            sparse.CSRMatrix.of,
            {"weight": lambda: values.tensor(4, 4), "kept": lambda: values.tensor(4, 4) > 0},
        ),
        (
            "sparse.BlockMatrix.of",
            sparse.BlockMatrix.of,
            {"weight": lambda: values.tensor(4, 4), "kept": lambda: values.tensor(4, 4) > 0, "size": lambda: 2},
        ),
        ("sparse.CompressedRecurrent.forward", _compressed_layer().forward, {"x": lambda: values.tensor(4, 2, 3)}),
        ("optim.JointOptimizer.add_param_group", _joint().add_param_group, {"param_group": dict}),
        ("coactivity.RunningCorrelations.observe", _observe, {"states": lambda: values.tensor(20, 6)}),
        ("optim.JointOptimizer.load_state_dict", _load_state, {"state_dict": lambda: _joint().state_dict()}),
        ("sparse.CompressedLinear.forward", _compressed_linear().forward, {"x": lambda: values.tensor(2, 6)}),
        ("regularization.NeuronEmbedding.points", _embedded, {"points": values.points}),
        (
            "masks.attach_masks",
            masks.attach_masks,
            {"optimizer": lambda: torch.optim.SGD(values.net().parameters()), "module": values.net},
        ),
        (
            "inspection.draw_states",
            lambda **values: inspection.states.draw_states(**values).states,
            {"run": values.run, "count": lambda: 10},
        ),
        *(
            (
                f"integrations.{name}.ModuliCallback",
                partial(_callback, name),
                {"moduli": values.moduli, "pruner": lambda: None, "log": lambda: True},
            )
            for name in ("lightning", "transformers")
            if importlib.util.find_spec(name) is not None
        ),
        (
            "pruning.lottery_ticket",
            _ticket,
            {"generator": values.generator, "initialize": lambda: None, "rewind": lambda: values.net().state_dict()},
        ),
    ]


def _callback(name: str, **options: Any) -> None:
    importlib.import_module(f"riemod.integrations.{name}").ModuliCallback(**options)


_MODULES = regularization.Modules([(manifolds.Torus(1), 3), (manifolds.Torus(1), None)], between=2.0)


def _scheduled() -> pruning.MagnitudePruner:
    return pruning.MagnitudePruner(values.net(), pruning.LinearSchedule(0.9, 10))


def _seen() -> coactivity.RunningCorrelations:
    kept = coactivity.RunningCorrelations(6)
    kept.observe(values.tensor(20, 6))
    return kept


def _compressed_layer() -> nn.Module:
    return sparse.compress(nn.Sequential(values.masked()), "csr")[0]


def _seeded(generator: Any) -> Any:
    with initialization.seeded_draws(generator):
        return torch.rand(2)


def _follower(source: Any = evidence.signed_weights) -> evidence.PointEvidence:
    return evidence.PointEvidence(values.moduli(learn=True), source)


def _observed(states: Any, layer: Any) -> Any:
    follower = _follower(evidence.Coactivity())
    follower.observe(states, layer)
    follower.observe(values.tensor(20, 6))
    return follower.matrix()


def _observing(every: Any) -> Any:
    follower = _follower(evidence.Coactivity())
    with follower.observing(every):
        follower.moduli.weights[0].module(values.tensor(20, 2, 3))
    return follower.matrix()


def _observe(states: Any) -> Any:
    kept = coactivity.RunningCorrelations(6)
    kept.observe(states)
    return kept


def _ticket(**options: Any) -> Any:
    model = values.net()
    ticket = pruning.lottery_ticket(model, pruning.MagnitudePruner(model), **options)
    return list(ticket.model.state_dict().values())


def _joint() -> optim.JointOptimizer:
    return optim.riemannian_adam(values.net())


def _load_state(state_dict: Any) -> None:
    _joint().load_state_dict(state_dict)


def _compressed_linear() -> nn.Module:
    return sparse.compress(values.masked(nn.Linear(6, 6)), "csr")


def _embedded(points: Any) -> Any:
    return regularization.NeuronEmbedding(values.TORUS, 6, points=points)
