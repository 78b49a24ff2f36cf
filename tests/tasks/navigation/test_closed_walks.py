"""Walks on closed arenas: the exponential map's laws, geodesics, and the statistics of the walks in the box."""

import math
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from riemod.tasks.navigation.arenas import ArenaName, arena_by_name
from riemod.tasks.navigation.walks import Trajectories, closed_trajectories
from tests.strategies import generator, seeds

CLOSED: tuple[ArenaName, ...] = ("circle", "torus", "sphere", "klein")
TURN_STD = 11.52
STEP_SECONDS = 0.02
SPEED_SCALE = 0.817


def walk(name: ArenaName, batch: int, steps: int, seed: int = 0, **changes: Any) -> Trajectories:
    return closed_trajectories(arena_by_name(name), batch, steps, generator=generator(seed), **changes)


def places(walks: Trajectories) -> Tensor:
    """(T + 1, batch, k) the start and all positions, in float64."""
    return torch.cat((walks.start.unsqueeze(0), walks.position)).double()


@hypothesis.given(st.sampled_from(CLOSED), seeds, st.floats(0.01, 5.0))
def test_every_step_is_the_exponential_map_of_its_velocity(name: ArenaName, seed: int, speed: float):
    arena = arena_by_name(name)
    manifold, geometry = arena.manifold, arena.manifold.geometry
    walks = walk(name, 6, 8, seed, speed_scale=speed)
    assert walks.velocity.shape == (8, 6, manifold.dim)
    before, after = places(walks)[:-1].flatten(0, 1), places(walks)[1:].flatten(0, 1)
    manifold.check_points(after.float())
    velocity = walks.velocity.double().flatten(0, 1)
    reached = geometry.expmap(before, torch.einsum("bd,bdk->bk", velocity, arena.compass(before)))
    # In float32, whose rounding turns the compass near a pole.
    assert float(geometry.dist(reached, after).max()) < 1e-5
    short = velocity.norm(dim=-1) < 0.5
    moved = geometry.dist(before, after)[short]
    torch.testing.assert_close(moved, velocity.norm(dim=-1)[short], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", CLOSED)
def test_speeds_and_turns_are_those_of_the_box(name: ArenaName):
    walks = walk(name, 500, 30)
    speed = walks.velocity.double().norm(dim=-1).flatten() / STEP_SECONDS
    if name == "circle":
        # One component of a Rayleigh length in a uniform direction is Gaussian.
        assert stats.kstest(speed, stats.halfnorm(scale=SPEED_SCALE).cdf).pvalue > 1e-3
        return
    assert stats.kstest(speed, stats.rayleigh(scale=SPEED_SCALE).cdf).pvalue > 1e-3
    if name == "torus":
        heading = torch.atan2(walks.velocity[..., 1], walks.velocity[..., 0]).double()
        turn = torch.remainder(heading.diff(dim=0) + math.pi, 2 * math.pi) - math.pi
        assert stats.kstest(turn.flatten(), stats.norm(scale=TURN_STD * STEP_SECONDS).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", CLOSED)
def test_walks_stay_spread_evenly_over_the_arena(name: ArenaName):
    manifold = arena_by_name(name).manifold
    last = walk(name, 4000, 30).position[-1]
    uniform = manifold.sample(4000, generator=generator(9))
    for k in range(manifold.coordinate_dim):
        assert stats.kstest(last[:, k].numpy(), uniform[:, k].numpy()).pvalue > 1e-3


@pytest.mark.parametrize("name", CLOSED)
def test_without_turns_a_walk_is_a_geodesic(name: ArenaName):
    manifold = arena_by_name(name).manifold
    walks = walk(name, 300, 20, turn_std=0.0)
    track = places(walks)
    length = walks.velocity.double().norm(dim=-1).sum(0)
    # Up to the injectivity radius a geodesic is a shortest path.
    limit = manifold.diameter if manifold.coordinate_dim > manifold.dim else 1.1
    short = length < limit
    assert int(short.sum()) > 250
    torch.testing.assert_close(manifold.geometry.dist(track[0], track[-1])[short], length[short], atol=1e-5, rtol=0)
    if name == "sphere":
        normal = torch.linalg.cross(track[0], track[1])
        torch.testing.assert_close(
            (track * normal).sum(-1), torch.zeros(21, 300, dtype=torch.float64), atol=1e-6, rtol=0
        )


def test_across_the_klein_bottle_s_seam_the_second_axis_is_reversed():
    walks = walk("klein", 2000, 20, turn_std=0.0)
    track = places(walks)
    crossed = (track[1:, :, 0] - track[:-1, :, 0]).abs() > 1.1
    assert int(crossed.sum()) > 100
    # A step tells the axes where it begins: the reversal shows in the step after the crossing.
    direction = walks.velocity / walks.velocity.norm(dim=-1, keepdim=True)
    sign = torch.where(crossed[:-1], -1.0, 1.0)
    torch.testing.assert_close(direction[1:, :, 0], direction[:-1, :, 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(direction[1:, :, 1], sign * direction[:-1, :, 1], atol=1e-4, rtol=0)
    x, y = track[1:][crossed].T
    unwrapped = (track[:-1] + walks.velocity)[crossed]
    torch.testing.assert_close(torch.remainder(unwrapped[:, 0], 2.2), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.remainder(-unwrapped[:, 1], 2.2), y, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CLOSED)
def test_the_seed_decides_the_walks_and_the_global_generator_is_left_alone(name: ArenaName):
    before = torch.get_rng_state()
    first, second, other = (walk(name, 5, 7, seed) for seed in (4, 4, 5))
    assert all(torch.equal(one, same) for one, same in zip(first, second, strict=True))
    assert not torch.equal(first.velocity, other.velocity)
    assert all(value.dtype == torch.float32 for value in first)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("batch", 0),
        ("steps", 0),
        ("step_seconds", 0.0),
        ("speed_scale", math.inf),
        ("turn_std", -1.0),
        ("turn_std", math.nan),
    ],
)
def test_bad_numbers_are_named(argument: str, value: Any):
    arguments: dict[str, Any] = {"batch": 2, "steps": 3} | {argument: value}
    with pytest.raises(ValueError, match=argument):
        closed_trajectories(arena_by_name("torus"), **arguments)
