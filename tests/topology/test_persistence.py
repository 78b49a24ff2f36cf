"""Persistence against spaces whose homology is known, and against laws that every diagram obeys."""

import importlib
import itertools
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ripser import ripser
from scipy.sparse import coo_matrix
from scipy.spatial.distance import cdist

from riemod.manifolds import KleinBottle, Manifold, Sphere, Torus
from riemod.topology import alpha_persistence, bottleneck_distance, persistence, wasserstein_distance
from riemod.topology.persistence import enclosing_radius

module = importlib.import_module("riemod.topology.persistence")

seeds = st.integers(0, 2**32 - 1)


def cloud(seed: int, n: int = 25, dim: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n, dim))


def betti(diagrams: list[np.ndarray], scale: float) -> tuple[int, ...]:
    return tuple(int(((diagram[:, 0] <= scale) & (diagram[:, 1] > scale)).sum()) for diagram in diagrams)


@pytest.mark.parametrize("n", [6, 12, 30])
def test_regular_polygon(n: int) -> None:
    angle = 2 * np.pi * np.arange(n) / n
    diagrams = persistence(np.stack([np.cos(angle), np.sin(angle)], 1), max_dimension=1)
    # For n divisible by 3 an equilateral triangle closes the loop.
    np.testing.assert_allclose(diagrams[1], [[2 * np.sin(np.pi / n), np.sqrt(3)]], rtol=1e-6)


@pytest.mark.parametrize("prime", [2, 3, 47])
@pytest.mark.parametrize("manifold", [Torus(2), KleinBottle()])
def test_grids_have_their_manifold_s_betti_numbers(manifold: Manifold, prime: int) -> None:
    side = torch.arange(12, dtype=torch.float64) * 10 / 12
    grid = torch.cartesian_prod(side, side + 5 / 12)
    distances = manifold.distance(grid, grid).numpy()
    assert betti(persistence(distances, metric="precomputed", prime=prime, threshold=1.9), 1.8) == manifold.betti(prime)


def test_projective_plane_has_torsion() -> None:
    triangles = [
        (0, 1, 2),
        (0, 2, 3),
        (0, 3, 4),
        (0, 4, 5),
        (0, 1, 5),
        (1, 2, 4),
        (2, 4, 5),
        (2, 3, 5),
        (1, 3, 5),
        (1, 3, 4),
    ]
    faces = {frozenset(part) for t in triangles for k in (1, 2, 3) for part in itertools.combinations(t, k)}
    cells = sorted(faces, key=sorted)
    # The barycentric subdivision is a flag complex: cells are joined if one holds the other.
    distances = np.array([[0.0 if a == b else 1.0 if a < b or b < a else 2.0 for b in cells] for a in cells])
    found = {p: betti(persistence(distances, metric="precomputed", prime=p, threshold=1.5), 1.2) for p in (2, 3)}
    assert found == {2: (1, 1, 1), 3: (1, 0, 0)}


@given(seeds, st.sampled_from([2, 3]))
def test_collapsing_edges_changes_no_diagram(seed: int, prime: int) -> None:
    distances = cdist(cloud(seed), cloud(seed))
    radius = enclosing_radius(distances)
    plain = ripser(distances, maxdim=2, thresh=radius, coeff=prime, distance_matrix=True)["dgms"]
    for ours, theirs in zip(persistence(distances, metric="precomputed", prime=prime), plain, strict=True):
        lasting = ours[ours[:, 0] < ours[:, 1]]
        np.testing.assert_allclose(np.sort(lasting, axis=0), np.sort(theirs, axis=0), rtol=1e-6)


@given(seeds, st.floats(0.0, 0.05))
def test_diagrams_are_stable(seed: int, size: float) -> None:
    points = cloud(seed)
    shift = np.random.default_rng(seed + 1).standard_normal(points.shape)
    moved = points + size * shift / np.linalg.norm(shift, axis=1, keepdims=True)
    reach = 4.0
    for first, second in zip(persistence(points, threshold=reach), persistence(moved, threshold=reach), strict=True):
        assert bottleneck_distance(first, second) <= 2 * size + 1e-6
        assert bottleneck_distance(first, second) <= wasserstein_distance(first, second, 2.0) + 1e-9


