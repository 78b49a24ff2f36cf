"""Isometries are found again, and no isometry of a dense search does better."""

import itertools
import math

import numpy as np
import pytest
import scipy.spatial
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from riemod.alignment.procrustes import Isometry, manifold_procrustes
from riemod.manifolds import Euclidean, KleinBottle, PoincareBall, Sphere, Torus
from tests.manifolds.isometries import moved, rotation
from tests.strategies import generator, lengths, seeds

MANIFOLDS = [
    Euclidean(3),
    Torus(1),
    Torus(2),
    Torus(3, period=0.5),
    Sphere(1),
    Sphere(2),
    Sphere(5, radius=2.0),
    KleinBottle(),
    KleinBottle(period=0.3),
]


def sample(manifold, n, seed):
    return manifold.sample(n, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=repr)
@settings(max_examples=6)
@given(seed=seeds)
def test_an_isometry_is_found_again(manifold, seed):
    points = sample(manifold, 12, seed)
    targets = moved(manifold, points, seed + 1)
    found = manifold_procrustes(points, targets, manifold)
    size = manifold.distance(points, points).max().item()
    assert math.sqrt(found.residual) < 1e-6 * size
    assert found.p_value is None
    others = sample(manifold, 5, seed + 2)
    gaps = manifold.distance(found.isometry(others), moved(manifold, others, seed + 1)).diagonal()
    assert gaps.max() < 1e-5 * size
    before, after = (manifold.distance(p, p) for p in (others, found.isometry(others)))
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6 * size)


def residuals(manifold, points, targets, matrix, shifts):
    moves = (manifold.geometry.projx(points @ matrix.T + shift) for shift in shifts)
    return min(manifold.geometry.dist(move, targets).square().mean().item() for move in moves)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("manifold", [Torus(1), Sphere(1), Torus(2), KleinBottle()], ids=repr)
def test_no_isometry_of_a_grid_leaves_less_of_unrelated_points(manifold, seed):
    points, targets = sample(manifold, 9, seed), sample(manifold, 9, seed + 100)
    found = manifold_procrustes(points, targets, manifold).residual
    best = math.inf
    if isinstance(manifold, Sphere):
        for angle, sign in itertools.product(np.linspace(0, 2 * math.pi, 1000), (1.0, -1.0)):
            cosine, sine = math.cos(angle), math.sin(angle)
            turn = torch.tensor([[cosine, -sign * sine], [sine, sign * cosine]], dtype=torch.float64)
            best = min(best, residuals(manifold, points, targets, turn, torch.zeros(1, 2).double()))
        spacing = 2 * math.pi * manifold.radius / 1000
    else:
        count = {1: 1000, 2: 24}[manifold.dim]
        steps = torch.arange(count, dtype=torch.float64) * (manifold.period / count)
        axes = [steps] * manifold.dim
        if isinstance(manifold, KleinBottle):
            axes = [torch.cat((steps, steps + manifold.period)), torch.tensor([0.0, 5.0], dtype=torch.float64)]
        shifts = torch.stack(torch.meshgrid(axes, indexing="ij"), -1).reshape(-1, manifold.dim)
        orders = list(itertools.permutations(range(manifold.dim)))
        for order, signs in itertools.product(orders, itertools.product((1.0, -1.0), repeat=manifold.dim)):
            if isinstance(manifold, KleinBottle) and order != (0, 1):
                continue
            matrix = (torch.eye(manifold.dim) * torch.tensor(signs))[list(order)].double()
            best = min(best, residuals(manifold, points, targets, matrix, shifts))
        spacing = manifold.period / count
    # The search can lose what half a step to each side costs, and the answer may not lose anything.
    assert found <= best + 1e-9
    assert best - found < 2 * spacing * manifold.diameter * math.sqrt(manifold.dim)


@pytest.mark.parametrize("dim", [2, 3])
def test_no_random_rotation_of_a_sphere_leaves_less_of_unrelated_points(dim):
    sphere = Sphere(dim, radius=1.0)
    for seed in range(4):
        points, targets = sample(sphere, 8, seed), sample(sphere, 8, seed + 100)
        found = manifold_procrustes(points, targets, sphere).residual
        turns, upper = torch.linalg.qr(torch.randn(20_000, dim + 1, dim + 1, generator=generator(seed)).double())
        # Uniform over O(k). Without the signs, Q has a first entry <= 0 and a fixed determinant.
        turns = turns * upper.diagonal(dim1=1, dim2=2).sign()[:, None]
        angles = torch.arccos(((points @ turns.mT) * targets).sum(-1).clamp(-1, 1))
        best = angles.square().mean(1).min().item()
        assert found <= best + 1e-9
        assert best - found < 0.5


