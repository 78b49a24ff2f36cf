"""Modules of grid cells: lattices of two spacings among units without one."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from riemod.manifolds import Euclidean
from riemod.tuning import RateMaps, grid_modules, regular_bins

SIDE = 1.5
BINS = regular_bins(Euclidean(2), 24, (0.0, SIDE))


def grids(count: int, spacing: float, orientation: float, rng: np.random.Generator) -> np.ndarray:
    """Rates of grid cells with random phases, with noise."""
    angles = orientation + math.pi / 6 + np.arange(3) * math.pi / 3
    waves = 4 * math.pi / (math.sqrt(3) * spacing) * np.stack([np.cos(angles), np.sin(angles)])
    apart = (BINS.centers.numpy() @ waves)[None] - (rng.uniform(0, 60, (count, 2)) @ waves)[:, None]
    return np.exp(0.6 * (np.cos(apart) - 1).sum(axis=2)) + rng.uniform(0, 0.3, (count, len(BINS.centers)))


def fields(count: int, rng: np.random.Generator) -> np.ndarray:
    """Rates of place cells with one field each, with noise."""
    apart = BINS.centers.numpy()[None] - rng.uniform(0, SIDE, (count, 1, 2))
    return np.exp(-np.square(apart).sum(axis=2) / (2 * 0.2**2)) + rng.uniform(0, 0.3, (count, len(BINS.centers)))


def maps_of(*rates: np.ndarray) -> RateMaps:
    return RateMaps(BINS, np.concatenate(rates), np.full(len(BINS.centers), 1 / len(BINS.centers)))


@pytest.mark.parametrize("seed", range(3))
def test_two_modules_are_told_from_one_another_and_from_place_cells(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = grid_modules(maps_of(grids(14, 0.65, 0.3, rng), fields(20, rng), grids(12, 0.45, 0.1, rng)))
    assert found.tolist() == [1] * 14 + [-1] * 20 + [0] * 12


def test_modules_of_one_spacing_are_told_apart_by_their_orientation() -> None:
    rng = np.random.default_rng(0)
    found = grid_modules(maps_of(grids(12, 0.5, 0.0, rng), grids(12, 0.5, 0.5, rng)))
    assert sorted({*found[:12]} | {*found[12:]}) == [0, 1]
    assert len({*found[:12]}) == len({*found[12:]}) == 1


def test_few_units_and_units_without_a_lattice_are_no_module() -> None:
    rng = np.random.default_rng(0)
    few, none = grids(9, 0.5, 0.2, rng), fields(12, rng)
    assert (grid_modules(maps_of(few, none)) == -1).all()
    assert grid_modules(maps_of(few, none), least_units=9).tolist() == [0] * 9 + [-1] * 12
    # A blob shares its round autocorrelogram with others, and it is no lattice.
    same = np.repeat(none[:1], 12, axis=0) + rng.uniform(0, 0.01, (12, len(BINS.centers)))
    assert (grid_modules(maps_of(same)) == -1).all()
    assert grid_modules(maps_of(few[:1])).tolist() == [-1]


@given(st.permutations(range(28)))
@settings(max_examples=5, deadline=None)
def test_the_order_and_the_scale_of_units_do_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(1)
    rates = np.concatenate([grids(12, 0.6, 0.3, rng), fields(6, rng), grids(10, 0.42, 0.0, rng)])
    scale = torch.linspace(0.1, 50, len(rates)).numpy()[:, None]
    np.testing.assert_array_equal(grid_modules(maps_of((scale * rates)[order])), grid_modules(maps_of(rates))[order])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"alike": 1.5}, "alike must be"), ({"least_units": 1}, "least_units must be"), ({"least_bins": 2}, "least_bins")],
)
def test_numbers_outside_their_range_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        grid_modules(maps_of(grids(3, 0.5, 0.0, np.random.default_rng(0))), **arguments)
