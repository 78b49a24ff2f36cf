"""The place-cell code against its formula, and the decoders against brute force."""

import math
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from riemod.tasks.navigation.place_cells import PlaceCells
from riemod.tasks.navigation.walks import random_trajectories

SIDE = 2.2


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def places(count: int, seed: int) -> torch.Tensor:
    return (torch.rand(count, 2, generator=generator(seed)) - 0.5) * SIDE


def naive_code(cells: PlaceCells, position: torch.Tensor) -> torch.Tensor:
    """softmax(-d^2 / 2 w^2) - softmax(-d^2 / 4 w^2), plus the |minimum|, over its sum, in float64."""
    squared = (position.double().unsqueeze(-2) - cells.centers.double()).square().sum(-1)
    code = torch.softmax(-squared / (2 * cells.width**2), -1) - torch.softmax(-squared / (4 * cells.width**2), -1)
    code = code + code.amin(-1, keepdim=True).abs()
    return code / code.sum(-1, keepdim=True)


def scores_of(code: torch.Tensor) -> torch.Tensor:
    """The scores of a net that knows the code: its logarithm, finite where the code is zero."""
    return (code + 1e-6).log()


@pytest.fixture(scope="module")
def cells() -> PlaceCells:
    """The paper's: 512 landmarks of width 0.12 m in a box of 2.2 m."""
    return PlaceCells(512, generator=generator(0))


@pytest.mark.parametrize(
    ("landmarks", "width"), [(512, 0.12), (256, 0.17), (64, 0.34), (64, 0.19), (512, 1.0), (16, 0.55)]
)
def test_the_code_is_the_formula(landmarks: int, width: float):
    cells = PlaceCells(landmarks, width=width, generator=generator(1))
    # Walks leave the box by a few centimeters.
    position = places(3000, 2) * 1.06
    code = cells.code(position)
    torch.testing.assert_close(code.double(), naive_code(cells, position), atol=1e-5, rtol=0)
    assert float(code.min()) >= 0
    torch.testing.assert_close(code.sum(-1), torch.ones(3000), atol=1e-5, rtol=0)


@hypothesis.given(st.integers(4, 60), st.floats(0.5, 3.0), st.integers(0, 2**31))
def test_any_code_is_a_distribution(landmarks: int, widths: float, seed: int):
    cells = PlaceCells(landmarks, width=widths * SIDE / math.sqrt(landmarks), generator=generator(seed))
    code = cells.code(places(20, seed + 1))
    assert float(code.min()) >= 0
    # At half the spacing, the least that is allowed, rounding shows in the fourth digit.
    torch.testing.assert_close(code.sum(-1), torch.ones(20), atol=1e-5 if widths > 0.7 else 1e-3, rtol=0)


def test_the_code_takes_any_leading_shape(cells: PlaceCells):
    position = places(24, 3)
    code = cells.code(position.reshape(2, 3, 4, 2))
    assert code.shape == (2, 3, 4, 512)
    torch.testing.assert_close(code.reshape(24, 512), cells.code(position))


def test_the_top_decoder_is_the_mean_of_the_most_active_landmarks(cells: PlaceCells):
    scores = torch.randn(50, 4, 512, generator=generator(4))
    for count in (1, 3, 5):
        decoded = cells.decode_top(scores, count)
        for row, place in zip(scores.reshape(-1, 512).tolist(), decoded.reshape(-1, 2), strict=True):
            chosen = sorted(range(512), key=row.__getitem__)[-count:]
            torch.testing.assert_close(cells.centers[chosen].mean(0), place)


def test_the_likelihood_decoder_recovers_places_to_a_centimeter(cells: PlaceCells):
    position = places(4000, 5)
    error = (cells.decode_maximum_likelihood(scores_of(cells.code(position))) - position).norm(dim=-1)
    # Measured: mean 0.27 cm, largest 1.3 cm.
    assert float(error.mean()) < 0.004
    assert float(error.quantile(0.95)) < 0.01
    assert float(error.max()) < 0.02


