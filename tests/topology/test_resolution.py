"""Planted surfaces, and what is seen of them."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from analysis.clouds import disc
from riemod.topology._neighbors import neighborhood
from riemod.topology.resolution import Planted, ellipsoid_with, planted_like, resolution, seen, torus_with

FLOORS = {1: 2.5, 2: 1.3}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_torus_has_the_extent_and_the_shares_asked_for() -> None:
    points = torus_with(0.5, 500, generator())
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0)
    radii = np.linalg.norm(points[:, :2], axis=1), np.linalg.norm(points[:, 2:], axis=1)
    np.testing.assert_allclose(radii[1] / radii[0], 0.5)


def test_an_ellipsoid_is_drawn_by_its_area() -> None:
    share, points = 0.4, ellipsoid_with(0.4, 20000, generator())
    np.testing.assert_allclose((points / [1.0, share, share]) ** 2 @ np.ones(3), 1.0)
    # x = cos t of a spheroid has the density sqrt(share^2 x^2 + 1 - x^2).
    area = [quad(lambda x: np.sqrt(share**2 * x**2 + 1 - x**2), low, 1)[0] for low in (0.0, 0.5)]
    assert np.mean(np.abs(points[:, 0]) > 0.5) == pytest.approx(area[1] / area[0], abs=0.015)


def test_noise_and_extent_are_those_of_the_data() -> None:
    rng = np.random.default_rng(0)
    points = 3 * disc(1500, rng) + 0.1 * rng.standard_normal((1500, 3)) * [0.0, 0.0, 1.0]
    like = planted_like(neighborhood(points, 40), "euclidean", FLOORS)
    assert like.extent == pytest.approx(3 * np.sqrt(0.95), rel=0.05)
    assert like.noise == pytest.approx(0.1, rel=0.15)


def test_few_points_miss_a_short_loop_and_say_how_many_are_enough() -> None:
    like = Planted(1.0, 0.02, 3, "euclidean", FLOORS)
    assert not seen(1, 0.5, 150, like, generator())
    found = resolution(150, like, generator())
    assert found.loop is None or found.loop > 0.5
    assert found.needed is None or 150 < found.needed <= found.tried <= 600
