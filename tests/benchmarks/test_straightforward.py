"""The loop that training steps are timed against does the same work: walks, code, penalty, and a step that learns."""

import numpy as np
import pytest
import torch

from benchmarks.speed import training
from benchmarks.speed.harness import Result
from benchmarks.speed.straightforward import NavigationLoop, broadcast_penalty, numpy_walks, place_code
from riemod.manifolds import Torus
from riemod.regularization import moduli_penalty
from riemod.regularization.inhibitors import DifferenceOfGaussians
from riemod.tasks import Navigation, NavigationConfig
from riemod.tasks.navigation.place_cells import PlaceCells
from riemod.tasks.navigation.walks import random_trajectories
from tests.strategies import generator


def test_the_code_and_the_penalty_are_ours():
    cells = PlaceCells(64, width=0.3, generator=generator(0))
    position = 2.2 * (torch.rand(3, 5, 2, generator=generator(1)) - 0.5)
    torch.testing.assert_close(place_code(position, cells.centers, 0.3), cells.code(position), rtol=1e-3, atol=1e-5)
    points = Torus(2).sample(20, generator=generator(2))
    weight = torch.randn(20, 20, generator=generator(3))
    ours = moduli_penalty(weight, points, Torus(2), DifferenceOfGaussians())
    torch.testing.assert_close(broadcast_penalty(weight, points), ours, rtol=1e-3, atol=0)


def test_the_walks_have_our_statistics():
    _, velocity, position = numpy_walks(2000, 20, 2.2, np.random.default_rng(0))
    walks = random_trajectories(2000, 20, generator=generator(0))
    lengths = np.linalg.norm(velocity, axis=-1), walks.velocity.norm(dim=-1).numpy()
    assert lengths[0].mean() == pytest.approx(lengths[1].mean(), rel=0.02)
    assert position.std() == pytest.approx(walks.position.std().item(), rel=0.05)


def test_the_loop_learns():
    smoke = Navigation.presets["smoke"]
    assert isinstance(smoke, NavigationConfig)
    loop = NavigationLoop(smoke.replace(learning_rate=1e-2))
    losses = [loop.step()[0] for _ in range(30)]
    # From the 4.16 nats of all 64 landmarks alike.
    assert sum(losses[-5:]) / 5 < losses[0] - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("row", training.ROWS)
def test_rows_run(row: str):
    result = training.ROWS[row](2)
    assert isinstance(result, Result)
    assert result.spread is not None
    assert result.spread.lower <= result.spread.upper
