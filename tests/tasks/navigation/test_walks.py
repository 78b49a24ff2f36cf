"""Random walks against the reference's statistics, and against its wall rule written out for one animal."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from riemod.tasks.navigation.walks import Trajectories, _wall, random_trajectories

STEP_SECONDS = 0.02
TURN_STD = 11.52
SPEED_SCALE = 0.817
BORDER = 0.03
SLOWDOWN = 0.25


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def headings(velocity: torch.Tensor) -> np.ndarray:
    return torch.atan2(velocity[..., 1], velocity[..., 0]).double().numpy()


def wrapped(angle: np.ndarray) -> np.ndarray:
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi


def wall_rule(x: float, y: float, heading: float, side: float) -> tuple[bool, float]:
    """Whether one animal slows down, and its turn; REFERENCE: walls to the right, above, to the left, below."""
    gaps = [side / 2 - x, side / 2 - y, side / 2 + x, side / 2 + y]
    nearest = gaps.index(min(gaps))
    angle = heading - nearest * math.pi / 2
    while angle >= math.pi:
        angle -= 2 * math.pi
    while angle < -math.pi:
        angle += 2 * math.pi
    if gaps[nearest] >= BORDER or abs(angle) >= math.pi / 2:
        return False, 0.0
    turn = math.pi / 2 - abs(angle)
    return True, turn if angle > 0 else -turn if angle < 0 else 0.0


@pytest.fixture(scope="module")
def open_field() -> Trajectories:
    """Walks so far from any wall that none is met."""
    return random_trajectories(2000, 40, side=1000.0, generator=generator(1))


@pytest.fixture(scope="module")
def arena() -> Trajectories:
    """Walks in the reference's arena, all numbers at their defaults."""
    return random_trajectories(4000, 50, generator=generator(2))


def test_speeds_follow_the_rayleigh_distribution(open_field: Trajectories):
    speeds = open_field.velocity.norm(dim=-1).double().flatten().numpy() / STEP_SECONDS
    mean, std = SPEED_SCALE * math.sqrt(math.pi / 2), SPEED_SCALE * math.sqrt(2 - math.pi / 2)
    # The reference gives 0.817 to three digits: half a unit of the last one, and four standard errors.
    assert abs(speeds.mean() - mean) < 0.0005 * math.sqrt(math.pi / 2) + 4 * std / math.sqrt(speeds.size)
    assert stats.kstest(speeds, stats.rayleigh(scale=0.26 * math.pi).cdf).pvalue > 1e-3


def test_turns_are_gaussian_with_the_reference_s_spread(open_field: Trajectories):
    turns = wrapped(np.diff(headings(open_field.velocity), axis=0)).ravel()
    expected = TURN_STD * STEP_SECONDS
    assert abs(turns.std() - expected) < 4 * expected / math.sqrt(2 * turns.size)
    assert abs(turns.mean()) < 4 * expected / math.sqrt(turns.size)
    assert stats.kstest(turns, stats.norm(scale=expected).cdf).pvalue > 1e-3


def test_turns_and_speeds_are_independent_from_step_to_step(open_field: Trajectories):
    turns = wrapped(np.diff(headings(open_field.velocity), axis=0))
    speeds = open_field.velocity.norm(dim=-1).double().numpy()
    for first, second in ((turns[:-1], turns[1:]), (speeds[:-1], speeds[1:]), (turns, speeds[1:])):
        correlation = np.corrcoef(first.ravel(), second.ravel())[0, 1]
        assert abs(correlation) < 4 / math.sqrt(first.size)


