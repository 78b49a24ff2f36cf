"""Axes of a torus in an arena, from angles whose waves are known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riemod.inspection.torus_axes import align_with_arena

BASES = [
    np.array(rows)
    for rows in ([[1, 0], [0, 1]], [[1, 1], [0, 1]], [[0, 1], [-1, 0]], [[2, 1], [1, 1]], [[1, 0], [-2, -1]])
]


def waves(between: float, turn: float, length: float = 12.0) -> np.ndarray:
    directions = np.radians([turn, turn + between])
    return length * np.stack([np.cos(directions), np.sin(directions)], axis=1)


@settings(max_examples=12)
@given(st.sampled_from([60.0, 90.0]), st.floats(-29, 29), st.sampled_from(BASES), st.integers(0, 5))
def test_the_shortest_waves_are_found_in_any_basis(between: float, turn: float, basis: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.uniform(-0.75, 0.75, (800, 2))
    true = waves(between, turn)
    angles = np.mod((places @ true.T + [0.3, 1.2] + 0.3 * rng.standard_normal((800, 2))) @ basis.T, 2 * np.pi)
    found = align_with_arena(angles, places)
    assert found.between == pytest.approx(between, abs=2)
    assert found.lattice == ("hexagonal" if between == 60 else "square")
    assert found.coherences.min() > 0.9
    lengths = np.linalg.norm(found.waves, axis=1)
    np.testing.assert_allclose(lengths, 12, rtol=0.03)
    spacing = 2 * math.pi / 12 / math.sin(math.radians(between))
    np.testing.assert_allclose(found.spacings, spacing, rtol=0.04)
    assert abs(round(np.linalg.det(found.basis))) == 1
    assert found.waves[0, 0] > 0
    assert found.waves[0] @ found.waves[1] >= -1e-6 * 144 - 5
    off = np.exp(1j * (found.aligned(angles) - found.phases_at(places)))
    assert np.abs(np.angle(off)).mean() < 0.4


def test_differences_of_angles_are_distances_in_the_arena() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 2, (500, 2))
    found = align_with_arena(np.mod(places @ waves(60, 10).T, 2 * np.pi), places)
    steps = rng.uniform(-0.1, 0.1, (500, 2))
    np.testing.assert_allclose(
        found.meters(found.phases_at(places + steps) - found.phases_at(places)),
        np.linalg.norm(steps, axis=1),
        rtol=1e-6,
    )
    assert set(found.to_dict()) == {"waves", "coherences", "between", "lattice", "spacings"}


def test_angles_along_one_wave_are_refused() -> None:
    places = np.random.default_rng(0).uniform(0, 2, (300, 2))
    angle = places @ waves(60, 10)[0]
    with pytest.raises(ValueError, match="angles must follow two different waves"):
        align_with_arena(np.mod(np.stack([angle, angle], axis=1), 2 * np.pi), places)
