"""Products of loops: two loops whose cup product is not zero lie on a surface, such as a torus, and enclose its area.

A long bar of degree 2 needs points everywhere on the surface. A product needs only one scale at which two loops live
and the surface is closed, so it is found among far fewer points, and loops that noise makes have none.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from riemod.topology.persistence import Diagram, library

Cocycle = np.ndarray


class Classes(NamedTuple):
    """Holds diagrams of degrees 0, 1 and 2, and a cocycle of each bar of degree 1, rows of (source, target, value)."""

    diagrams: list[Diagram]
    cocycles: Sequence[Cocycle]
    edges: csr_array
    prime: int


def classes(edges: csr_array, threshold: float, prime: int) -> Classes:
    """Compute the bars of a flag complex with cocycles of degree 1; bars that never die end at the threshold.

    Args:
        edges: symmetric sparse matrix of edge lengths, such as `collapsed_edges` returns.
        threshold: the longest edge.
        prime: of the coefficients.

    Raises:
        ImportError: without ripser.
    """
    found = library("ripser").ripser(edges, maxdim=2, coeff=prime, distance_matrix=True, do_cocycles=True)
    cut = [np.minimum(np.asarray(diagram, dtype=float).reshape(-1, 2), threshold) for diagram in found["dgms"]]
    return Classes(cut, found["cocycles"][1], edges, prime)


def product_lives(found: Classes, first: int, second: int) -> bool:
    """Say whether the product of two classes of degree 1 is not zero at some scale.

    (a u b)(i, j, k) = a(i, j) b(j, k) for i < j < k. A product that is not zero at one scale is not zero at any larger
    scale at which both classes live, so it is computed just before the first of them dies: it is zero if it is the
    coboundary of values on edges, which elimination modulo the prime decides.

    Args:
        found: bars with cocycles.
        first: index of a bar of degree 1.
        second: index of another.

    Returns:
        Whether the product lives; False if the two bars share no scale.

    Reference: Contessoto, Memoli, Stefanou and Zhou, https://doi.org/10.4230/LIPIcs.SoCG.2022.31
    """
    births, deaths = found.diagrams[1][[first, second]].T
    scale = float(np.nextafter(np.float32(deaths.min()), np.float32(0)))
    voids = found.diagrams[2]
    if births.max() > scale or not ((voids[:, 0] <= scale) & (voids[:, 1] > scale)).any():
        return False
    lengths = found.edges.toarray()
    joined = (lengths > 0) & (lengths <= scale)
    triangles = _triangles(joined)
    i, j, k = triangles.T
    one, other = (_values(found.cocycles[index], joined) for index in (first, second))
    product = (one[i, j] * other[j, k]) % found.prime
    if not product.any():
        return False
    columns = np.zeros(joined.shape, dtype=int)
    ends = np.nonzero(np.triu(joined, 1))
    columns[ends] = np.arange(len(ends[0]))
    system = np.zeros((len(triangles), len(ends[0]) + 1), dtype=np.int64)
    rows = np.arange(len(triangles))
    system[rows, columns[i, j]] = 1
    system[rows, columns[j, k]] = 1
    system[rows, columns[i, k]] = found.prime - 1
    system[:, -1] = product
    return not _solvable(system, found.prime)


def _triangles(joined: np.ndarray) -> np.ndarray:
    """List the triangles i < j < k of a graph, (m, 3)."""
    upper = np.triu(joined, 1)
    i, j = np.nonzero(upper)
    edge, k = np.nonzero(upper[i] & upper[j])
    return np.stack([i[edge], j[edge], k], axis=1)


def _values(cocycle: Cocycle, joined: np.ndarray) -> np.ndarray:
    """Write a cocycle as an antisymmetric matrix, on the edges that are there."""
    values = np.zeros(joined.shape, dtype=np.int64)
    source, target, value = np.asarray(cocycle).T
    values[source, target] = value
    values[target, source] = -value
    return np.where(joined, values, 0)


def _solvable(system: np.ndarray, prime: int) -> bool:
    """Say whether a linear system modulo a prime, its right side in the last column, has a solution."""
    row = 0
    for column in range(system.shape[1] - 1):
        left = row + np.flatnonzero(system[row:, column])
        if not len(left):
            continue
        system[[row, left[0]]] = system[[left[0], row]]
        pivot = system[row] * pow(int(system[row, column]), -1, prime) % prime
        rest = left[1:]
        system[rest] = (system[rest] - system[rest, column, None] * pivot) % prime
        row += 1
    return not system[row:, -1].any()