def test_walks_start_anywhere_and_head_anywhere(open_field: Trajectories):
    first = headings(open_field.velocity[0])
    assert stats.kstest(first, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
    for coordinate in open_field.start.double().numpy().T:
        assert stats.kstest(coordinate, stats.uniform(-500, 1000).cdf).pvalue > 1e-3


def test_velocities_are_the_steps_between_positions(arena: Trajectories):
    before = torch.cat((arena.start.unsqueeze(0), arena.position[:-1]))
    torch.testing.assert_close(arena.position - before, arena.velocity, atol=1e-6, rtol=0)
    torch.testing.assert_close(arena.start + arena.velocity.sum(0), arena.position[-1], atol=1e-5, rtol=0)


def test_walks_leave_the_arena_seldom_and_by_less_than_two_steps(arena: Trajectories):
    outside = arena.position.abs().amax(-1) - 2.2 / 2
    # One step from the middle takes an animal out; along a wall and outside it, into a corner, one more.
    assert float(outside.max()) < 2 * float(arena.velocity.norm(dim=-1).max())
    assert float((outside > 0).float().mean()) < 0.01
    assert float(outside.quantile(0.999)) < 0.03
    # They do come to the walls: the rule is at work.
    assert (arena.position.abs().amax(-1) > 2.2 / 2 - BORDER).any(0).float().mean() > 0.2


@pytest.mark.parametrize("side", [0.3, 2.2])
def test_every_step_follows_the_wall_rule(side: float):
    """The next velocity of an animal is decided by its position, its heading, and the same random numbers."""
    batch, steps = 60, 120
    walks = random_trajectories(batch, steps, side=side, generator=generator(3))
    again = generator(3)
    uniform = torch.rand(3 + steps + 1, batch, generator=again).double().numpy()
    normal = torch.randn(steps + 1, batch, generator=again).double().numpy()
    lengths = np.sqrt(-2 * np.log1p(-uniform[3:])) * 0.26 * math.pi * STEP_SECONDS
    turns = normal * TURN_STD * STEP_SECONDS
    heading, positions = (
        headings(walks.velocity),
        torch.cat((walks.start.unsqueeze(0), walks.position)).double().numpy(),
    )
    length = walks.velocity.norm(dim=-1).double().numpy()
    compared = met = doubtful = 0
    for walk in range(batch):
        for step in range(steps):
            x, y = positions[step, walk]
            slows, turn = wall_rule(x, y, heading[step, walk], side)
            gaps = np.sort([side / 2 - x, side / 2 - y, side / 2 + x, side / 2 + y])
            # In float32 an animal on the edge of the zone, or equally far from two walls, may fall either way.
            if abs(gaps[0] - BORDER) < 1e-5 or (gaps[1] - gaps[0] < 1e-5 and gaps[0] < BORDER):
                doubtful += 1
                continue
            compared, met = compared + 1, met + slows
            expected = lengths[step + 1, walk] * (SLOWDOWN if slows else 1.0)
            assert length[step, walk] == pytest.approx(expected, rel=1e-3, abs=1e-6)
            if step + 1 < steps and length[step : step + 2, walk].min() > 1e-4:
                change = wrapped(heading[step + 1, walk] - heading[step, walk])
                assert abs(wrapped(change - turn - turns[step + 1, walk])) < 5e-3
    assert doubtful < 0.01 * compared
    assert met > (1500 if side < 1 else 100)


def test_the_wall_rule_of_all_headings_at_all_walls():
    random = np.random.default_rng(0)
    corners = random.uniform(-1.15, 1.15, (4000, 2))
    walls = np.where(random.random((4000, 2)) < 0.5, 1, -1) * (1.1 - random.uniform(-0.05, 0.06, (4000, 2)))
    position = np.where(random.random((4000, 1)) < 0.3, corners, np.where(np.arange(2) == 0, walls, corners))
    heading = random.uniform(-20, 20, 4000)
    towards, turn = _wall(torch.from_numpy(position), torch.from_numpy(heading), 2.2, BORDER)
    expected = [wall_rule(x, y, angle, 2.2) for (x, y), angle in zip(position, heading, strict=True)]
    assert towards.tolist() == [slows for slows, _ in expected]
    np.testing.assert_allclose(turn.numpy(), [angle for _, angle in expected], atol=1e-6)
    assert 0.1 < towards.double().mean() < 0.9


@pytest.mark.parametrize(("wall", "place"), list(enumerate([(1.09, 0.0), (0.0, 1.09), (-1.09, 0.0), (0.0, -1.09)])))
def test_an_animal_that_heads_into_a_wall_turns_along_it(wall: int, place: tuple[float, float]):
    into = wall * math.pi / 2
    for offset, turned in ((0.3, math.pi / 2), (-0.3, -math.pi / 2), (0.0, 0.0)):
        towards, turn = _wall(torch.tensor([place]), torch.tensor([into + offset]), 2.2, BORDER)
        assert bool(towards)
        assert offset + turn.item() == pytest.approx(turned, abs=1e-6)
    away, none = _wall(torch.tensor([place]), torch.tensor([into + 2.0]), 2.2, BORDER)
    assert not bool(away)
    assert none.item() == 0.0


def test_the_seed_decides_the_walks():
    first, second = (random_trajectories(5, 7, generator=generator(4)) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    other = random_trajectories(5, 7, generator=generator(5))
    assert not torch.equal(first.velocity, other.velocity)
    assert [tuple(value.shape) for value in first] == [(5, 2), (7, 5, 2), (7, 5, 2)]


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    random_trajectories(3, 4, generator=generator(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("batch", 0),
        ("steps", 0),
        ("side", 0.0),
        ("side", math.inf),
        ("step_seconds", -0.02),
        ("turn_std", -1.0),
        ("turn_std", math.nan),
        ("speed_scale", 0.0),
        ("border", -0.01),
        ("border_slowdown", math.nan),
    ],
)
def test_bad_numbers_are_named(argument: str, value: Any):
    arguments: dict[str, Any] = {"batch": 2, "steps": 3} | {argument: value}
    with pytest.raises(ValueError, match=argument):
        random_trajectories(**arguments)
