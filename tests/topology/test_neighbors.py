"""The search for nearest points, and what is computed from a share of it."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from riemod.topology import _neighbors as near
from riemod.topology import geodesic_distances, local_pca_dimension, local_pca_projection, two_nn_dimension


def cloud(dim: int, n: int = 300) -> np.ndarray:
    return np.random.default_rng(dim).standard_normal((n, dim))


@pytest.mark.parametrize("dim", [3, 14])
def test_neighbors_are_the_nearest(dim: int) -> None:
    points = cloud(dim)
    found = near.neighborhood(points, 7)
    apart = cdist(points, points)
    np.testing.assert_allclose(found.distances, np.sort(apart, axis=1)[:, :7], atol=1e-7)
    np.testing.assert_array_equal(found.indices, np.argsort(apart, axis=1)[:, :7])


@pytest.mark.parametrize("dim", [3, 14])
def test_no_more_neighbors_than_points(dim: int) -> None:
    assert near.neighborhood(cloud(dim, 5), 41).indices.shape == (5, 5)


@pytest.mark.parametrize("dim", [3, 14])
def test_a_share_of_a_search_gives_what_a_search_of_its_own_gives(dim: int) -> None:
    points, sources = cloud(dim), np.arange(0, 300, 10)
    found = near.neighborhood(points, 41)
    np.testing.assert_array_equal(near.project(found.first(20)), local_pca_projection(points, 20))
    assert near.two_nn(found) == two_nn_dimension(points, 20)
    assert near.participation_ratio(found.first(40)) == local_pca_dimension(points, 40)
    for ours, alone in zip(
        near.shortest_paths(found.first(16), sources), geodesic_distances(points, sources), strict=True
    ):
        np.testing.assert_array_equal(ours, alone)


def test_geodesic_ratio_is_large_for_narrow_codes() -> None:
    angle, center = np.linspace(0, 2 * np.pi, 400)[:, None], np.linspace(0, 2 * np.pi, 100, endpoint=False)
    codes = np.exp(20 * (np.cos(angle - center) - 1))
    axes, _ = np.linalg.qr(cloud(4)[:, :2])
    plane = np.random.default_rng(0).uniform(size=(500, 2)) @ axes[:4].T / np.linalg.norm(axes[:4])
    assert near.geodesic_ratio(near.neighborhood(codes, 16)) > 2
    assert near.geodesic_ratio(near.neighborhood(plane, 16)) == pytest.approx(1.0, abs=0.25)
