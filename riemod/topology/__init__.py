"""What was learned: which manifold points, states or weights fill, with p-values, and coordinates on it.

Needs gudhi and ripser (`pip install 'riemod[topology]'`). Points are rows (n, k) in any unit; distances are in theirs.
"""

from riemod.topology import nulls
from riemod.topology.alignment import (
    MantelTest,
    distance_correlation,
    distance_matrix,
    mantel_test,
    rank_correlation,
)
from riemod.topology.bins import Bins, landmark_bins, regular_bins
from riemod.topology.clouds import densest, geodesic_distances, neighbour_dimension, plane_dimension, smooth
from riemod.topology.coordinates import CircularCoordinates, circular_correlation
from riemod.topology.dynamics import (
    JacobianSpectra,
    jacobian_spectra,
    jacobians,
    lyapunov_exponents,
    recurrent_map,
)
from riemod.topology.evidence import Bars, Betti
from riemod.topology.graphs import graph_distances
from riemod.topology.gridness import GridScores, autocorrelograms, grid_scores
from riemod.topology.persistence import (
    alpha_persistence,
    bottleneck_distance,
    landmarks,
    persistence,
    wasserstein_distance,
)
from riemod.topology.procrustes import Isometry, Procrustes, manifold_procrustes
from riemod.topology.ranks import degenerate_share, effective_rank, participation_ratio
from riemod.topology.recovery import ModuliRecovery
from riemod.topology.slow_points import SlowPoints, slow_points
from riemod.topology.tuning import (
    RateMaps,
    ShuffleTest,
    preferred_positions,
    rate_maps,
    shuffle_test,
    spatial_information,
)

__all__ = [
    "Bars",
    "Betti",
    "Bins",
    "CircularCoordinates",
    "GridScores",
    "Isometry",
    "JacobianSpectra",
    "MantelTest",
    "ModuliRecovery",
    "Procrustes",
    "RateMaps",
    "ShuffleTest",
    "SlowPoints",
    "alpha_persistence",
    "autocorrelograms",
    "bottleneck_distance",
    "circular_correlation",
    "degenerate_share",
    "densest",
    "distance_correlation",
    "distance_matrix",
    "effective_rank",
    "geodesic_distances",
    "graph_distances",
    "grid_scores",
    "jacobian_spectra",
    "jacobians",
    "landmark_bins",
    "landmarks",
    "lyapunov_exponents",
    "manifold_procrustes",
    "mantel_test",
    "neighbour_dimension",
    "nulls",
    "participation_ratio",
    "persistence",
    "plane_dimension",
    "preferred_positions",
    "rank_correlation",
    "rate_maps",
    "recurrent_map",
    "regular_bins",
    "shuffle_test",
    "slow_points",
    "smooth",
    "spatial_information",
    "wasserstein_distance",
]
