"""The calls that bad arguments are given to, methods among them, and how each result is used."""

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from riemod import (
    coactivity,
    inspection,
    manifolds,
    masks,
    optim,
    pruning,
    regularization,
    sparse,
    tasks,
    topology,
    training,
)
from riemod.regularization import inhibitors
from tests.faults import values
from tests.faults.valid import LEFT_OUT, ROOMS, Call, makers


def use(result: Any) -> Any:
    """Use a result as its reader would, so that what was accepted too easily shows; return what must be finite."""
    if isinstance(result, regularization.ModuliRegularizer):
        loss = result()
        if loss.requires_grad:
            loss.backward()
        return loss
    if isinstance(result, inhibitors.Inhibitor):
        return result(torch.tensor([0.0, 0.5, 3.0]))
    if isinstance(result, manifolds.Manifold):
        points = result.sample(4, generator=values.generator())
        return points, result.distance(points, points), result.diameter
    if isinstance(result, pruning.ConstantSchedule | pruning.LinearSchedule | pruning.CubicSchedule):
        return [result(epoch) for epoch in range(12)]
    if isinstance(result, pruning.MagnitudePruner):
        result.prune(0.5)
        return list(result.sparsity().values())
    if isinstance(result, regularization.NeuronEmbedding):
        return result.points.detach()
    if isinstance(result, coactivity.RunningCorrelations):
        return None
    if isinstance(result, tasks.RunConfig):
        return tasks.task_class(_task_of(result))(result).build_model()
    if isinstance(result, optim.JointOptimizer):
        for group in result.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        result.step()
        return [parameter.detach() for group in result.param_groups for parameter in group["params"]]
    if isinstance(result, training.Run):
        return None
    if isinstance(result, sparse.StoredMatrix):
        return result.dense()
    if inspect.isgenerator(result):
        return list(result) and None
    return result


def _task_of(config: tasks.RunConfig) -> str:
    return {"AddingConfig": "adding", "NavigationConfig": "navigation"}[type(config).__name__]


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


def _extra() -> list[tuple[str, Callable[..., Any], dict[str, Callable[[], Any]]]]:
    """Methods, and calls whose arguments no signature tells."""
    circle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    ring = np.stack([np.cos(circle), np.sin(circle)], 1)
    fields = {
        task: {name: (lambda value=value: value) for name, value in _config(task).to_dict().items() if name != "preset"}
        for task in ("adding", "navigation")
    }
    every = [manifolds.Torus(2), manifolds.Sphere(2), manifolds.Euclidean(2), manifolds.PoincareBall(2)]
    every += [manifolds.KleinBottle(), manifolds.Product([manifolds.Torus(1), manifolds.Sphere(2)])]
    calls: list[tuple[str, Callable[..., Any], dict[str, Callable[[], Any]]]] = []
    for manifold in every:
        name = f"manifolds.{type(manifold).__name__}"

        def sampled(manifold: manifolds.Manifold = manifold) -> torch.Tensor:
            return manifold.sample(4, generator=values.generator())

        calls += [
            (f"{name}.sample", manifold.sample, {"n": lambda: 4, "generator": values.generator}),
            (f"{name}.distance", manifold.distance, {"x": sampled, "y": sampled}),
            (f"{name}.parameter", manifold.parameter, {"points": sampled}),
            (f"{name}.scaled", manifold.scaled, {"factor": lambda: 2.0}),
        ]
    for manifold in (manifolds.Torus(2), manifolds.Sphere(2), manifolds.Euclidean(2), manifolds.KleinBottle()):
        calls.append((f"manifolds.{type(manifold).__name__}.lattice", manifold.lattice, {"count": lambda: 4}))
    return [
        *calls,
        ("pruning.MagnitudePruner.prune", pruning.MagnitudePruner(values.net()).prune, {"sparsity": lambda: 0.5}),
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


def every_call() -> list[Call]:
    """Return each public callable once, with valid values for its arguments, then methods.

    Raises:
        LookupError: if an argument of a public callable has no valid value: the tables of this folder must name it.
    """
    calls, seen = [], set()
    for room, module in ROOMS.items():
        if not room:
            continue
        public = getattr(module, "__all__", None) or [
            name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__
        ]
        for name in public:
            function, full = getattr(module, name), f"{room}.{name}"
            if name.startswith("_") or full in LEFT_OUT or id(function) in seen or not callable(function):
                continue
            if inspect.isclass(function) and issubclass(function, tuple | BaseException):
                continue
            try:
                inspect.signature(function)
            except (ValueError, TypeError):
                continue
            if getattr(function, "__module__", "").split(".")[0] != "riemod":
                continue
            seen.add(id(function))
            calls.append(Call(full, function, makers(full, function), use))
    return calls + [Call(name, function, arguments, use) for name, function, arguments in _extra()]
