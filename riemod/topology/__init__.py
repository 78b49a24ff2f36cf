"""Which manifold points, states or weights fill, with p-values, and coordinates on it.

Needs gudhi and ripser (`pip install 'riemod[topology]'`). Points are rows (n, k) in any unit; distances are in theirs.
"""

from riemod.topology import nulls
from riemod.topology.circular import CircularCoordinates, circular_correlation
from riemod.topology.clouds import densest, geodesic_distances, neighbor_dimension, plane_dimension, smooth
from riemod.topology.persistence import (
    alpha_persistence,
    bottleneck_distance,
    landmarks,
    persistence,
    wasserstein_distance,
)
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
    "neighbor_dimension",
    "nulls",
    "persistence",
    "plane_dimension",
    "smooth",
    "wasserstein_distance",
]
