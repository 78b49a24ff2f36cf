"""Figures of nets and manifolds. Each function draws into the given Axes, or into a new one, and returns it."""

from matplotlib.axes import Axes

from riemod.plotting.agreement import plot_agreement, plot_geodesics, sphere_colors
from riemod.plotting.bands import Curve, plot_bands
from riemod.plotting.composite import save_composite
from riemod.plotting.intervals import Dots, draw_intervals, plot_intervals
from riemod.plotting.neurons import plot_joined_neurons, plot_neuron_values
from riemod.plotting.points import (
    has_picture,
    plot_ball_points,
    plot_klein_points,
    plot_points,
    plot_position_key,
    plot_sphere_points,
    plot_torus_points,
    position_colors,
    torus_order,
)
from riemod.plotting.topology import plot_barcode, plot_confusion, plot_persistence_diagram, plot_states
from riemod.plotting.torus import plot_closed_paths, plot_torus_key, plot_weights_by_displacement, torus_colors
from riemod.plotting.training import (
    mean_weights_by_distance,
    plot_error_against_sparsity,
    plot_paired_times,
    plot_trajectory,
    plot_weight_matrix,
    plot_weights_by_distance,
    save_panels,
)
from riemod.plotting.tuning import plot_angles, plot_rate_maps, plot_tuning_curves

__all__ = [
    "Axes",
    "Curve",
    "Dots",
    "draw_intervals",
    "has_picture",
    "mean_weights_by_distance",
    "plot_agreement",
    "plot_angles",
    "plot_ball_points",
    "plot_bands",
    "plot_barcode",
    "plot_closed_paths",
    "plot_confusion",
    "plot_error_against_sparsity",
    "plot_geodesics",
    "plot_intervals",
    "plot_joined_neurons",
    "plot_klein_points",
    "plot_neuron_values",
    "plot_paired_times",
    "plot_persistence_diagram",
    "plot_points",
    "plot_position_key",
    "plot_rate_maps",
    "plot_sphere_points",
    "plot_states",
    "plot_torus_key",
    "plot_torus_points",
    "plot_trajectory",
    "plot_tuning_curves",
    "plot_weight_matrix",
    "plot_weights_by_displacement",
    "plot_weights_by_distance",
    "position_colors",
    "save_composite",
    "save_panels",
    "sphere_colors",
    "torus_colors",
    "torus_order",
]
