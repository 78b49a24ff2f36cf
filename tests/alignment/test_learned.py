"""Spread of points, similarities as distances, and points in a neutral space, each against its definition."""

import numpy as np
import pytest
import torch

from riemod.alignment import dissimilarities, neutral_points, rank_correlation, spread
from riemod.manifolds import KleinBottle, Manifold, Sphere, Torus
from tests.strategies import generator


@pytest.mark.parametrize("manifold", [Sphere(1), Sphere(2, radius=0.3), Torus(2), KleinBottle()], ids=repr)
def test_uniform_points_have_spread_1_and_crowded_ones_less(manifold: Manifold) -> None:
    points = manifold.sample(400, generator=generator(5), dtype=torch.float64)
    assert spread(points, manifold) == pytest.approx(1, abs=0.03)
    assert spread(points[:1].repeat(9, 1), manifold) == pytest.approx(0, abs=1e-6)


def test_antipodes_are_wider_than_uniform() -> None:
    circle = Sphere(1)
    points = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert spread(points, circle) == pytest.approx(2, rel=0.02)
    with pytest.raises(ValueError, match="points must be at least 2, got 1"):
        spread(points[:1], circle)


def test_similar_units_are_near() -> None:
    similarities = np.random.default_rng(0).normal(size=(9, 9))
    found = dissimilarities(similarities)
    mean = (similarities + similarities.T) / 2
    rows, columns = np.triu_indices(9, 1)
    np.testing.assert_allclose(found[rows, columns], mean[rows, columns].max() - mean[rows, columns])
    assert not found.diagonal().any()
    assert np.array_equal(found, found.T)
    assert rank_correlation(found, dissimilarities(3 * similarities - 7)) == pytest.approx(1)
    for bad in (np.ones((2, 3)), np.full((2, 2), np.nan), np.ones((1, 1))):
        with pytest.raises(ValueError, match="similarities must be a finite square matrix"):
            dissimilarities(bad)


def test_rows_of_low_rank_keep_their_cosines() -> None:
    source = np.random.default_rng(1)
    rows = source.normal(size=(40, 4)) @ source.normal(size=(4, 100))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    points = neutral_points(rows, 5)
    assert points.shape == (40, 6)
    np.testing.assert_allclose(points @ points.T, unit @ unit.T, atol=1e-9)


def test_bad_rows_are_named() -> None:
    with pytest.raises(ValueError, match="rows must be more than dim, 5, got 3"):
        neutral_points(np.eye(3))
    with pytest.raises(ValueError, match="rows must not be zero, got 1 zero rows, the first 2"):
        neutral_points(np.diag([1.0, 1.0, 0.0]), 1)
    with pytest.raises(ValueError, match="rows must be a finite matrix"):
        neutral_points(np.full((9, 9), np.nan))
    with pytest.raises(TypeError, match="rows must be an array of numbers, got 'x'"):
        neutral_points("x")


def test_what_is_no_manifold_and_no_matrix_is_named() -> None:
    with pytest.raises(TypeError, match="manifold must be a Manifold, got str"):
        spread(torch.zeros(3, 2), "torus")
    with pytest.raises(TypeError, match="similarities must be an array of numbers, got 'x'"):
        dissimilarities("x")
