"""How well geometries of the same units agree: correlations of distances, distances over weights, isometries."""

from riemod.alignment.correlation import (
    MantelTest,
    distance_correlation,
    distance_matrix,
    mantel_test,
    rank_correlation,
)
from riemod.alignment.distances import graph_distances
from riemod.alignment.learned import dissimilarities, neutral_points, spread
from riemod.alignment.procrustes import Isometry, Procrustes, manifold_procrustes

__all__ = [
    "Isometry",
    "MantelTest",
    "Procrustes",
    "dissimilarities",
    "distance_correlation",
    "distance_matrix",
    "graph_distances",
    "manifold_procrustes",
    "mantel_test",
    "neutral_points",
    "rank_correlation",
    "spread",
]
