"""Products of loops: they live on closed surfaces with two loops, at every prime, and nowhere else."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from analysis import clouds
from riemod.topology.persistence import collapsed_edges, enclosing_radius
from riemod.topology.products import _solvable, classes, product_lives

LENGTHS = st.integers(4, 6)


def grid(rows: int, columns: int, wrap: tuple[bool, bool], seed: int) -> csr_array:
    """Join each vertex of a triangulated grid with its neighbors, 1 apart, with rows and columns wrapped or not."""
    vertices = list(itertools.product(range(rows), range(columns)))
    order = np.random.default_rng(seed).permutation(len(vertices))
    index = {vertex: order[number] for number, vertex in enumerate(vertices)}
    edges = np.zeros((len(vertices), len(vertices)))
    for (i, j), (di, dj) in itertools.product(vertices, [(0, 1), (1, 0), (1, 1)]):
        end = ((i + di) % rows if wrap[0] else i + di, (j + dj) % columns if wrap[1] else j + dj)
        if end in index:
            edges[index[i, j], index[end]] = edges[index[end], index[i, j]] = 1.0
    return csr_array(edges)


@settings(max_examples=25)
@given(LENGTHS, LENGTHS, st.sampled_from([2, 3, 5, 47]), st.integers(0, 2**32 - 1))
def test_the_loops_of_a_torus_have_a_product(rows: int, columns: int, prime: int, seed: int) -> None:
    found = classes(grid(rows, columns, (True, True), seed), 2.0, prime)
    assert [len(diagram) for diagram in found.diagrams[1:]] == [2, 1]
    assert product_lives(found, 0, 1)
    assert product_lives(found, 1, 0)


@settings(max_examples=10)
@given(LENGTHS, st.integers(0, 2**32 - 1))
def test_two_bands_beside_a_sphere_have_none(rows: int, seed: int) -> None:
    """They have the Betti numbers of a torus."""
    octahedron = 1.0 - np.eye(6) - np.eye(6)[[1, 0, 3, 2, 5, 4]]
    band = grid(rows, 4, (False, True), seed).toarray()
    edges = np.zeros((len(octahedron) + 2 * len(band),) * 2)
    start = 0
    for part in (octahedron, band, band):
        edges[start : start + len(part), start : start + len(part)] = part
        start += len(part)
    edges[0, [6, 6 + len(band)]] = edges[[6, 6 + len(band)], 0] = 1.0
    found = classes(csr_array(edges), 2.0, 3)
    assert [len(diagram) for diagram in found.diagrams[1:]] == [2, 1]
    assert not product_lives(found, 0, 1)


def test_loops_that_share_no_scale_have_none() -> None:
    small = np.concatenate([clouds.circle(40, np.random.default_rng(0)) / 50, np.zeros((40, 1))], axis=1)
    large = np.concatenate([10 + clouds.circle(30, np.random.default_rng(1)), np.zeros((30, 1))], axis=1)
    points = np.concatenate([small, large])
    distances = cdist(points, points)
    reach = enclosing_radius(distances)
    found = classes(collapsed_edges(distances, reach), reach, 3)
    longest = np.argsort(-found.diagrams[1][:, 1] / found.diagrams[1][:, 0])[:2].tolist()
    assert not product_lives(found, *longest)


@pytest.mark.parametrize("seed", range(3))
def test_points_of_a_torus_have_a_product_and_noise_has_none(seed: int) -> None:
    rng = np.random.default_rng(2000 + seed)
    for points, lives in ((clouds.flat_torus(200, rng), True), (rng.standard_normal((100, 3)), False)):
        distances = cdist(points, points)
        threshold = 0.85 * enclosing_radius(distances)
        found = classes(collapsed_edges(distances, threshold), threshold, 3)
        first, second = np.argsort(-found.diagrams[1][:, 1] / found.diagrams[1][:, 0])[:2].tolist()
        assert product_lives(found, first, second) == lives


@given(st.sampled_from([2, 3, 5]), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_solvable_is_that_of_trying_all(prime: int, rows: int, columns: int, seed: int) -> None:
    system = np.random.default_rng(seed).integers(0, prime, (rows, columns + 1))
    tried = itertools.product(range(prime), repeat=columns)
    expected = any(not ((system[:, :-1] @ values - system[:, -1]) % prime).any() for values in map(np.array, tried))
    assert _solvable(system.copy(), prime) == expected
