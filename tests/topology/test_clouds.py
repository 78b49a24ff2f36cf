"""Smoothing, distances along a sheet, dimensions and weight graphs, against what they should be."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from analysis.clouds import circle
from riemod.alignment import graph_distances
from riemod.manifolds import Sphere
from riemod.topology import densest, geodesic_distances, neighbor_dimension, plane_dimension, smooth
from riemod.topology.clouds import neighbors, principal_axes, stretch
from tests.strategies import generator


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def embedded_plane(n: int, width: int) -> np.ndarray:
    axes, _ = np.linalg.qr(rng(1).standard_normal((width, 2)))
    return rng().uniform(size=(n, 2)) @ axes.T


@pytest.mark.parametrize("dim", [3, 14])
def test_neighbors_are_the_nearest(dim: int) -> None:
    points = rng().standard_normal((60, dim))
    distances, indices = neighbors(points, 7)
    all_distances = cdist(points, points)
    np.testing.assert_allclose(distances, np.sort(all_distances, axis=1)[:, :7], atol=1e-7)
    np.testing.assert_array_equal(indices, np.argsort(all_distances, axis=1)[:, :7])


def test_smooth_leaves_a_plane_alone() -> None:
    points = embedded_plane(300, 6)
    np.testing.assert_allclose(smooth(points), points, atol=1e-12)


def test_smooth_takes_noise_off() -> None:
    clean = np.pad(circle(1000, rng()), ((0, 0), (0, 4)))
    noisy = clean + 0.1 * rng(1).standard_normal(clean.shape)

    def off(points: np.ndarray) -> float:
        return float(np.hypot(np.linalg.norm(points[:, 2:], axis=1), np.linalg.norm(points[:, :2], axis=1) - 1).mean())

    assert off(smooth(noisy)) < 0.6 * off(noisy)


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


def test_stretch_is_large_where_codes_are_narrow() -> None:
    angle, center = np.linspace(0, 2 * np.pi, 400)[:, None], np.linspace(0, 2 * np.pi, 100, endpoint=False)
    codes = np.exp(20 * (np.cos(angle - center) - 1))
    assert stretch(codes) > 2
    assert stretch(embedded_plane(500, 4)) == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_dimension_of_spheres(dim: int) -> None:
    points = Sphere(dim).sample(4000, generator=generator(dim)).double().numpy()
    assert neighbor_dimension(points) == pytest.approx(dim, rel=0.1)
    assert plane_dimension(points) == pytest.approx(dim, rel=0.12)


def test_larger_neighborhoods_look_beyond_noise() -> None:
    points = np.pad(rng().uniform(size=(4000, 2)), ((0, 0), (0, 3)))
    points += 0.01 * rng(1).standard_normal(points.shape)
    assert neighbor_dimension(points, 1) > 2.6
    assert neighbor_dimension(points, 40) < 2.4


def test_principal_axes() -> None:
    points = rng().standard_normal((500, 6)) * np.array([1.0, 5.0, 2.0, 0.1, 0.1, 0.1])
    _, axes = principal_axes(points, 2)
    np.testing.assert_allclose(np.abs(axes).argmax(axis=0), [1, 2])
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-12)
    _, all_axes = principal_axes(points, 6)
    np.testing.assert_array_equal(all_axes, np.eye(6))


@given(st.integers(0, 2**32 - 1), st.sampled_from(["log", "diffusion"]))
def test_graph_distances_are_a_metric(seed: int, method: str) -> None:
    weight = rng(seed).standard_normal((8, 8))
    found = graph_distances(torch.tensor(weight), method)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(found, found.T)
    assert not found.diagonal().any()
    assert (found[:, None] <= found[:, :, None] + found[None] + 1e-9).all()


def test_diffusion_distance_is_that_of_the_walkers() -> None:
    weight = rng().uniform(size=(6, 6))
    affinity = (weight + weight.T) / 2
    np.fill_diagonal(affinity, 0)
    strength = affinity.sum(axis=1)
    walkers = np.linalg.matrix_power(affinity / strength[:, None], 4)
    expected = cdist(walkers / np.sqrt(strength / strength.sum()), walkers / np.sqrt(strength / strength.sum()))
    np.testing.assert_allclose(graph_distances(weight, "diffusion", steps=4), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("weight", "options", "message"),
    [
        (np.ones((2, 3)), {}, "square"),
        (np.full((2, 2), np.nan), {}, "finite"),
        (np.kron(np.eye(2), np.ones((2, 2))), {}, "2 pieces"),
        (np.ones((3, 3)), {"method": "euclidean"}, "method"),
        (np.ones((3, 3)), {"steps": 0.0}, "steps"),
    ],
)
def test_graph_distances_refuse(weight: np.ndarray, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        graph_distances(weight, **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("count", [1, 11])
def test_smooth_refuses_counts(count: int) -> None:
    with pytest.raises(ValueError, match="count must be from 2 to the 10 points"):
        smooth(rng().uniform(size=(10, 3)), count)


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
        ({"count": 0}, "count must be from 1 to one less than the 10"),
        ({"count": 10}, "count must be from 1 to one less than the 10"),
    ],
)
def test_densest_refuses(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        densest(rng().uniform(size=(10, 3)), **({"count": 3} | options))  # pyright: ignore[reportArgumentType]


def test_dimension_refuses_few_points() -> None:
    with pytest.raises(ValueError, match="too few"):
        neighbor_dimension(rng().uniform(size=(10, 3)))
