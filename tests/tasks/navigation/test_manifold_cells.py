"""Place-cell codes on closed arenas against their formula, and the decoders against brute force."""

import itertools
import math
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from riemod.tasks.navigation.arenas import ArenaName, arena_by_name
from riemod.tasks.navigation.manifold_cells import ManifoldPlaceCells
from tests.strategies import generator, seeds

CLOSED: tuple[ArenaName, ...] = ("circle", "torus", "sphere", "klein")


def cells_on(name: ArenaName, landmarks: int = 256, width: float = 0.17, seed: int = 0) -> ManifoldPlaceCells:
    return ManifoldPlaceCells(arena_by_name(name), landmarks, width=width, generator=generator(seed))


def naive_code(cells: ManifoldPlaceCells, position: Tensor) -> Tensor:
    """softmax(-d^2 / 2 w^2) - softmax(-d^2 / 4 w^2), plus the |minimum|, over its sum, in float64."""
    squared = cells.arena.manifold.distance(position.double(), cells.centers.double()).square()
    code = torch.softmax(-squared / (2 * cells.width**2), -1) - torch.softmax(-squared / (4 * cells.width**2), -1)
    code = code + code.amin(-1, keepdim=True).abs()
    return code / code.sum(-1, keepdim=True)


def scores_of(code: Tensor) -> Tensor:
    """The scores of a net that knows the code: its logarithm, finite where the code is zero."""
    return (code + 1e-6).log()


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize(("landmarks", "width"), [(256, 0.17), (64, 0.34), (16, 0.5)])
def test_the_code_is_the_formula(name: ArenaName, landmarks: int, width: float):
    cells = cells_on(name, landmarks, width)
    position = cells.arena.manifold.sample(2000, generator=generator(1))
    code = cells.code(position)
    torch.testing.assert_close(code.double(), naive_code(cells, position), atol=1e-5, rtol=0)
    assert float(code.min()) >= 0
    torch.testing.assert_close(code.sum(-1), torch.ones(2000), atol=1e-5, rtol=0)
    torch.testing.assert_close(cells.code(position.reshape(4, 500, -1)), code.reshape(4, 500, -1))


