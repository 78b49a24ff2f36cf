"""Local-PCA projection, geodesic distances, densest points and dimensions, on clouds where they are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from analysis.clouds import circle
from riemod.manifolds import Sphere
from riemod.topology import (
    densest,
    geodesic_distances,
    local_pca_dimension,
    local_pca_projection,
    two_nn_dimension,
)
from riemod.topology.clouds import apart, principal_axes
from tests.strategies import generator


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def embedded_plane(n: int, width: int) -> np.ndarray:
    axes, _ = np.linalg.qr(rng(1).standard_normal((width, 2)))
    return rng().uniform(size=(n, 2)) @ axes.T


def test_projection_leaves_a_plane_alone() -> None:
    points = embedded_plane(300, 6)
    np.testing.assert_allclose(local_pca_projection(points), points, atol=1e-12)


def test_projection_removes_normal_noise() -> None:
    clean = np.pad(circle(1000, rng()), ((0, 0), (0, 4)))
    noisy = clean + 0.1 * rng(1).standard_normal(clean.shape)

    def off(points: np.ndarray) -> float:
        return float(np.hypot(np.linalg.norm(points[:, 2:], axis=1), np.linalg.norm(points[:, :2], axis=1) - 1).mean())

    assert off(local_pca_projection(noisy)) < 0.6 * off(noisy)


def test_geodesics_of_a_circle_are_arcs() -> None:
    points = circle(2000, rng())
    sources = np.arange(0, 2000, 100)
    found, nearest = geodesic_distances(points, sources)
    cosines = np.clip(points[sources] @ points[sources].T, -1, 1)
    np.testing.assert_allclose(found, np.arccos(cosines), atol=0.01)
    assert nearest[sources].max() == 0
    assert nearest.shape == (2000,)


def test_geodesics_link_pieces_by_their_shortest_edge() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 5.0], [0.0, 5.0], [0.0, 8.0], [1.0, 8.0]])
    found, _ = geodesic_distances(points, np.arange(6), 1)
    assert found[0, 1] == 1
    assert found[1, 2] in (5.0, 7.0)  # straight up, or by way of the other edge of the same length
    assert found[2, 4] in (3.0, 4.0, 5.0)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_dimension_of_spheres(dim: int) -> None:
    points = Sphere(dim).sample(4000, generator=generator(dim)).double().numpy()
    assert two_nn_dimension(points) == pytest.approx(dim, rel=0.1)
    assert local_pca_dimension(points) == pytest.approx(dim, rel=0.12)


def test_larger_neighborhoods_ignore_noise() -> None:
    points = np.pad(rng().uniform(size=(4000, 2)), ((0, 0), (0, 3)))
    points += 0.01 * rng(1).standard_normal(points.shape)
    assert two_nn_dimension(points, 1) > 2.6
    assert two_nn_dimension(points, 40) < 2.4


def test_principal_axes() -> None:
    points = rng().standard_normal((500, 6)) * np.array([1.0, 5.0, 2.0, 0.1, 0.1, 0.1])
    _, axes = principal_axes(points, 2)
    np.testing.assert_allclose(np.abs(axes).argmax(axis=0), [1, 2])
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-12)
    _, all_axes = principal_axes(points, 6)
    np.testing.assert_array_equal(all_axes, np.eye(6))


@pytest.mark.parametrize("count", [1, 11])
def test_projection_refuses_counts(count: int) -> None:
    with pytest.raises(ValueError, match="count must be an integer from 2 to 10, got"):
        local_pca_projection(rng().uniform(size=(10, 3)), count)


def test_densest_leaves_outliers_out() -> None:
    ring = circle(300, rng())
    order = rng(2).permutation(330)
    points = np.concatenate([ring, 5 * rng(1).standard_normal((30, 2)) + 40])[order]
    np.testing.assert_array_equal(densest(points, 300 / 330), np.flatnonzero(order < 300))


@given(st.integers(0, 50), st.floats(0.05, 1.0), st.integers(1, 20))
def test_densest_keeps_the_nearest_to_their_neighbors_in_any_place_and_scale(
    seed: int, share: float, count: int
) -> None:
    points = rng(seed).standard_normal((40, 3))
    kept = densest(points, share, count)
    apart = np.sort(cdist(points, points), axis=1)[:, count]
    assert len(kept) == np.ceil(share * 40 - 1e-9)
    assert apart[kept].max() <= np.delete(apart, kept).min(initial=np.inf) + 1e-12
    np.testing.assert_array_equal(densest(3.0 * points + 7.0, share, count), kept)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, "share must be in"),
        ({"share": 1.1}, "share must be in"),
        ({"count": 0}, "count must be an integer from 1 to 9, got"),
        ({"count": 10}, "count must be an integer from 1 to 9, got"),
    ],
)
def test_densest_refuses(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        densest(rng().uniform(size=(10, 3)), **({"count": 3} | options))  # pyright: ignore[reportArgumentType]


def test_dimension_refuses_few_points() -> None:
    with pytest.raises(ValueError, match="points must be more than 40 for a count of 20, got 10"):
        two_nn_dimension(rng().uniform(size=(10, 3)))


def test_points_that_repeat_up_to_a_jitter_are_one() -> None:
    rng = np.random.default_rng(0)
    places = rng.standard_normal((30, 3))
    visits = np.repeat(places, 20, axis=0) + 1e-6 * rng.standard_normal((600, 3))
    assert len(apart(visits)) == 30
    assert len(apart(rng.standard_normal((500, 3)))) == 500