@given(seed=seeds, factor=lengths)
def test_scaled_points_agree_with_scipy(seed, factor):
    space = Euclidean(3)
    points, targets = sample(space, 10, seed), sample(space, 10, seed + 1) * factor
    residual = manifold_procrustes(points, targets, space, scale=True).residual
    spread = (targets - targets.mean(0)).square().sum().item()
    disparity = scipy.spatial.procrustes(targets.numpy(), points.numpy())[2]
    assert residual * 10 / spread == pytest.approx(disparity, abs=1e-9)
    copy = 2.5 * points @ rotation(3, generator(seed)).T + 1.0
    assert manifold_procrustes(points, copy, space, scale=True).residual < 1e-18
    assert manifold_procrustes(points, copy, space).residual > 1e-3


@pytest.mark.parametrize("manifold", [Euclidean(2), Torus(2), Sphere(2), KleinBottle()], ids=repr)
def test_p_values_tell_noisy_copies_from_unrelated_points(manifold):
    source = generator(3)
    points = sample(manifold, 10, 0)
    noise = manifold.geometry.proju(points, torch.randn(points.shape, generator=source, dtype=torch.float64))
    length = 0.1 * min(manifold.diameter, 10.0)
    copies = manifold.geometry.expmap(points, length * noise / manifold.geometry.norm(points, noise, keepdim=True))
    targets = moved(manifold, copies, 5)
    near = manifold_procrustes(points, targets, manifold, permutations=19, generator=source)
    assert near.p_value == 0.05
    assert near.residual <= length**2 + 1e-9
    if isinstance(manifold, Sphere):
        return  # its pairings are drawn by the same code and take the longest
    unrelated = [
        manifold_procrustes(points, sample(manifold, 10, s), manifold, permutations=19, generator=source).p_value
        for s in range(50, 58)
    ]
    assert sum(p <= 0.05 for p in unrelated) <= 2
    assert 0.25 < np.mean(unrelated) < 0.75


@given(seed=seeds, dtype=st.sampled_from([torch.float32, torch.float64]))
def test_isometries_keep_dtype_and_manifold(seed, dtype):
    sphere = Sphere(2)
    points = sphere.sample(6, generator=generator(seed), dtype=dtype)
    found = manifold_procrustes(points, -points, sphere)
    image = found.isometry(points)
    assert image.dtype == dtype
    sphere.check_points(image)
    assert found.residual < 1e-12


def test_bad_arguments_are_refused():
    torus = Torus(2)
    points = sample(torus, 5, 0)
    with pytest.raises(ValueError, match="targets must be as many as points, 5, got 4"):
        manifold_procrustes(points, points[:4], torus)
    with pytest.raises(ValueError, match="targets must be finite"):
        manifold_procrustes(points, points * torch.nan, torus)
    with pytest.raises(ValueError, match="points must be at least 2, got 1"):
        manifold_procrustes(points[:1], points[:1], torus)
    with pytest.raises(ValueError, match="scale must be False outside Euclidean space, got True"):
        manifold_procrustes(points, points, torus, scale=True)
    with pytest.raises(ValueError, match="scale must be False for points that coincide"):
        manifold_procrustes(torch.ones(3, 2), torch.rand(3, 2), Euclidean(2), scale=True)
    with pytest.raises(ValueError, match="permutations must be an integer >= 0"):
        manifold_procrustes(points, points, torus, permutations=-1)
    with pytest.raises(TypeError, match="manifold must be Euclidean, Sphere, Torus or KleinBottle"):
        manifold_procrustes(points / 100, points / 100, PoincareBall(2))
    with pytest.raises(TypeError, match="manifold must be a Manifold, got str"):
        manifold_procrustes(points, points, "torus")
    with pytest.raises(TypeError, match="points must be a tensor, got list"):
        Isometry(torus, torch.eye(2), torch.zeros(2))([[1.0, 2.0]])
