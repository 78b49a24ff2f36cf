"""Orders along a space-filling curve: permutations that keep neighbors near, and the Hilbert curve's own laws."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod.manifolds import Euclidean, KleinBottle, PoincareBall, Product, Sphere, Torus, curve_order
from riemod.manifolds.base import Manifold
from riemod.manifolds.curves import hilbert_order
from tests.strategies import MANIFOLDS, dtypes, generator, manifolds, scattered_points, seeds

NAMES = sorted(MANIFOLDS)


def mean_step(manifold: Manifold, points: torch.Tensor) -> float:
    return manifold.distance(points, points).diagonal(1).mean().item()


@given(manifolds(), st.integers(0, 40), dtypes, seeds)
def test_it_is_a_permutation(manifold, n, dtype, seed):
    points = manifold.sample(n, generator=generator(seed), dtype=dtype)
    order = curve_order(points, manifold)
    assert order.dtype == torch.int64
    assert order.sort().values.tolist() == list(range(n))
    lengths, side = manifold.chart(points.double())
    assert side > 0
    assert bool(((lengths > -1e-6 * side) & (lengths < side * (1 + 1e-6))).all())


@given(manifolds(), seeds, st.integers(0, 2**32 - 1))
def test_the_points_decide_and_not_their_numbers(manifold, seed, shuffle):
    points = manifold.sample(30, generator=generator(seed), dtype=torch.float64)
    mixed = torch.randperm(30, generator=generator(shuffle))
    assert torch.equal(mixed[curve_order(points[mixed], manifold)], curve_order(points, manifold))


@pytest.mark.parametrize("name", NAMES)
def test_equal_points_keep_their_order_and_stand_together(name):
    points = MANIFOLDS[name].sample(20, generator=generator(0), dtype=torch.float64)
    order = curve_order(torch.cat((points, points)), MANIFOLDS[name])
    assert torch.equal(order[1::2], order[::2] + 20)


@pytest.mark.parametrize("name", NAMES)
def test_hard_points_are_ordered(name):
    for dtype in (torch.float32, torch.float64):
        points = scattered_points(MANIFOLDS[name], 3, dtype)
        assert curve_order(points, MANIFOLDS[name]).unique().numel() == len(points)
    same = points[:1].expand(4, -1)
    assert curve_order(same, MANIFOLDS[name]).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("dim", "bits"), [(1, 1), (1, 7), (2, 1), (2, 5), (3, 3), (4, 2), (5, 2)])
def test_the_curve_visits_every_cell_once_and_steps_to_a_neighbor(dim, bits):
    size = 2**bits
    cells = torch.cartesian_prod(*[torch.arange(size)] * dim).reshape(-1, dim)
    shuffled = cells[torch.randperm(len(cells), generator=generator(0))]
    path = shuffled[hilbert_order(shuffled, bits)]
    assert path.unique(dim=0).shape == cells.shape
    assert path[0].tolist() == [0] * dim
    assert bool(((path[1:] - path[:-1]).abs().sum(1) == 1).all())


def test_keys_of_several_words_agree_with_keys_of_one():
    # Multiples of 2^12 on a grid of 2^16 are the cells of one of 2^4, where 5 axes fit one word.
    cells = torch.randint(16, (200, 5), generator=generator(0))
    fine = hilbert_order(cells << 12, 16)
    assert bool((cells[fine] == cells[hilbert_order(cells, 4)]).all())


@pytest.mark.parametrize(
    ("manifold", "share"),
    [
        (Euclidean(1), 0.01),
        (Euclidean(2), 0.12),
        (Euclidean(3), 0.25),
        (Sphere(1), 0.01),
        (Sphere(2), 0.12),
        (Sphere(3), 0.3),
        (Torus(2), 0.12),
        (Torus(3), 0.3),
        (KleinBottle(), 0.12),
        (PoincareBall(2), 0.2),
        (PoincareBall(2, sample_radius=2.0, curvature=-0.25), 0.12),
        (Product([Torus(1), Sphere(1)]), 0.12),
        (Product([Torus(1, period=30.0), Sphere(2), PoincareBall(1)]), 0.5),
    ],
    ids=repr,
)
def test_successive_points_are_far_nearer_than_at_random(manifold, share):
    points = manifold.sample(600, generator=generator(1), dtype=torch.float64)
    ordered = points[curve_order(points, manifold)]
    assert mean_step(manifold, ordered) < share * mean_step(manifold, points)


def test_the_circle_is_ordered_by_angle_and_a_line_by_place():
    angles = torch.rand(50, generator=generator(0), dtype=torch.float64) * 2 * math.pi
    points = torch.stack((angles.cos(), angles.sin()), dim=1)
    assert torch.equal(curve_order(points, Sphere(1, radius=0.1)), angles.argsort())
    assert torch.equal(curve_order(1e8 * angles[:, None] - 3e8, Euclidean(1)), angles.argsort())


@pytest.mark.parametrize("n", [4, 6, 16])
def test_the_sphere_s_square_has_equal_areas(n):
    points = Sphere(2).sample(40_000, generator=generator(2), dtype=torch.float64)
    lengths, side = Sphere(2).chart(points)
    assert side**2 == pytest.approx(4 * math.pi * 25)
    cells = (lengths * (n / side)).long().clamp(0, n - 1)
    counts = torch.bincount(cells[:, 0] * n + cells[:, 1], minlength=n * n)
    expected = len(points) / n**2
    assert ((counts - expected).square() / expected).sum() < n**2 + 5 * math.sqrt(2 * n**2)


def test_the_sphere_s_square_has_no_tear():
    # Half a step of a fine grid apart on the square is near on the sphere, seen through its points: near in the
    # square means near on the sphere, everywhere.
    points = Sphere(2).sample(3000, generator=generator(3), dtype=torch.float64)
    lengths, _ = Sphere(2).chart(points)
    flat = Euclidean(2).distance(lengths, lengths)
    assert bool((Sphere(2).distance(points, points) <= 2.5 * flat + 1e-9).all())


@given(seeds, st.integers(-20, 20), st.integers(-3, 3))
def test_units_and_translations_change_nothing(seed, shift, power):
    scale = 2.0**power
    flat = Euclidean(3).sample(40, generator=generator(seed), dtype=torch.float32).double()
    assert torch.equal(curve_order(flat * scale + shift, Euclidean(3)), curve_order(flat, Euclidean(3)))
    box = Torus(2).sample(40, generator=generator(seed), dtype=torch.float64)
    assert torch.equal(curve_order(box * scale, Torus(2, period=10 * scale)), curve_order(box, Torus(2)))
    ball = PoincareBall(2).sample(40, generator=generator(seed), dtype=torch.float64)
    curved = PoincareBall(2, curvature=-float(scale))
    assert torch.equal(curve_order(ball, curved), curve_order(ball, PoincareBall(2)))


def test_points_that_are_none_are_refused():
    with pytest.raises(ValueError, match="points must be finite, got NaN or infinity in 1 of 2 rows"):
        curve_order(torch.tensor([[1.0, 2.0], [math.nan, 0.0]]), Torus(2))
    with pytest.raises(ValueError, match="points must have shape"):
        curve_order(torch.zeros(3, 3), Torus(2))
    with pytest.raises(TypeError, match="points must be floating-point"):
        curve_order(torch.zeros(3, 2, dtype=torch.int64), Torus(2))
