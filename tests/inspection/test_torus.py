"""Places, phases and tuning of a grid module whose true phases stand for the recovered angles."""

import dataclasses

import numpy as np
import pytest

from riemod.inspection.torus import torus_in_arena
from riemod.recordings import Prepared, prepare, simulate
from tests.recordings.populations import generator


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    recording = simulate.grid_module(20, 8, spacing=0.6, orientation=0.0, generator=generator(4))
    return prepare(recording, generator=generator())


def angles_of(prepared: Prepared, noise: float) -> np.ndarray:
    """The two phases of a hexagonal lattice of 0.6 m, in a basis that is not the shortest, with noise."""
    assert prepared.position is not None
    directions = np.pi / 2 + np.array([0, np.pi / 3])
    waves = 4 * np.pi / (np.sqrt(3) * 0.6) * np.stack([np.cos(directions), np.sin(directions)], axis=1)
    phases = prepared.position @ waves.T + noise * np.random.default_rng(0).standard_normal(prepared.position.shape)
    return np.mod(phases @ np.array([[1, 1], [0, 1]]), 2 * np.pi)


def test_a_grid_module_is_hexagonal_and_its_cells_belong_to_the_torus(prepared: Prepared) -> None:
    fitted = (prepared.times // 30).astype(int) % 2 == 0
    found = torus_in_arena(prepared, angles_of(prepared, 0.2), fitted, counted=True)
    assert found is not None
    assert found.axes is not None
    assert found.axes.lattice == "hexagonal"
    np.testing.assert_allclose(found.axes.spacings, 0.6, rtol=0.02)
    errors = found.record["decoding"]
    assert errors["angles"] < 0.05
    assert errors["maps_over_angles"] < 1.3 * errors["maps_over_places"] < 0.1
    assert errors["chance"] == pytest.approx(0.6 * 0.364, rel=0.15)
    assert found.record["tuning"]["units_on_torus"] >= 18
    assert np.mean(found.record["tuning"]["torus"]) > np.mean(found.record["tuning"]["arena"]) > 0


def test_angles_that_say_nothing_of_the_place(prepared: Prepared) -> None:
    fitted = (prepared.times // 30).astype(int) % 2 == 0
    noise = np.random.default_rng(1).uniform(0, 2 * np.pi, (len(prepared.times), 2))
    found = torus_in_arena(prepared, noise, fitted, counted=True)
    assert found is not None
    assert found.axes is None
    assert "the angles do not follow the place" in found.record["problem"]


def test_without_a_position_there_is_nothing_to_align(prepared: Prepared) -> None:
    fitted = np.ones(len(prepared.times), dtype=bool)
    alone = dataclasses.replace(prepared, position=None)
    assert torus_in_arena(alone, angles_of(prepared, 0.2), fitted, counted=True) is None
    found = torus_in_arena(prepared, angles_of(prepared, 0.2), fitted, counted=True)
    assert found is not None
    assert "fewer than 100 bins" in found.record["problem"]
