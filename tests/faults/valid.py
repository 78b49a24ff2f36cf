"""Valid arguments for every public callable: by the name of the parameter, and by the callable where names differ."""

import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import riemod
from riemod import (
    alignment,
    coactivity,
    dynamics,
    initialization,
    manifolds,
    masks,
    optim,
    plotting,
    pruning,
    regularization,
    sparse,
    tasks,
    topology,
    training,
    tuning,
)
from riemod.regularization import controls, inhibitors

Maker = Callable[[], Any]
TORUS = manifolds.Torus(2)


class Call(NamedTuple):
    """Holds a callable, its name, what makes a valid value of each argument, and how its result is used."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Maker]
    use: Callable[[Any], Any]


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _tensor(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=_generator())


def _array(*shape: int) -> np.ndarray:
    return _tensor(*shape).double().numpy()


def _points(count: int = 6) -> torch.Tensor:
    return TORUS.sample(count, generator=_generator())


def _distances(count: int = 6) -> np.ndarray:
    return alignment.distance_matrix(_array(count, 3))


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.LSTM(3, 6)


def _masked(model: nn.Module | None = None) -> nn.Module:
    model = _net() if model is None else model
    pruning.MagnitudePruner(model).prune(0.5)
    return model


def _moduli(**options: Any) -> regularization.ModuliRegularizer:
    return regularization.ModuliRegularizer(_net(), TORUS, generator=_generator(), **options)


def _correlations() -> torch.Tensor:
    return torch.corrcoef(_tensor(6, 20))


def _maps() -> tuning.RateMaps:
    bins = tuning.regular_bins(TORUS, 6)
    return tuning.rate_maps(np.abs(_array(4000, 2)), TORUS.sample(4000, generator=_generator()), bins, smoothing=1.0)


def _step() -> dynamics.Step:
    return dynamics.recurrent_map(nn.RNN(3, 6))


def _file() -> Path:
    """A compressed net in a file."""
    path = Path(tempfile.mkdtemp(prefix="riemod-faults-")) / "net.safetensors"
    sparse.save(sparse.compress(_masked(), "csr"), path)
    return path


def _new_file() -> Path:
    return Path(tempfile.mkdtemp(prefix="riemod-faults-")) / "new"


def _description() -> training.RunDescription:
    config = tasks.Adding.presets["smoke"]
    small = {"hidden_size": 6, "steps": 4, "batch_size": 8, "epochs": 1, "batches_per_epoch": 1, "tail_epochs": 0}
    return training.RunDescription("adding", config.replace(**small, dense_epochs=0, evaluation_batches=1), None)


def _run() -> training.Run:
    """A run before its first epoch."""
    return training.start(training.RunFolder(_new_file()), _description())


def _finished() -> training.Run:
    run = _run()
    training.train(run)
    return run


BY_NAME: dict[str, Maker] = {
    "manifold": lambda: manifolds.Torus(2),
    "generator": _generator,
    "model": _net,
    "module": _net,
    "layer": _net,
    "moduli": _moduli,
    "points": _points,
    "weight": lambda: _tensor(6, 6),
    "inhibitor": inhibitors.DifferenceOfGaussians,
    "law": lambda: coactivity.CoactivityLaw(inhibitors.Gaussian()),
    "correlations": _correlations,
    "costs": lambda: _tensor(6, 6).abs(),
    "matrix": lambda: _tensor(5, 4),
    "matrices": lambda: _tensor(4, 3, 3),
    "step": _step,
    "states": lambda: _tensor(4, 6),
    "inputs": lambda: _tensor(4, 3),
    "optimizer": lambda: torch.optim.Adam(_net().parameters()),
    "activity": lambda: np.abs(_array(50, 2)),
    "positions": lambda: _points(50),
    "bins": lambda: tuning.regular_bins(TORUS, 4),
    "maps": _maps,
    "path": _new_file,
    "first": lambda: _array(6, 3),
    "second": lambda: _array(6, 3),
    "pruner": lambda: pruning.MagnitudePruner(_net()),
    "parameter": lambda: "weight_hh_l0",
    "parameter_name": lambda: "weight_hh_l0",
    "owner": _net,
    "size": lambda: 6,
    "dim": lambda: 2,
    "count": lambda: 5,
    "sparsity": lambda: 0.5,
    "strength": lambda: 0.1,
    "final": lambda: 0.9,
    "epochs": lambda: 10,
    "tensor": lambda: _tensor(6, 6),
    "mask": lambda: torch.eye(6, dtype=torch.bool),
    "values": lambda: _tensor(6, 6),
    "embedding": _moduli,
    "diagrams": lambda: topology.persistence(_array(20, 2), max_dimension=1),
    "torus": lambda: TORUS,
    "run": lambda: _run(),
    "folder": lambda: training.RunFolder(_new_file()),
    "description": lambda: _description(),
    "side": lambda: 2.2,
    "temperature": lambda: 1.0,
}

# For a callable, in the form room.name: the arguments that have other valid values than BY_NAME.
BY_CALL: dict[str, dict[str, Maker]] = {
    "alignment.graph_distances": {"weight": lambda: _array(6, 6)},
    "alignment.manifold_procrustes": {"points": lambda: _points().double(), "targets": lambda: _points().double()},
    "alignment.mantel_test": {"first": _distances, "second": _distances, "permutations": lambda: 9},
    "alignment.distance_matrix": {"points": lambda: _array(6, 3)},
    "alignment.rank_correlation": {"first": _distances, "second": _distances},
    "alignment.distance_correlation": {"first": _distances, "second": _distances},
    "coactivity.evidence_by_name": {"name": lambda: "coactivity"},
    "coactivity.fit_positions": {"batches": lambda: [_tensor(5, 2, 3)], "restarts": lambda: 1, "steps": lambda: 3},
    "coactivity.fit_to_correlations": {"restarts": lambda: 1, "steps": lambda: 3},
    "coactivity.least_squares": {"sphere": lambda: manifolds.Sphere(2)},
    "dynamics.recurrent_map": {"layer": lambda: nn.GRU(3, 6)},
    "dynamics.slow_points": {"u": lambda: _tensor(3), "steps": lambda: 5},
    "dynamics.jacobians": {},
    "initialization.by_name": {"name": lambda: "orthogonal"},
    "initialization.spectral_radius": {"matrix": lambda: _tensor(5, 5)},
    "manifolds.by_name": {"name": lambda: "torus"},
    "manifolds.Product": {"factors": lambda: [manifolds.Torus(1), manifolds.Sphere(2)]},
    "manifolds.curve_order": {},
    "masks.apply_masks": {"masks": lambda: {"weight_hh_l0": _tensor(24, 6) > 0}},
    "masks.find_buffer": {"owner": _masked, "name": lambda: "weight_hh_l0_mask"},
    "masks.find_mask": {"owner": _masked},
    "masks.mask_gradients": {"pairs": lambda: [(nn.Parameter(_tensor(3)), torch.ones(3, dtype=torch.bool))]},
    "masks.mask_optimizer_state": {"pairs": lambda: [(nn.Parameter(_tensor(3)), torch.ones(3, dtype=torch.bool))]},
    "masks.masked_parameters": {"module": _masked},
    "masks.restore_masks": {"state_dict": lambda: _masked().state_dict()},
    "masks.sync_average": {"averaged": _net, "model": _masked},
    "optim.JointOptimizer": {"members": lambda: [torch.optim.Adam(_net().parameters())]},
    "optim.PointAdam": {"params": lambda: [TORUS.parameter(_points())]},
    "plotting.has_picture": {},
    "plotting.plot_ball_points": {
        "points": lambda: manifolds.PoincareBall(2).sample(6, generator=_generator()),
        "ball": lambda: manifolds.PoincareBall(2),
    },
    "plotting.plot_klein_points": {
        "points": lambda: manifolds.KleinBottle().sample(6, generator=_generator()),
        "bottle": manifolds.KleinBottle,
    },
    "plotting.plot_sphere_points": {
        "points": lambda: manifolds.Sphere(2).sample(6, generator=_generator()),
        "sphere": lambda: manifolds.Sphere(2),
    },
    "plotting.plot_confusion": {
        "counts": lambda: np.eye(2, dtype=int),
        "arenas": lambda: ["box", "torus"],
        "verdicts": lambda: ["box", "torus"],
    },
    "plotting.plot_error_against_sparsity": {
        "runs": lambda: {"a": [(0.0, 1.0), (0.5, 2.0)]},
        "floor": lambda: 0.5,
        "unit": lambda: "m",
    },
    "plotting.plot_states": {"states": lambda: _array(10, 3)},
    "plotting.plot_trajectory": {"true": lambda: _tensor(5, 2), "decoded": lambda: {"a": _tensor(5, 2)}},
    "plotting.position_colors": {"positions": lambda: _tensor(5, 2)},
    "plotting.save_panels": {
        "panels": lambda: {"a": lambda ax: ax.plot([0, 1])},
        "out": _new_file,
        "together": lambda: "all",
    },
    "pruning.DynamicSparsePruner": {"model": _masked, "moduli": lambda: None, "steps": lambda: 10},
    "pruning.geometric_mask": {"geometry": _moduli},
    "pruning.MagnitudePruner": {"targets": lambda: ["weight_hh_l0"], "order": lambda: None},
    "regularization.proximal_step": {"lr": lambda: 0.1},
    "pruning.semi_structured_mask": {"weight": lambda: _tensor(8, 8), "costs": lambda: _tensor(8, 8).abs()},
    "regularization.Modules": {
        "parts": lambda: [(manifolds.Torus(1), 3), (manifolds.Torus(1), None)],
        "between": lambda: 2.0,
    },
    "regularization.ModuliRegularizer": {"costs": controls.Geometric, "points": lambda: None},
    "regularization.chain": {"layers": lambda: (nn.Linear(4, 6), nn.Linear(6, 2))},
    "regularization.kernel": {"module": lambda: nn.Conv1d(2, 3, 3), "parameter": lambda: "weight"},
    "regularization.backward_to_points": {"moduli": lambda: _moduli(learn=True)},
    "regularization.controls.by_name": {"name": lambda: "shuffled"},
    "regularization.controls.cheap_share": {"pairs": lambda: 1000},
    "regularization.controls.match_budget": {"pairs": lambda: 1000, "share": lambda: 0.3},
    "regularization.inhibitors.by_name": {"name": lambda: "ricker"},
    "regularization.inhibitors.Custom": {"function": lambda: torch.square},
    "regularization.inhibitors.Scaled": {"inhibitor": inhibitors.Gaussian, "factor": lambda: 2.0},
    "sparse.CSRMatrix": {
        "shape": lambda: (2, 3),
        "values": lambda: _tensor(2),
        "row_starts": lambda: torch.tensor([0, 1, 2]),
        "columns": lambda: torch.tensor([0, 2]),
    },
    "sparse.BlockMatrix": {
        "shape": lambda: (4, 4),
        "values": lambda: _tensor(2, 2, 2),
        "block_rows": lambda: torch.tensor([0, 1]),
        "block_columns": lambda: torch.tensor([0, 1]),
        "mask": lambda: None,
    },
    "sparse.CompressedLinear": {"weight": lambda: sparse.DenseMatrix(_tensor(6, 6)), "bias": lambda: _tensor(6)},
    "sparse.DenseMatrix": {},
    "sparse.CompressedRecurrent": {
        "layer": lambda: nn.RNN(6, 6),
        "matrices": lambda: {name: sparse.DenseMatrix(_tensor(6, 6)) for name in ("weight_ih_l0", "weight_hh_l0")},
    },
    "sparse.block_occupancy": {"block": lambda: 2},
    "sparse.compress": {"module": _masked, "layout": lambda: "csr"},
    "sparse.fastest": {"timings": lambda: [sparse.Timing("a", "csr", 1.0, 10)]},
    "sparse.load": {"path": _file, "module": _masked},
    "sparse.save": {"module": lambda: sparse.compress(_masked(), "csr")},
    "sparse.order_neurons": {},
    "sparse.permute_neurons": {"order": lambda: torch.arange(6).flip(0)},
    "sparse.time_layouts": {"module": lambda: _masked(nn.Linear(6, 6)), "example_input": lambda: _tensor(2, 6)},
    "tasks.task_class": {"name": lambda: "adding"},
    "tasks.Adding": {"config": lambda: tasks.Adding.presets["smoke"]},
    "tasks.Navigation": {"config": lambda: tasks.Navigation.presets["smoke"]},
    "topology.alpha_persistence": {"points": lambda: _array(20, 2)},
    "topology.bottleneck_distance": {
        "first": lambda: np.array([[0.0, 1.0]]),
        "second": lambda: np.array([[0.0, 2.0]]),
    },
    "topology.wasserstein_distance": {
        "first": lambda: np.array([[0.0, 1.0]]),
        "second": lambda: np.array([[0.0, 2.0]]),
    },
    "topology.circular_correlation": {"first": lambda: _array(10), "second": lambda: _array(10)},
    "topology.densest": {"points": lambda: _array(30, 3), "count": lambda: 5},
    "topology.geodesic_distances": {"points": lambda: _array(30, 3), "sources": lambda: np.arange(5)},
    "topology.landmarks": {"points": lambda: _array(30, 3)},
    "topology.local_pca_dimension": {"points": lambda: _array(60, 3)},
    "topology.local_pca_projection": {"points": lambda: _array(60, 3)},
    "topology.persistence": {"data": lambda: _array(20, 3), "max_dimension": lambda: 1},
    "topology.two_nn_dimension": {"points": lambda: _array(60, 3)},
    "topology.nulls.holm": {"p_values": lambda: {1: 0.01, 2: 0.04}},
    "topology.nulls.rank_p_value": {"observed": lambda: 1.0, "drawn": lambda: [0.0, 2.0]},
    "topology.nulls.uniform_ball": {"n": lambda: 5},
    "training.check_replicas": {
        "folders": lambda: [training.RunFolder(_new_file()) for _ in range(2)],
        "descriptions": lambda: [_description(), _description()],
    },
    "training.compress_run": {"out": _new_file},
    "training.generator_for": {"device": lambda: "cpu", "key": lambda: (3, 0)},
    "training.load": {"folder": lambda: _run().folder},
    "training.lottery": {"parent": _finished},
    "training.train": {"run": _finished},
    "training.train_replicas": {"runs": lambda: [_finished()]},
    "tuning.Bins": {
        "centers": lambda: tuning.regular_bins(TORUS, 4).centers,
        "shape": lambda: (4, 4),
        "widths": lambda: (2.5, 2.5),
    },
    "tuning.RateMaps": {"rates": lambda: np.abs(_array(2, 16)), "occupancy": lambda: np.full(16, 0.1)},
    "tuning.landmark_bins": {"centers": lambda: _points(5).double()},
    "tuning.regular_bins": {"count": lambda: 4},
    "tuning.shuffle_test": {
        "statistic": lambda: tuning.spatial_information,
        "shuffles": lambda: 3,
        "bins": lambda: tuning.regular_bins(TORUS, 2),
    },
    "tuning.autocorrelograms": {},
}
for _name in ("attach_masks", "MaskHook"):
    BY_CALL[f"masks.{_name}"] = {}

# Plain results, abstract bases and aliases.
LEFT_OUT = {
    "alignment.Isometry",
    "initialization.Initializer",
    "initialization.seeded_draws",
    "manifolds.Manifold",
    "masks.MaskHandle",
    "optim.PointAdam",
    "plotting.Axes",
    "pruning.Schedule",
    "pruning.lottery_ticket",
    "pruning.semi_structured_weight",
    "regularization.GatheredEvidence",
    "regularization.PointEvidence",
    "regularization.inhibitors.Inhibitor",
    "sparse.StoredMatrix",
    "tasks.AddingConfig",
    "tasks.Language",
    "tasks.LanguageConfig",
    "tasks.NavigationConfig",
    "tasks.RunConfig",
    "tasks.Task",
    "training.Run",
    "training.Stream",
    "training.environment",
}

ROOMS = {
    "": riemod,
    "alignment": alignment,
    "coactivity": coactivity,
    "dynamics": dynamics,
    "initialization": initialization,
    "manifolds": manifolds,
    "masks": masks,
    "optim": optim,
    "plotting": plotting,
    "pruning": pruning,
    "regularization": regularization,
    "regularization.controls": controls,
    "regularization.inhibitors": inhibitors,
    "sparse": sparse,
    "tasks": tasks,
    "topology": topology,
    "topology.nulls": topology.nulls,
    "training": training,
    "tuning": tuning,
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
