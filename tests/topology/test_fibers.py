"""Fibers of recovered angles, against spreads and gaps that are known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.clouds import circle, flat_torus
from analysis.field import shapes
from riemod.topology.fibers import fibers, largest_gap, of_circle, of_torus


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(height=st.floats(0.1, 1.0), scale=st.floats(0.01, 100.0))
def test_the_thickness_of_a_band_is_its_standard_deviation(height: float, scale: float) -> None:
    angle = rng().uniform(0, 2 * np.pi, 2000)
    band = np.stack([np.cos(angle), np.sin(angle), rng(1).uniform(-height, height, 2000)], 1) * scale
    found = of_circle(band, angle)
    # Uniform on an interval of length 2 h; the base is the unit circle.
    assert found.thickness == pytest.approx(height / math.sqrt(3), rel=0.1)


def test_isotropic_noise_in_many_coordinates_is_no_thickness() -> None:
    angle = rng().uniform(0, 2 * np.pi, 3000)
    points = np.pad(np.stack([np.cos(angle), np.sin(angle)], 1), ((0, 0), (0, 10)))
    found = of_circle(points + 0.2 * rng(1).standard_normal(points.shape), angle)
    assert found.thickness < 0.21


def test_true_angles_of_a_torus_fill_it_and_explain_it() -> None:
    angles = rng().uniform(0, 2 * np.pi, (2000, 2))
    points = np.concatenate([np.cos(angles), np.sin(angles)], 1)
    found = of_torus(points, angles)
    assert found.filled == 1.0
    assert found.thickest < 0.15
    third = np.concatenate([points, circle(2000, rng(1))], 1)
    assert of_torus(third, angles).thickness > 0.6


@given(width=st.floats(0.6, 2.5), turn=st.floats(0.0, 6.2))
def test_the_largest_gap_is_found_wherever_it_is(width: float, turn: float) -> None:
    angle = np.mod(np.linspace(width, 2 * np.pi, 200) + turn, 2 * np.pi)
    gap, p_value, at = largest_gap(angle)
    assert gap == pytest.approx(width)
    assert abs(np.angle(np.exp(1j * (at - turn - width / 2)))) < 1e-6
    assert p_value < 1e-3


def test_uniform_angles_have_no_gap_that_is_improbable() -> None:
    p_values = [largest_gap(rng(seed).uniform(0, 2 * np.pi, 300))[1] for seed in range(200)]
    assert np.mean(np.array(p_values) <= 0.001) <= 0.02


@pytest.mark.parametrize(
    ("draw", "count", "filled", "thick"),
    [(flat_torus, 2, (0.9, 1.0), (0.0, 0.3)), (shapes.wedge, 2, (0.0, 0.45), (0.0, 9.0))],
)
def test_recovered_angles_tell_a_torus_from_a_wedge(
    draw: shapes.Draw, count: int, filled: tuple[float, float], thick: tuple[float, float]
) -> None:
    found = fibers(shapes.noisy(draw(800, rng()), 0.03, rng(1)), count, "euclidean", 0)
    assert found is not None
    assert filled[0] <= found.filled <= filled[1]
    assert thick[0] <= found.thickness <= thick[1]


def test_points_without_a_loop_have_no_fibers() -> None:
    assert fibers(np.linspace(0, 1, 60)[:, None] * np.ones(3), 1, "euclidean", 0) is None
