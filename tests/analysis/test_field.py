"""The field set: generators give what they say, and the table counts wrong names."""

import math

import numpy as np
import pytest

from analysis.field import baseline, examples, networks, populations, shapes
from analysis.field.__main__ import table
from analysis.field.cases import CASES
from analysis.field.paths import STEP, global_seed, independent, walk


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_walk_stays_in_the_box_and_has_the_speed_of_its_process() -> None:
    path = walk(0, minutes=5.0)
    assert path.positions.shape == (3000, 2)
    assert (path.positions >= 0).all() and (path.positions <= 1).all()  # noqa: PT018
    speed = np.linalg.norm(np.diff(path.positions, axis=0), axis=1) / STEP
    # Reflection within a step shortens some.
    assert np.sqrt((speed**2).mean()) == pytest.approx(0.12 * math.sqrt(2), rel=0.15)
    assert walk(0, minutes=5.0) is path


@pytest.mark.parametrize("cells", [populations.place_cells, populations.grid_module, populations.head_direction])
def test_rates_are_tuned_and_spikes_have_them(cells: populations.Cells) -> None:
    path = independent(4000, rng())
    rates = cells(path, 30, rng(1))
    assert rates.shape == (4000, 30)
    assert rates.min() >= 0
    assert 0.8 < rates.max() <= 1
    counts = populations.spikes(rates, 20.0, rng(2))
    assert counts.mean() == pytest.approx(rates.mean() * 20.0 * STEP, rel=0.05)


def test_a_grid_module_repeats_along_its_lattice() -> None:
    path = independent(500, rng())
    rates = populations.grid_module(path, 20, rng(1), scale=0.4)
    turn = rng(1).uniform(0, np.pi / 3)
    # Fields lie at right angles to the waves.
    step = 0.4 * np.array([np.cos(turn + np.pi / 6), np.sin(turn + np.pi / 6)])
    moved = populations.grid_module(path._replace(positions=path.positions + step), 20, rng(1), scale=0.4)
    np.testing.assert_allclose(moved, rates, atol=1e-12)


@pytest.mark.parametrize(
    ("draw", "dim"),
    [
        (shapes.wedge, 3),
        (shapes.eared_sphere, 3),
        (shapes.three_sphere, 4),
        (shapes.three_torus, 6),
        (shapes.immersed_klein_bottle, 3),
        (shapes.gapped_circle, 2),
        (shapes.figure_eight, 2),
        (shapes.elongated_sphere, 3),
        (shapes.repeated_places, 2),
        (shapes.lifted(shapes.three_sphere), 30),
    ],
)
def test_shapes_have_the_points_asked_for(draw: shapes.Draw, dim: int) -> None:
    assert draw(201, rng()).shape == (201, dim)
    np.testing.assert_array_equal(draw(50, rng(3)), draw(50, rng(3)))


@pytest.mark.parametrize(("draw", "dim"), [(shapes.swiss_roll, 3), (shapes.infinity_sign, 2)])
def test_shapes_of_tadasets_have_the_points_asked_for(draw: shapes.Draw, dim: int) -> None:
    pytest.importorskip("tadasets")
    assert draw(201, rng()).shape == (201, dim)
    np.testing.assert_array_equal(draw(50, rng(3)), draw(50, rng(3)))


@pytest.fixture(name="dreimac", scope="module")
def _dreimac() -> None:
    pytest.importorskip("dreimac")


@pytest.mark.usefixtures("dreimac")
@pytest.mark.parametrize(
    ("draw", "dim"),
    [
        (examples.torus, 3),
        (examples.klein_bottle, 4),
        (examples.trefoil, 3),
        (examples.genus_two, 3),
        (examples.three_circles, 2),
        (examples.moving_dot, 100),
        (examples.line_patches, 100),
    ],
)
def test_examples_of_dreimac_differ_by_seed_and_leave_numpys_generator_alone(draw: shapes.Draw, dim: int) -> None:
    with global_seed(5):
        points = draw(201, rng(3))
        after = np.random.uniform()  # noqa: NPY002
    with global_seed(5):
        assert np.random.uniform() == after  # noqa: NPY002
    assert points.shape == (201, dim)
    np.testing.assert_array_equal(draw(201, rng(3)), points)
    assert not np.array_equal(draw(201, rng(4)), points)


@pytest.mark.usefixtures("dreimac")
def test_examples_of_dreimac_lie_on_their_surfaces() -> None:
    x, y, z = examples.torus(500, rng()).T
    np.testing.assert_allclose((np.hypot(x, y) - 5) ** 2 + z**2, 4.0)
    x, y, z, w = examples.klein_bottle(500, rng()).T
    np.testing.assert_allclose((np.hypot(x, y) - 4) ** 2 + z**2 + w**2, 4.0)
    # At each place of the ring z and w have one direction, which turns half as fast as the place.
    np.testing.assert_allclose(z * np.sin(np.arctan2(y, x) / 2), w * np.cos(np.arctan2(y, x) / 2), atol=1e-9)
    radii = np.linalg.norm(examples.three_circles(600, rng()), axis=1)
    assert np.bincount(radii.round().astype(int)).tolist() == [0, 200, 200, 200]


@pytest.mark.slow
def test_networks_are_tuned_to_the_path() -> None:
    pytest.importorskip("canns")
    path = walk(0, minutes=1.0)
    rates = networks.ring(path, 0)
    assert rates.shape == (600, 128)
    assert rates.max() == 1
    # Each neuron fires at its own direction; the first and the last have the same.
    seen = np.angle(rates @ np.exp(1j * np.linspace(-np.pi, np.pi, 128)))
    assert np.cos(seen - path.directions)[20:].mean() > 0.95
    rates = networks.grid_network(path, 0)
    assert rates.shape == (600, 256)
    np.testing.assert_array_equal(networks.grid_network(path, 0), rates)
    step = 0.4 * np.array([0.5, math.sqrt(3) / 2])
    moved = networks.grid_network(path._replace(positions=path.positions + step), 0)
    assert np.corrcoef(moved[20:].ravel(), rates[20:].ravel())[0, 1] > 0.98
    rates = networks.square_network(path, 0)
    moved = networks.square_network(path._replace(positions=path.positions + np.array([0.5, 0.0])), 0)
    np.testing.assert_allclose(moved, rates, atol=1e-3)
    assert networks.some(rates, 60, rng()).shape == (600, 60)


def test_the_pipeline_of_a_user_names_a_clean_circle() -> None:
    angle = rng().uniform(0, 2 * np.pi, 300)
    assert baseline.name(np.stack([np.cos(angle), np.sin(angle)] * 4, 1), 0) == "circle"


def test_undecided_is_no_wrong_name() -> None:
    case = "60 head cells, rates"
    assert CASES[case].right == "circle"
    rows = [
        {"case": case, "manifold": name, "baseline": "torus"} for name in ("circle", "undecided", "sphere", "circle")
    ]
    text = table(rows)
    assert "Wrong names: 1 of 4" in text
    assert "ripser on PCA-6 4 of 4" in text
    assert f"| {case} | circle | circle 2, undecided 1, sphere 1 | torus 4 |" in text
