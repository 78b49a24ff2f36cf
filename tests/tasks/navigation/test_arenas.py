"""Closed arenas: their sizes, compasses and lattices, and the parallel transport that walks use."""

import math

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from riemod.manifolds import Sphere
from riemod.tasks.navigation.arenas import Arena, ArenaName, arena_by_name
from tests.strategies import dims, generator, seeds

CLOSED: tuple[ArenaName, ...] = ("circle", "torus", "sphere", "klein")


def gram(arena: Arena, points: Tensor, frames: Tensor) -> Tensor:
    """(n, dim, dim) inner products of the vectors of frames (n, dim, k) at points (n, k)."""
    inner = arena.manifold.geometry.inner
    rows = [inner(points.unsqueeze(1), frames, frames[:, axis : axis + 1]) for axis in range(frames.shape[1])]
    return torch.stack(rows, dim=1)


def identities(arena: Arena, count: int) -> Tensor:
    return torch.eye(arena.manifold.dim, dtype=torch.float64).expand(count, -1, -1)


@hypothesis.given(st.sampled_from(CLOSED), st.floats(0.1, 30.0), seeds)
def test_a_compass_is_an_orthonormal_frame_of_tangent_vectors(name: ArenaName, side: float, seed: int):
    arena = arena_by_name(name, side)
    points = arena.manifold.sample(20, generator=generator(seed), dtype=torch.float64)
    frames = arena.compass(points)
    torch.testing.assert_close(gram(arena, points, frames), identities(arena, 20))
    torch.testing.assert_close(arena.manifold.geometry.proju(points.unsqueeze(1), frames), frames)


def test_the_sphere_s_compass_points_east_and_north_at_its_poles_too():
    arena = arena_by_name("sphere", math.sqrt(4 * math.pi))
    poles = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(gram(arena, poles, arena.compass(poles)), identities(arena, 2))
    greenwich = torch.tensor([[1.0, 0.0, 0.0]])
    torch.testing.assert_close(arena.compass(greenwich)[0], torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))


@pytest.mark.parametrize("name", CLOSED)
def test_a_frame_that_is_carried_stays_orthonormal(name: ArenaName):
    arena = arena_by_name(name)
    points = arena.manifold.sample(50, generator=generator(0), dtype=torch.float64)
    frames = arena.compass(points)
    for step in range(200):
        components = 0.3 * torch.randn(50, arena.manifold.dim, generator=generator(step), dtype=torch.float64)
        tangent = torch.einsum("bd,bdk->bk", components, frames).unsqueeze(1)
        there, frames = arena.manifold.geometry.expmap_transp(points.unsqueeze(1), tangent, frames)
        points = there.squeeze(1)
    arena.manifold.check_points(points)
    torch.testing.assert_close(gram(arena, points, frames), identities(arena, 50))
    torch.testing.assert_close(arena.manifold.geometry.proju(points.unsqueeze(1), frames), frames)


@hypothesis.given(dims, seeds, st.floats(0.0, 4.0))
def test_transport_on_a_sphere_is_the_rotation_along_the_geodesic(dim: int, seed: int, angle: float):
    geometry = Sphere(dim, 3.0).geometry
    x, u, v = torch.randn(3, 5, dim + 1, generator=generator(seed), dtype=torch.float64)
    x = geometry.projx(x)
    u, v = geometry.proju(x, u), geometry.proju(x, v)
    u = angle * u / u.norm(dim=1, keepdim=True)
    rotation = torch.matrix_exp(u.unsqueeze(2) * x.unsqueeze(1) - x.unsqueeze(2) * u.unsqueeze(1))
    y, carried = geometry.expmap_transp(x, u, v)
    torch.testing.assert_close(y, (rotation @ x.unsqueeze(2)).squeeze(2))
    torch.testing.assert_close(carried, (rotation @ v.unsqueeze(2)).squeeze(2))


def test_round_an_eighth_of_the_sphere_a_vector_turns_by_a_quarter():
    geometry = Sphere(2).geometry
    corner, vector = torch.eye(3, dtype=torch.float64)[:1], torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    point, carried = corner, vector
    for towards in (1, 2, 0):
        step = math.pi / 2 * torch.eye(3, dtype=torch.float64)[towards : towards + 1]
        point, carried = geometry.expmap_transp(point, step, carried)
    torch.testing.assert_close(point, corner)
    torch.testing.assert_close(carried, torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64))


@pytest.mark.parametrize("name", CLOSED)
def test_a_lattice_leaves_no_hole(name: ArenaName):
    arena = arena_by_name(name)
    points = arena.manifold.sample(3000, generator=generator(1))
    lattice = arena.lattice(0.1)
    arena.manifold.check_points(lattice)
    # Half the diagonal of a square, and a little more among the sphere's points, which stand in no squares.
    assert float(arena.manifold.distance(points, lattice).amin(1).max()) < 0.09
    assert lattice.shape[0] < 1.2 * arena.volume / 0.1**arena.manifold.dim


def test_arenas_have_the_size_of_the_box():
    side = 3.0
    assert arena_by_name("circle", side).manifold.diameter == pytest.approx(side / 2)
    for name in ("torus", "klein"):
        assert arena_by_name(name, side).manifold.diameter == pytest.approx(side / math.sqrt(2))
    sphere = arena_by_name("sphere", side)
    assert 4 * math.pi * (sphere.manifold.diameter / math.pi) ** 2 == pytest.approx(side**2)
    assert sphere.volume == pytest.approx(side**2)
    assert arena_by_name("circle", side).spacing(10) == pytest.approx(0.3)
    assert sphere.spacing(100) == pytest.approx(0.3)


def test_bad_arenas_are_named():
    with pytest.raises(ValueError, match="name must be one of circle, torus, sphere, klein, got 'box'"):
        arena_by_name("box")
    for side in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="side must be positive and finite"):
            arena_by_name("torus", side)
