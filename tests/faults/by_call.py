"""Valid arguments of single callables, where those that `valid.py` knows by their names do not fit."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from riemod import evidence, manifolds, plotting, sparse, suites, tasks, training, tuning
from riemod.regularization import controls, inhibitors
from tests.faults import values
from tests.faults.values import Maker

# For a callable, in the form room.name: the arguments that have other valid values than BY_NAME.
BY_CALL: dict[str, dict[str, Maker]] = {
    "alignment.dissimilarities": {"similarities": lambda: values.array(6, 6)},
    "alignment.graph_distances": {"weight": lambda: values.array(6, 6)},
    "alignment.manifold_procrustes": {
        "points": lambda: values.points().double(),
        "targets": lambda: values.points().double(),
    },
    "alignment.mantel_test": {"first": values.distances, "second": values.distances, "permutations": lambda: 9},
    "alignment.distance_matrix": {"points": lambda: values.array(6, 3)},
    "alignment.rank_correlation": {"first": values.distances, "second": values.distances},
    "alignment.distance_correlation": {"first": values.distances, "second": values.distances},
    "alignment.neutral_points": {"rows": lambda: values.array(6, 4), "dim": lambda: 2},
    "coactivity.fit_positions": {
        "batches": lambda: [values.tensor(5, 2, 3)],
        "restarts": lambda: 1,
        "steps": lambda: 3,
    },
    "coactivity.fit_to_correlations": {"restarts": lambda: 1, "steps": lambda: 3},
    "coactivity.least_squares": {"sphere": lambda: manifolds.Sphere(2)},
    "dynamics.recurrent_map": {"layer": lambda: nn.GRU(3, 6)},
    "dynamics.slow_points": {"u": lambda: values.tensor(3), "steps": lambda: 5},
    "dynamics.jacobians": {},
    "evidence.DecoderCosine": {"decoder": lambda: nn.Linear(6, 3)},
    "evidence.Mixed": {
        "sources": lambda: [evidence.signed_weights, evidence.incoming_cosine],
        "shares": lambda: [1.0, 2.0],
    },
    "evidence.PointEvidence": {"moduli": lambda: values.moduli(learn=True)},
    "evidence.absolute_weights": {"weight": lambda: values.tensor(4, 6, 6)},
    "evidence.incoming_cosine": {"weight": lambda: values.tensor(4, 6, 6)},
    "evidence.signed_weights": {"weight": lambda: values.tensor(4, 6, 6)},
    "evidence.evidence_by_name": {"name": lambda: "cosine"},
    "initialization.by_name": {"name": lambda: "orthogonal"},
    "initialization.spectral_radius": {"matrix": lambda: values.tensor(5, 5)},
    "manifolds.by_name": {"name": lambda: "torus"},
    "manifolds.Product": {"factors": lambda: [manifolds.Torus(1), manifolds.Sphere(2)]},
    "manifolds.curve_order": {},
    "manifolds.frechet_means": {"weights": lambda: values.tensor(3, 6).abs()},
    "manifolds.geodesics": {"x": values.points, "y": lambda: values.points().flip(0), "steps": lambda: 3},
    "masks.apply_masks": {"masks": lambda: {"weight_hh_l0": values.tensor(24, 6) > 0}},
    "masks.find_buffer": {"owner": values.masked, "name": lambda: "weight_hh_l0_mask"},
    "masks.find_mask": {"owner": values.masked},
    "masks.mask_gradients": {"pairs": lambda: [(nn.Parameter(values.tensor(3)), torch.ones(3, dtype=torch.bool))]},
    "masks.mask_optimizer_state": {
        "pairs": lambda: [(nn.Parameter(values.tensor(3)), torch.ones(3, dtype=torch.bool))]
    },
    "masks.masked_parameters": {"module": values.masked},
    "masks.restore_masks": {"state_dict": lambda: values.masked().state_dict()},
    "masks.sync_average": {"averaged": values.net, "model": values.masked},
    "optim.JointOptimizer": {"members": lambda: [torch.optim.Adam(values.net().parameters())]},
    "optim.PointAdam": {"params": lambda: [values.TORUS.parameter(values.points())]},
    "plotting.has_picture": {},
    "plotting.plot_agreement": {"first": values.distances, "second": values.distances},
    "plotting.plot_ball_points": {
        "points": lambda: manifolds.PoincareBall(2).sample(6, generator=values.generator()),
        "ball": lambda: manifolds.PoincareBall(2),
    },
    "plotting.plot_closed_paths": {
        "true": lambda: values.tensor(5, 2),
        "decoded": lambda: {"a": values.tensor(4, 2)},
    },
    "plotting.plot_geodesics": {"x": values.points, "y": lambda: values.points().flip(0)},
    "plotting.plot_klein_points": {
        "points": lambda: manifolds.KleinBottle().sample(6, generator=values.generator()),
        "bottle": manifolds.KleinBottle,
    },
    "plotting.plot_sphere_points": {
        "points": lambda: manifolds.Sphere(2).sample(6, generator=values.generator()),
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
    "plotting.draw_intervals": {
        "panels": lambda: {"90 %": [plotting.Dots("none", [1.0, 2.0, 3.0], (1.2, 2.8))]},
        "label": lambda: "RMSE",
        "title": lambda: "t",
    },
    "plotting.plot_bands": {
        "curves": lambda: {"a": plotting.Curve(np.arange(3.0), np.ones((2, 3)))},
        "xlabel": lambda: "epoch",
        "ylabel": lambda: "RMSE",
    },
    "plotting.plot_intervals": {
        "lines": lambda: [plotting.Dots("none", [1.0, 2.0, 3.0], (1.2, 2.8))],
        "label": lambda: "RMSE",
    },
    "plotting.plot_joined_neurons": {"neuron": lambda: 1, "joined": lambda: [0, 2]},
    "plotting.plot_neuron_values": {"values": lambda: [float(i) for i in range(6)], "label": lambda: "cost"},
    "plotting.plot_states": {"states": lambda: values.array(10, 3)},
    "plotting.plot_trajectory": {"true": lambda: values.tensor(5, 2), "decoded": lambda: {"a": values.tensor(5, 2)}},
    "plotting.plot_paired_times": {"seconds": lambda: {"a": [1.0, 2.0], "b": [3.0, 4.0]}},
    "plotting.plot_weights_by_displacement": {"bins": lambda: 5},
    "plotting.plot_weights_by_distance": {
        "distances": lambda: torch.from_numpy(values.distances()),
        "bins": lambda: 5,
        "label": lambda: "a",
    },
    "plotting.position_colors": {"positions": lambda: values.tensor(5, 2)},
    "plotting.save_composite": {
        "panels": lambda: {"a": lambda ax: ax.plot([0, 1]), "b": lambda ax: ax.plot([1, 0])},
        "rows": lambda: [{"a": 1.0, "b": 2.0}],
        "file": lambda: values.new_file() / "figure.png",
        "size": lambda: (3.0, 2.0),
        "heights": lambda: [1.0],
    },
    "plotting.save_panels": {
        "panels": lambda: {"a": lambda ax: ax.plot([0, 1])},
        "out": values.new_file,
        "together": lambda: "all",
    },
    "plotting.sphere_colors": {"places": lambda: values.tensor(5, 3)},
    "plotting.torus_colors": {"angles": lambda: values.array(5, 2)},
    "pruning.DynamicSparsePruner": {"model": values.masked, "moduli": lambda: None, "steps": lambda: 10},
    "pruning.geometric_mask": {"geometry": values.moduli},
    "pruning.MagnitudePruner": {"targets": lambda: ["weight_hh_l0"], "order": lambda: None},
    "regularization.proximal_step": {"lr": lambda: 0.1},
    "pruning.semi_structured_mask": {"weight": lambda: values.tensor(8, 8), "costs": lambda: values.tensor(8, 8).abs()},
    "pruning.semi_structured_weight": {"weight": lambda: values.tensor(32, 64).half()},
    "regularization.Modules": {
        "parts": lambda: [(manifolds.Torus(1), 3), (manifolds.Torus(1), None)],
        "between": lambda: 2.0,
    },
    "regularization.ModuliRegularizer": {"costs": controls.Geometric, "points": lambda: None},
    "regularization.chain": {"layers": lambda: (nn.Linear(4, 6), nn.Linear(6, 2))},
    "regularization.kernel": {"module": lambda: nn.Conv1d(2, 3, 3), "parameter": lambda: "weight"},
    "regularization.backward_to_points": {"moduli": lambda: values.moduli(learn=True)},
    "regularization.controls.by_name": {"name": lambda: "shuffled"},
    "regularization.controls.cheap_share": {"pairs": lambda: 1000},
    "regularization.controls.match_budget": {"pairs": lambda: 1000, "share": lambda: 0.3},
    "regularization.inhibitors.by_name": {"name": lambda: "ricker"},
    "regularization.inhibitors.Custom": {"function": lambda: torch.square},
    "regularization.inhibitors.Scaled": {"inhibitor": inhibitors.Gaussian, "factor": lambda: 2.0},
    "regularization.inhibitors.Signed": {
        "positive": inhibitors.Gaussian,
        "negative": lambda: inhibitors.Crowding(),
    },
    "sparse.CSRMatrix": {
        "shape": lambda: (2, 3),
        "values": lambda: values.tensor(2),
        "row_starts": lambda: torch.tensor([0, 1, 2]),
        "columns": lambda: torch.tensor([0, 2]),
    },
    "sparse.BlockMatrix": {
        "shape": lambda: (4, 4),
        "values": lambda: values.tensor(2, 2, 2),
        "block_rows": lambda: torch.tensor([0, 1]),
        "block_columns": lambda: torch.tensor([0, 1]),
        "mask": lambda: None,
    },
    "sparse.CompressedLinear": {
        "weight": lambda: sparse.DenseMatrix(values.tensor(6, 6)),
        "bias": lambda: values.tensor(6),
    },
    "sparse.DenseMatrix": {},
    "sparse.CompressedRecurrent": {
        "layer": lambda: nn.RNN(6, 6),
        "matrices": lambda: {
            name: sparse.DenseMatrix(values.tensor(6, 6)) for name in ("weight_ih_l0", "weight_hh_l0")
        },
    },
    "sparse.block_occupancy": {"block": lambda: 2},
    "sparse.compress": {"module": values.masked, "layout": lambda: "csr"},
    "sparse.fastest": {"timings": lambda: [sparse.Timing("a", "csr", 1.0, 10)]},
    "sparse.load": {"path": values.file, "module": values.masked},
    "sparse.save": {"module": lambda: sparse.compress(values.masked(), "csr")},
    "sparse.order_neurons": {},
    "sparse.paired_seconds": {
        "alternatives": lambda: {"a": lambda: None, "b": lambda: None},
        "device": lambda: torch.device("cpu"),
        "rounds": lambda: 2,
    },
    "sparse.permute_neurons": {"order": lambda: torch.arange(6).flip(0)},
    "sparse.time_layouts": {
        "module": lambda: values.masked(nn.Linear(6, 6)),
        "example_input": lambda: values.tensor(2, 6),
    },
    "suites.cells": {
        "suite": lambda: suites.load_suite("adding", "smoke"),
        "folder": lambda: Path("results"),
    },
    "suites.load_suite": {
        "suite": lambda: "adding",
        "preset": lambda: "smoke",
        "options": lambda: {"threads": 1},
        "seeds": lambda: [0, 1],
    },
    "tasks.task_class": {"name": lambda: "adding"},
    "tasks.Adding": {"config": lambda: tasks.Adding.presets["smoke"]},
    "tasks.Navigation": {"config": lambda: tasks.Navigation.presets["smoke"]},
    "topology.alpha_persistence": {"points": lambda: values.array(20, 2)},
    "topology.bottleneck_distance": {
        "first": lambda: np.array([[0.0, 1.0]]),
        "second": lambda: np.array([[0.0, 2.0]]),
    },
    "topology.wasserstein_distance": {
        "first": lambda: np.array([[0.0, 1.0]]),
        "second": lambda: np.array([[0.0, 2.0]]),
    },
    "topology.circular_correlation": {"first": lambda: values.array(10), "second": lambda: values.array(10)},
    "topology.densest": {"points": lambda: values.array(30, 3), "count": lambda: 5},
    "topology.geodesic_distances": {"points": lambda: values.array(30, 3), "sources": lambda: np.arange(5)},
    "topology.landmarks": {"points": lambda: values.array(30, 3)},
    "topology.local_pca_dimension": {"points": lambda: values.array(60, 3)},
    "topology.local_pca_projection": {"points": lambda: values.array(60, 3)},
    "topology.persistence": {"data": lambda: values.array(20, 3), "max_dimension": lambda: 1},
    "topology.two_nn_dimension": {"points": lambda: values.array(60, 3)},
    "topology.nulls.holm": {"p_values": lambda: {1: 0.01, 2: 0.04}},
    "topology.nulls.rank_p_value": {"observed": lambda: 1.0, "drawn": lambda: [0.0, 2.0]},
    "topology.nulls.uniform_ball": {"n": lambda: 5},
    "topology.nulls.uniform_sphere": {"n": lambda: 5},
    "training.check_replicas": {
        "folders": lambda: [training.RunFolder(values.new_file()) for _ in range(2)],
        "descriptions": lambda: [values.description(), values.description()],
    },
    "training.compress_run": {"out": values.new_file},
    "training.generator_for": {"device": lambda: "cpu", "key": lambda: (3, 0)},
    "training.load": {"folder": lambda: values.run().folder},
    "training.lottery": {"parent": values.finished},
    "training.train": {"run": values.finished},
    "training.train_replicas": {"runs": lambda: [values.finished()]},
    "tuning.Bins": {
        "centers": lambda: tuning.regular_bins(values.TORUS, 4).centers,
        "shape": lambda: (4, 4),
        "widths": lambda: (2.5, 2.5),
    },
    "tuning.RateMaps": {"rates": lambda: np.abs(values.array(2, 16)), "occupancy": lambda: np.full(16, 0.1)},
    "tuning.landmark_bins": {"centers": lambda: values.points(5).double()},
    "tuning.regular_bins": {"count": lambda: 4},
    "tuning.shuffle_test": {
        "statistic": lambda: tuning.spatial_information,
        "shuffles": lambda: 3,
        "bins": lambda: tuning.regular_bins(values.TORUS, 2),
    },
    "tuning.autocorrelograms": {},
}
for _name in ("attach_masks", "MaskHook"):
    BY_CALL[f"masks.{_name}"] = {}
