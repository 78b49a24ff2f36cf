"""The calls that bad arguments are given to, methods among them, and how each result is used."""

import inspect
from types import ModuleType
from typing import Any

import torch

from riemod import (
    coactivity,
    evidence,
    manifolds,
    optim,
    pruning,
    regularization,
    sparse,
    tasks,
    training,
)
from riemod.regularization import inhibitors
from tests.faults import values
from tests.faults.methods import methods
from tests.faults.rooms import LEFT_OUT, ROOMS
from tests.faults.valid import Call, makers


def use(result: Any) -> Any:
    """Use a result as its reader would, so that what was accepted too easily shows; return what must be finite."""
    if isinstance(result, regularization.ModuliRegularizer):
        loss = result()
        if loss.requires_grad:
            loss.backward()
        return loss
    if isinstance(result, inhibitors.CostLaw):
        return [part(torch.tensor([0.0, 0.5, 3.0])) for part in result.parts]
    if isinstance(result, evidence.PointEvidence):
        return _moved(result)
    if isinstance(result, evidence.Source):
        return _moved(evidence.PointEvidence(values.moduli(learn=True), result))
    if isinstance(result, evidence.EvidenceLaw):
        return _moved(evidence.PointEvidence(values.moduli(learn=True), evidence.signed_weights, law=result))
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
    if isinstance(result, tasks.LanguageConfig):
        return None  # The size of its model is known when its text was read.
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


def _moved(result: evidence.PointEvidence) -> Any:
    """Let points follow evidence once; return the evidence and the gradient."""
    if result.needs_states:
        result.observe(values.tensor(20, 6))
    result().backward()
    return result.matrix(), result.moduli.points.grad


def _task_of(config: tasks.RunConfig) -> str:
    return {"AddingConfig": "adding", "NavigationConfig": "navigation"}[type(config).__name__]


def public_names(room: ModuleType) -> list[str]:
    """Return the names in `__all__`, or those of what a module without it defines."""
    return list(getattr(room, "__all__", ())) or [
        name for name, value in vars(room).items() if getattr(value, "__module__", None) == room.__name__
    ]


def every_call() -> list[Call]:
    """Return each public callable once, with valid values for its arguments, then methods.

    Raises:
        LookupError: if an argument of a public callable has no valid value: the tables of this folder must name it.
    """
    calls, seen = [], set()
    for room, module in ROOMS.items():
        for name in public_names(module):
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
    return calls + [Call(name, function, arguments, use) for name, function, arguments in methods()]