@hypothesis.given(st.sampled_from(CLOSED), st.integers(4, 60), st.floats(0.0, 1.0), seeds)
def test_any_code_is_a_distribution(name: ArenaName, landmarks: int, share: float, seed: int):
    arena = arena_by_name(name)
    least, most = arena.spacing(landmarks) / 2, arena.manifold.diameter
    cells = cells_on(name, landmarks, min(most, least * (most / least) ** share), seed)
    code = cells.code(arena.manifold.sample(20, generator=generator(seed + 1)))
    assert float(code.min()) >= 0
    # At the ends of what is allowed, rounding shows in the fourth digit.
    torch.testing.assert_close(code.sum(-1), torch.ones(20), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", CLOSED)
def test_the_top_decoder_is_the_frechet_mean_of_the_most_active_landmarks(name: ArenaName):
    cells = cells_on(name)
    geometry, position = cells.arena.manifold.geometry, cells.arena.manifold.sample(200, generator=generator(2))
    scores = scores_of(cells.code(position))
    decoded = cells.decode_top(scores)
    cells.arena.manifold.check_points(decoded)
    chosen = cells.centers[scores.topk(3, dim=-1).indices]

    def spread(points: Tensor) -> Tensor:
        return geometry.dist(points.unsqueeze(1), chosen).square().sum(1)

    moves = torch.randn(200, 300, cells.arena.manifold.dim, generator=generator(3)) * 0.03
    others = geometry.expmap(
        decoded.unsqueeze(1), torch.einsum("bsd,bdk->bsk", moves, cells.arena.compass(decoded))
    ).unbind(1)
    # One step towards the mean falls short of it by a hair on the sphere.
    best = torch.stack([spread(other) for other in others]).amin(0)
    assert bool((spread(decoded) <= best + 1e-5).all())
    torch.testing.assert_close(cells.decode_top(scores, 1), chosen[:, 0])
    torch.testing.assert_close(cells.decode_top(scores.reshape(2, 100, -1)).flatten(0, 1), decoded)


def test_the_top_decoder_averages_across_seams():
    cells = cells_on("torus", 4, 0.6)
    cells.centers = torch.tensor([[0.1, 2.1], [2.1, 2.1], [2.1, 0.1], [1.0, 1.0]])
    scores = torch.tensor([3.0, 2.0, 1.0, 0.0])
    torch.testing.assert_close(cells.decode_top(scores), torch.tensor([2.2 - 0.1 / 3, 2.2 - 0.1 / 3]))
    bottle = cells_on("klein", 4, 0.6)
    bottle.centers = torch.tensor([[0.1, 0.3], [2.1, 1.9], [2.1, 1.6], [1.0, 1.0]])
    torch.testing.assert_close(bottle.decode_top(scores, 2), torch.tensor([0.0, 0.3]))
    torch.testing.assert_close(bottle.decode_top(scores), torch.tensor([2.2 - 0.1 / 3, 1.8]))


@pytest.mark.parametrize("name", CLOSED)
def test_the_likelihood_decoder_recovers_places_to_a_centimeter(name: ArenaName):
    cells = cells_on(name)
    position = cells.arena.manifold.sample(2000, generator=generator(4))
    decoded = cells.decode_maximum_likelihood(scores_of(cells.code(position)))
    cells.arena.manifold.check_points(decoded)
    error = cells.distance(decoded, position)
    # Measured: mean 0.08 cm on the circle, 0.34 cm on the others.
    assert float(error.mean()) < 0.005
    assert float(error.max()) < 0.03


@pytest.mark.parametrize("name", CLOSED)
def test_the_likelihood_decoder_finds_what_a_fine_grid_finds(name: ArenaName):
    cells = cells_on(name, 64, 0.34)
    manifold = cells.arena.manifold
    position = manifold.sample(100, generator=generator(5))
    scores = scores_of(0.8 * cells.code(position) + 0.2 / 64) + 0.2 * torch.randn(100, 64, generator=generator(6))
    decoded = cells.decode_maximum_likelihood(scores)

    def excess(codes: Tensor) -> Tensor:
        """(100, g) by how much the loss exceeds its least value, for each of g codes."""
        log_probabilities = torch.log_softmax(scores.double(), -1)
        return torch.special.xlogy(codes, codes).sum(-1) - log_probabilities @ codes.T

    fine = cells.arena.lattice(0.02)
    least, index = excess(naive_code(cells, fine)).min(1)
    assert float((excess(naive_code(cells, decoded)).diagonal() - least).max()) < 0.01
    # Two summits can be as high as one another: a place that is likelier still is no error.
    far = cells.distance(decoded, fine[index]) > 0.05
    assert int(far.sum()) <= 2


@pytest.mark.parametrize("name", CLOSED)
def test_decoders_answer_with_places_whatever_the_scores(name: ArenaName):
    cells = cells_on(name)
    for scores in (5 * torch.randn(300, 256, generator=generator(7)), torch.zeros(3, 256)):
        for decoded in (cells.decode_top(scores), cells.decode_maximum_likelihood(scores)):
            cells.arena.manifold.check_points(decoded)


@pytest.mark.parametrize("name", CLOSED)
def test_distances_are_the_manifold_s(name: ArenaName):
    cells = cells_on(name)
    x, y = (cells.arena.manifold.sample(40, generator=generator(seed)) for seed in (0, 1))
    expected = torch.from_numpy(cells.arena.manifold.reference_distance(x, y)).float()
    torch.testing.assert_close(cells.distance(x, y), expected, atol=1e-5, rtol=0)


def test_the_seed_decides_the_landmarks():
    for name in CLOSED:
        first, second, other = (cells_on(name, seed=seed).centers for seed in (0, 0, 1))
        assert torch.equal(first, second)
        assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        *itertools.product(CLOSED, ["landmarks"], [3]),
        *itertools.product(CLOSED, ["width"], [0.0, -0.1, 0.004, 3.0, math.nan, math.inf]),
    ],
)
def test_bad_numbers_are_named(name: ArenaName, argument: str, value: Any):
    arguments: dict[str, Any] = {"landmarks": 256, "width": 0.17} | {argument: value}
    with pytest.raises(ValueError, match=f"{argument} must be .* got {value}"):
        ManifoldPlaceCells(arena_by_name(name), **arguments)
