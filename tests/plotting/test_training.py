"""Figures of nets in training: weights by distance, and times measured in turn."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from riemod.plotting import plot_paired_times, plot_weights_by_distance


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
