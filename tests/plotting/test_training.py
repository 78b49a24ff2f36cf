"""Figures of nets in training: weights, errors, paths, and times measured in turn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from riemod.plotting import (
    plot_error_against_sparsity,
    plot_paired_times,
    plot_trajectory,
    plot_weight_matrix,
    plot_weights_by_distance,
    save_panels,
)


def test_a_weight_matrix_has_a_mark_for_each_weight_that_is_not_zero() -> None:
    weight = torch.tensor([[0.0, -2.0, 0.0], [0.0, 0.5, 0.0], [0.1, 0.0, 0.0]])
    marks = plot_weight_matrix(weight, ax=Figure().subplots()).collections[0]
    places, magnitudes = np.asarray(marks.get_offsets()), np.asarray(marks.get_array())
    drawn = {(int(x), int(y)): value for (x, y), value in zip(places, magnitudes, strict=True)}
    assert drawn == pytest.approx({(1, 0): 2.0, (1, 1): 0.5, (0, 2): 0.1})  # column, row: magnitude


def test_an_order_moves_rows_and_columns_of_a_weight_matrix() -> None:
    weight = torch.zeros(3, 3)
    weight[0, 2] = 1.0
    ax = plot_weight_matrix(weight, np.array([2, 0, 1]), Figure().subplots())
    np.testing.assert_equal(
        np.asarray(ax.collections[0].get_offsets()), [[0, 1]]
    )  # source 2 comes first, target 0 second
    assert ax.get_ylim() == (2.5, -0.5)


def test_a_weight_matrix_of_zeros_is_an_empty_picture() -> None:
    assert not plot_weight_matrix(torch.zeros(3, 3), ax=Figure().subplots()).collections


@pytest.mark.parametrize("weight", [torch.zeros(3, 4), torch.full((2, 2), torch.nan)])
def test_a_weight_matrix_is_square_and_finite(weight: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="weight must be a finite square matrix, got"):
        plot_weight_matrix(weight)


def test_errors_are_drawn_from_the_last_dense_epoch_on() -> None:
    runs = {"torus": [(0.0, 9.0), (0.0, 4.0), (0.5, 3.0), (0.9, 5.0)], "none": [(0.2, 6.0), (0.9, 8.0)]}
    ax = plot_error_against_sparsity(runs, floor=1.5, unit="cm", ax=Figure().subplots())
    curve, star, other, _, floor = (np.asarray(line.get_xydata()) for line in ax.lines)
    np.testing.assert_allclose(curve, [[0, 4], [50, 3], [90, 5]])
    np.testing.assert_allclose(star, [[90, 5]])
    np.testing.assert_allclose(other, [[20, 6], [90, 8]])
    np.testing.assert_allclose(floor[:, 1], 1.5)
    assert ax.get_ylabel() == "error, cm"


def test_errors_need_a_pair_each() -> None:
    with pytest.raises(ValueError, match="runs must hold at least one"):
        plot_error_against_sparsity({"torus": np.zeros((0, 2))}, floor=1.0, unit="cm")


def test_a_trajectory_shows_the_true_path_the_decoded_ones_and_the_walls() -> None:
    true = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.2, 0.1]])
    ax = plot_trajectory(true, {"torus": true[1:] + 0.01}, side=2.2, ax=Figure().subplots())
    path, start, decoded = (np.asarray(line.get_xydata()) for line in ax.lines)
    np.testing.assert_allclose(path, true)
    np.testing.assert_allclose(start, [[0, 0]])
    np.testing.assert_allclose(decoded, true[1:] + 0.01, rtol=1e-6)
    (walls,) = ax.patches
    assert isinstance(walls, Rectangle)
    assert (*walls.get_xy(), walls.get_width(), walls.get_height()) == (-1.1, -1.1, 2.2, 2.2)


@pytest.mark.parametrize("true", [torch.zeros(0, 2), torch.full((3, 2), torch.nan)])
def test_a_trajectory_has_finite_positions(true: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="true must hold at least one position"):
        plot_trajectory(true, {}, side=2.2)


def _dot(ax: Axes) -> None:
    ax.plot([0], [0], "o")


def test_panels_are_files_of_their_own_and_one_together(tmp_path: Path) -> None:
    files = save_panels({"a": _dot, "b": _dot, "c": _dot}, tmp_path / "figures", "all")
    assert [file.name for file in files] == ["a.png", "b.png", "c.png", "all.png"]
    single, together = imread(files[0]), imread(files[3])
    assert together.shape[0] > single.shape[0]
    assert together.shape[1] > single.shape[1]


@pytest.mark.parametrize("name", ["a/b", "", "x" * 300])
def test_names_of_panels_are_names_of_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must"):
        save_panels({name: _dot}, tmp_path, "all")
    with pytest.raises(ValueError, match="must"):
        save_panels({"a": _dot}, tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_no_panels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="panels must hold at least one panel, got none"):
        save_panels({}, tmp_path, "all")


def test_weights_by_distance_are_means_over_equally_many_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(13, generator=generator, dtype=torch.float64)
    distances = (places[:, None] - places[None]).abs()
    weight = torch.randn(13, 13, generator=generator).fill_diagonal_(50.0)
    ax = plot_weights_by_distance(weight, distances, bins=6, ax=Figure().subplots())
    x, y = np.asarray(ax.lines[-1].get_xydata()).T
    pairs = sorted((distances[j, k].item(), weight[j, k].item()) for j in range(13) for k in range(13) if j != k)
    bins = np.array(pairs).reshape(6, 26, 2)
    np.testing.assert_allclose(x, bins[..., 0].mean(1))
    np.testing.assert_allclose(y, bins[..., 1].mean(1), rtol=1e-6)


def test_weights_by_distance_say_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"distances must have the weight's shape \(4, 4\), got \(3, 3\)"):
        plot_weights_by_distance(torch.zeros(4, 4), torch.zeros(3, 3))
    with pytest.raises(ValueError, match="bins must be from 1 to the 12 pairs of neurons, got 13"):
        plot_weights_by_distance(torch.zeros(4, 4), torch.zeros(4, 4), bins=13)


def test_paired_times_are_medians_with_a_line_for_each_round() -> None:
    ax = plot_paired_times({"dense": [2e-3, 4e-3, 3e-3], "compressed": [1e-3, 1e-3, 9e-3]}, Figure().subplots())
    assert [bar.get_height() for bar in ax.patches if isinstance(bar, Rectangle)] == pytest.approx([3.0, 1.0])
    rounds = [y for y in (np.asarray(line.get_ydata()) for line in ax.lines) if len(y) == 2]
    np.testing.assert_allclose(rounds, [[2, 1], [4, 1], [3, 9]])


@pytest.mark.parametrize("seconds", [{}, {"dense": []}, {"dense": [1.0], "compressed": [1.0, 2.0]}])
def test_paired_times_need_equally_many_rounds(seconds: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="seconds must have equally many rounds"):
        plot_paired_times(seconds)