def test_wasserstein_distance_of_classes_that_never_die() -> None:
    assert wasserstein_distance([[1.0, np.inf], [0.0, 0.4]], [[1.5, np.inf]]) == pytest.approx(0.7)
    assert wasserstein_distance([[0.0, np.inf]], []) == np.inf
    assert wasserstein_distance([[0.0, 1.0]] * 3, [[0.0, 1.0]] * 3, order=2.0) == 0


def test_sparse_distances_are_those_up_to_the_longest_entry() -> None:
    distances = cdist(cloud(3), cloud(3))
    rows, columns = np.nonzero((distances <= 0.6) & (distances > 0))
    sparse = coo_matrix((distances[rows, columns], (rows, columns)), shape=distances.shape)
    dense = persistence(distances, metric="precomputed", threshold=0.6)
    for first, second in zip(persistence(sparse), dense, strict=True):
        np.testing.assert_allclose(np.sort(first, axis=0), np.sort(second, axis=0), rtol=1e-6)


def test_count_takes_landmarks() -> None:
    diagrams = persistence(cloud(0, 200), count=20)
    assert len(diagrams[0]) == 20


def test_alpha_complex_of_a_sphere() -> None:
    points = Sphere(2, radius=1.0).sample(1500, generator=torch.Generator().manual_seed(0)).numpy()
    longest = alpha_persistence(points, prime=3)[2]
    assert len(longest[longest[:, 1] - longest[:, 0] > 0.5]) == 1
    assert longest[:, 1].max() == pytest.approx(1.0, abs=0.02)


GOOD = cdist(cloud(0, 5), cloud(0, 5))


def spoiled(place: tuple[int, int], value: float) -> np.ndarray:
    array = GOOD.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (spoiled((0, 1), 9.0), {"metric": "precomputed"}, "must be symmetric"),
        (spoiled((2, 2), 1.0), {"metric": "precomputed"}, "zero on the diagonal"),
        (spoiled((0, 1), np.nan), {"metric": "precomputed"}, "finite"),
        (-GOOD, {"metric": "precomputed"}, "negative"),
        (GOOD[:3], {"metric": "precomputed"}, "square"),
        (spoiled((0, 1), np.inf), {}, "1 of 5 rows"),
        (GOOD[0], {}, "shape"),
        (GOOD, {"prime": 4}, "prime"),
        (GOOD, {"max_dimension": 3}, "max_dimension"),
        (GOOD, {"count": 0}, "count"),
        (GOOD, {"metric": "cosine"}, "metric must be 'euclidean' or 'precomputed'"),
    ],
)
def test_bad_input(data: np.ndarray, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        persistence(data, **options)  # pyright: ignore[reportArgumentType]


def test_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(module.MOST_COLLAPSED, 2, 10)
        with pytest.raises(
            ValueError, match=r"data must have at most 10 collapsed edges in degree 2, got \d+; .* landmarks"
        ):
            persistence(cloud(0), threshold=0.4)
    monkeypatch.setattr(module, "MOST_EDGES", 299)
    with pytest.raises(ValueError, match="at most 299 edges, got 300"):
        persistence(cloud(0), threshold=2.0)
    with pytest.raises(ValueError, match="at most 5000 points, got 5001"):
        persistence(cloud(0, 5001))


def test_alpha_takes_two_or_three_coordinates() -> None:
    with pytest.raises(ValueError, match="2 or 3 coordinates, got 4"):
        alpha_persistence(cloud(0, 9, 4))


def test_diagrams_with_deaths_before_births_are_refused() -> None:
    with pytest.raises(ValueError, match="later deaths"):
        bottleneck_distance([[2.0, 1.0]], [])


@pytest.mark.parametrize("name", ["gudhi", "ripser"])
def test_missing_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (name, *(loaded for loaded in sys.modules if loaded.startswith(f"{name}."))):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"{name} is needed.*riemod\[topology\]"):
        persistence(cloud(0))


def test_too_many_landmarks_are_told_to_be_fewer() -> None:
    points = np.random.default_rng(0).standard_normal((900, 12))
    with pytest.raises(ValueError, match=r"at most 200000 edges, got \d+; give a threshold, or a smaller count"):
        persistence(points, count=800, max_dimension=1, threshold=100.0)
