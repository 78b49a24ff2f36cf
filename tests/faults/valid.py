"""Valid arguments for every public callable: by the name of the parameter, and by the callable where names differ."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from riemod import coactivity, evidence, manifolds, pruning, topology, training, tuning
from riemod.regularization import inhibitors
from tests.faults import values
from tests.faults.by_call import BY_CALL
from tests.faults.values import Maker


class Call(NamedTuple):
    """Holds a callable, its name, what makes a valid value of each argument, and how its result is used."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Maker]
    use: Callable[[Any], Any]


BY_NAME: dict[str, Maker] = {
    "manifold": lambda: manifolds.Torus(2),
    "generator": values.generator,
    "model": values.net,
    "module": values.net,
    "layer": values.net,
    "moduli": values.moduli,
    "points": values.points,
    "weight": lambda: values.tensor(6, 6),
    "inhibitor": inhibitors.DifferenceOfGaussians,
    "law": lambda: coactivity.CoactivityLaw(inhibitors.Gaussian()),
    "correlations": values.correlations,
    "costs": lambda: values.tensor(6, 6).abs(),
    "matrix": lambda: values.tensor(5, 4),
    "matrices": lambda: values.tensor(4, 3, 3),
    "step": values.step,
    "states": lambda: values.tensor(4, 6),
    "inputs": lambda: values.tensor(4, 3),
    "optimizer": lambda: torch.optim.Adam(values.net().parameters()),
    "activity": lambda: np.abs(values.array(50, 2)),
    "positions": lambda: values.points(50),
    "bins": lambda: tuning.regular_bins(values.TORUS, 4),
    "maps": values.maps,
    "path": values.new_file,
    "first": lambda: values.array(6, 3),
    "second": lambda: values.array(6, 3),
    "pruner": lambda: pruning.MagnitudePruner(values.net()),
    "parameter": lambda: "weight_hh_l0",
    "parameter_name": lambda: "weight_hh_l0",
    "owner": values.net,
    "size": lambda: 6,
    "dim": lambda: 2,
    "count": lambda: 5,
    "sparsity": lambda: 0.5,
    "strength": lambda: 0.1,
    "final": lambda: 0.9,
    "epochs": lambda: 10,
    "tensor": lambda: values.tensor(6, 6),
    "mask": lambda: torch.eye(6, dtype=torch.bool),
    "values": lambda: values.tensor(6, 6),
    "embedding": values.moduli,
    "diagrams": lambda: topology.persistence(values.array(20, 2), max_dimension=1),
    "torus": lambda: values.TORUS,
    "run": lambda: values.run(),
    "folder": lambda: training.RunFolder(values.new_file()),
    "description": lambda: values.description(),
    "side": lambda: 2.2,
    "temperature": lambda: 1.0,
    "source": lambda: evidence.signed_weights,
}


def makers(name: str, function: Callable[..., Any]) -> dict[str, Maker]:
    """Return what makes a valid value for each parameter; a parameter that nothing knows has its default.

    Raises:
        LookupError: if a parameter has no default, and neither table knows it.
    """
    own = BY_CALL.get(name, {})
    found: dict[str, Maker] = {}
    for parameter in inspect.signature(function).parameters.values():
        default = parameter.default
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.name in own:
            found[parameter.name] = own[parameter.name]
        elif default is not parameter.empty and parameter.name not in ("generator", "bins"):
            found[parameter.name] = lambda default=default: default
        elif parameter.name in BY_NAME:
            found[parameter.name] = BY_NAME[parameter.name]
        else:
            raise LookupError(f"{name}: no valid value is known for {parameter.name}")
    return found
