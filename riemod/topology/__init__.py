"""Which manifold points, states or weights fill, with p-values, and coordinates on it.

Needs gudhi and ripser (`pip install 'riemod[topology]'`). Points are rows (n, k) in any unit; distances have that unit.
"""

from riemod.topology import _libraries  # noqa: F401, the first of all: the others import what it looks for

# isort: split
from riemod.topology import nulls
from riemod.topology.circular import CircularCoordinates, circular_correlation
from riemod.topology.clouds import (
    densest,
    geodesic_distances,
    local_pca_dimension,
    local_pca_projection,
    two_nn_dimension,
)
from riemod.topology.landmarks import landmarks
from riemod.topology.persistence import alpha_persistence, bottleneck_distance, persistence, wasserstein_distance
from riemod.topology.recovery import ModuliRecovery
from riemod.topology.verdict import Bars, Betti

__all__ = [
    "Bars",
    "Betti",
    "CircularCoordinates",
    "ModuliRecovery",
    "alpha_persistence",
    "bottleneck_distance",
    "circular_correlation",
    "densest",
    "geodesic_distances",
    "landmarks",
    "local_pca_dimension",
    "local_pca_projection",
    "nulls",
    "persistence",
    "two_nn_dimension",
    "wasserstein_distance",
]