def test_the_likelihood_decoder_finds_what_a_fine_grid_finds(cells: PlaceCells):
    position = places(300, 6)
    # A net's output is not the code of any place: blur it, and disturb it.
    code = 0.8 * cells.code(position) + 0.2 * cells.code(position + 0.03)
    scores = scores_of(code) + 0.2 * torch.randn(300, 512, generator=generator(7))
    decoded = cells.decode_maximum_likelihood(scores)
    axis = torch.linspace(-SIDE / 2, SIDE / 2, 221)
    grid = torch.cartesian_prod(axis, axis)
    codes = naive_code(cells, grid)
    entropy = -torch.special.xlogy(codes, codes).sum(-1)
    likelihood = torch.log_softmax(scores.double(), -1) @ codes.T + entropy
    best = grid[likelihood.argmax(1)]
    # The grid's own rounding is up to 0.7 cm.
    assert float((decoded - best).norm(dim=-1).max()) < 0.015
    own = naive_code(cells, decoded)
    reached = (torch.log_softmax(scores.double(), -1) * own - torch.special.xlogy(own, own)).sum(-1)
    # In the likelihood itself the refinement is as good as the fine grid.
    assert float((likelihood.amax(1) - reached).max()) < 0.01


def test_the_likelihood_decoder_is_indifferent_to_a_constant_and_to_the_leading_shape(cells: PlaceCells):
    scores = scores_of(cells.code(places(12, 8)))
    decoded = cells.decode_maximum_likelihood(scores)
    torch.testing.assert_close(cells.decode_maximum_likelihood(scores + 7.0), decoded, atol=1e-4, rtol=0)
    torch.testing.assert_close(cells.decode_maximum_likelihood(scores.reshape(3, 4, 512)).reshape(12, 2), decoded)


def test_the_likelihood_decoder_stays_near_the_arena(cells: PlaceCells):
    decoded = cells.decode_maximum_likelihood(5 * torch.randn(2000, 512, generator=generator(9)))
    assert bool(torch.isfinite(decoded).all())
    # Half a grid cell outside, at most.
    assert float(decoded.abs().max()) <= SIDE / 2 + 0.5 * 0.04 + 1e-6


def test_trivial_and_perfect_answers_score_what_the_reference_measured(cells: PlaceCells):
    """Top-3 of a perfect net about 4.4 cm, holding the start 41 cm, the center 88 cm (means over landmark sets)."""
    walks = random_trajectories(600, 50, generator=generator(10))
    floors, held = [], []
    for seed in range(5):
        drawn = PlaceCells(512, generator=generator(seed))
        floors.append((drawn.decode_top(drawn.code(walks.position)) - walks.position).norm(dim=-1).mean().item())
        still = drawn.decode_top(drawn.code(walks.start)).expand_as(walks.position)
        held.append((still - walks.position).norm(dim=-1).mean().item())
    center = walks.position.norm(dim=-1).mean().item()
    assert sum(floors) / 5 == pytest.approx(0.044, abs=0.003)
    assert sum(held) / 5 == pytest.approx(0.41, abs=0.015)
    assert center == pytest.approx(0.87, abs=0.03)


@hypothesis.given(st.integers(0, 2**31), st.floats(0.01, 10.0))
def test_no_scores_beat_the_code_s_own_logarithm(seed: int, size: float):
    cells = PlaceCells(64, width=0.3, generator=generator(0))
    code = cells.code(places(8, seed))
    perfect = -torch.special.xlogy(code, code).sum(-1)
    other = scores_of(code) + size * torch.randn(8, 64, generator=generator(seed))
    loss = torch.nn.functional.cross_entropy(other, code, reduction="none")
    assert bool((loss >= perfect - 1e-5).all())


def test_the_seed_decides_the_landmarks():
    first, second, other = (PlaceCells(9, width=0.5, generator=generator(seed)).centers for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert float(first.abs().max()) <= SIDE / 2


@pytest.mark.parametrize(
    ("argument", "value"),
    [("landmarks", 3), ("side", 0.0), ("side", math.inf), ("width", -0.1), ("width", math.nan), ("width", 0.048)],
)
def test_bad_numbers_are_named(argument: str, value: Any):
    with pytest.raises(ValueError, match=argument):
        PlaceCells(**{argument: value})
