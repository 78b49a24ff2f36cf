"""Distances between neurons over the graph of their weights."""

from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial.distance import pdist, squareform

from riemod._arrays import check_square
from riemod._checks import check_choice, check_positive

__all__ = ["graph_distances"]


def graph_distances(
    weight: Any, method: Literal["log", "diffusion"] = "log", steps: float = 8.0
) -> Float[np.ndarray, "n n"]:
    """Compute distances over the graph with edges a = (|W| + |W'|) / 2, without its diagonal.

    With s_i = sum_j a_ij, "log" takes the shortest paths over edges of length -log(a_ij / sqrt(s_i s_j)). "diffusion"
    takes the distance between the distributions of two walkers, which started at i and j, after t steps of the random
    walk a_ij / s_i, in the Euclidean norm that weights neuron k by sum(s) / s_k. Both take O(n^3) time and O(n^2)
    memory: about 10 s at n = 2048.

    Args:
        weight: (n, n), of any sign; an array or a tensor.
        method: "log" or "diffusion".
        steps: t, > 0, of the diffusion.

    Returns:
        (n, n), symmetric, zero on the diagonal, without unit.

    Raises:
        ValueError: if the matrix is not square and finite, the method is unknown, steps is not positive, or the graph
            is not connected.

    Reference: Coifman and Lafon, https://doi.org/10.1016/j.acha.2006.04.006

    >>> ring = np.roll(np.eye(6), 1, 0)
    >>> (graph_distances(ring) / np.log(2)).round(6)[0]
    array([0., 1., 2., 3., 2., 1.])
    """
    array = check_square("weight", weight)
    check_choice("method", method, ("log", "diffusion"))
    check_positive("steps", steps)
    affinity = (np.abs(array) + np.abs(array.T)) / 2
    np.fill_diagonal(affinity, 0.0)
    pieces, _ = connected_components(csr_matrix(affinity), directed=False)
    if pieces > 1:
        raise ValueError(f"weight must have a connected graph, got {pieces} pieces")
    strength = affinity.sum(axis=1)
    if len(array) == 1:
        return np.zeros((1, 1))
    walk = affinity / np.sqrt(np.outer(strength, strength))
    if method == "log":
        rows, columns = np.nonzero(walk)
        # Two neurons with no other neighbor would be at distance 0, which a sparse graph reads as no edge.
        lengths = np.maximum(-np.log(walk[rows, columns]), np.finfo(float).eps)
        paths = dijkstra(csr_matrix((lengths, (rows, columns)), walk.shape), directed=False)
        return (paths + paths.T) / 2
    values, vectors = np.linalg.eigh(walk)
    coordinates = vectors * np.abs(values) ** steps * np.sqrt(strength.sum() / strength)[:, None]
    # The last eigenvalue is 1, and its coordinate is the same for all neurons.
    return squareform(pdist(coordinates[:, :-1]))
