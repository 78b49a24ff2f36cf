"""Samples: uniform in volume, drawn from the generator alone, the same bits for the same seed."""

import math

import pytest
import torch
from hypothesis import given
from scipy import stats

from riemod.manifolds import Euclidean, KleinBottle, PoincareBall, Product, Sphere, Torus
from tests.strategies import DTYPES, MANIFOLDS, dtypes, generator, manifolds, seeds

SIZE = 20_000
# One false alarm in a thousand at most, were the seeds not fixed.
LEVEL = 1e-3


def sample(manifold, seed=0):
    return manifold.sample(SIZE, generator=generator(seed), dtype=torch.float64)


def assert_uniform_in_cube(points, side, bins):
    cells = (points / side * bins).long()
    index = sum(cells[:, k] * bins**k for k in range(points.shape[1]))
    counts = torch.bincount(index, minlength=bins ** points.shape[1])
    assert len(counts) == bins ** points.shape[1]
    assert stats.chisquare(counts.numpy()).pvalue > LEVEL


def assert_distributed(values, distribution):
    assert stats.kstest(values.numpy(), distribution).pvalue > LEVEL


@pytest.mark.parametrize(
    ("manifold", "side", "bins"),
    [(Euclidean(3), 10.0, 5), (Euclidean(1, side=2.5), 2.5, 50), (Torus(2), 10.0, 12), (KleinBottle(4.0), 4.0, 12)],
    ids=repr,
)
def test_flat_samples_fill_every_cell_alike(manifold, side, bins):
    assert_uniform_in_cube(sample(manifold), side, bins)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_sphere_samples_are_uniform(dim):
    points = sample(Sphere(dim))
    # (1 + <x, e>) / 2 of a uniform unit vector has the symmetric beta distribution.
    shape = dim / 2
    for axis in range(dim + 1):
        assert_distributed((1 + points[:, axis]) / 2, stats.beta(shape, shape).cdf)
    direction = torch.full((dim + 1,), 1 / math.sqrt(dim + 1), dtype=torch.float64)
    assert_distributed((1 + points @ direction) / 2, stats.beta(shape, shape).cdf)


def share_of_volume(dim, extent):
    """The integral of sinh^(dim - 1) from 0, over that up to the extent, for a distance in units of 1 / sqrt c."""
    primitive = {
        1: lambda r: r,
        2: lambda r: torch.cosh(r) - 1,
        3: lambda r: torch.sinh(2 * r) / 4 - r / 2,
        4: lambda r: torch.cosh(r) ** 3 / 3 - torch.cosh(r) + 2 / 3,
    }[dim]
    return lambda r: (primitive(torch.as_tensor(r)) / primitive(torch.tensor(extent, dtype=torch.float64))).numpy()


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
@pytest.mark.parametrize(("curvature", "sample_radius"), [(-1.0, 5.0), (-4.0, 2.0), (-0.04, 1.0)])
def test_ball_samples_are_uniform_in_volume(dim, curvature, sample_radius):
    ball = PoincareBall(dim, curvature=curvature, sample_radius=sample_radius)
    points = sample(ball)
    radius = ball.distance(points, torch.zeros(1, dim, dtype=torch.float64))[:, 0]
    assert radius.max().item() <= sample_radius
    unit = math.sqrt(-curvature)
    assert_distributed(unit * radius, share_of_volume(dim, unit * sample_radius))
    direction = points / points.norm(dim=1, keepdim=True)
    if dim == 1:
        assert stats.binomtest(int((direction > 0).sum()), SIZE).pvalue > LEVEL
    else:
        assert_distributed((1 + direction[:, 0]) / 2, stats.beta((dim - 1) / 2, (dim - 1) / 2).cdf)


def test_a_sample_uniform_in_coordinates_is_told_apart():
    points = torch.rand(SIZE, 1, generator=generator(0), dtype=torch.float64)
    angle = 2 * math.pi * torch.rand(SIZE, 1, generator=generator(1), dtype=torch.float64)
    disc = 0.98 * points.sqrt() * torch.cat((angle.cos(), angle.sin()), dim=1)
    radius = PoincareBall(2).distance(disc, torch.zeros(1, 2, dtype=torch.float64))[:, 0]
    assert stats.kstest(radius.numpy(), share_of_volume(2, 2 * math.atanh(0.98))).pvalue < 1e-9


def test_factors_of_a_product_are_drawn_independently():
    points = sample(Product([Torus(1), Torus(1), Torus(1)]))
    assert_uniform_in_cube(points, 10.0, 6)


@given(manifold=manifolds(), seed=seeds, dtype=dtypes)
def test_same_seed_same_points(manifold, seed, dtype):
    state = torch.get_rng_state()
    first = manifold.sample(7, generator=generator(seed), dtype=dtype)
    assert torch.equal(first, manifold.sample(7, generator=generator(seed), dtype=dtype))
    assert not torch.equal(first, manifold.sample(7, generator=generator(seed + 1), dtype=dtype))
    assert torch.equal(torch.get_rng_state(), state)
    assert type(first) is torch.Tensor
    assert (first.shape, first.dtype, first.requires_grad) == ((7, manifold.coordinate_dim), dtype, False)
    manifold.check_points(first)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_float32_points_are_the_float64_points_rounded(name):
    manifold = MANIFOLDS[name]
    single, double = (manifold.sample(100, generator=generator(3), dtype=dtype) for dtype in DTYPES)
    assert torch.equal(manifold.geometry.projx(double.float()), manifold.geometry.projx(single))
    torch.testing.assert_close(single, double.float(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_defaults_of_a_sample(name):
    manifold = MANIFOLDS[name]
    torch.manual_seed(5)
    points = manifold.sample(4)
    assert (points.dtype, points.device) == (torch.get_default_dtype(), torch.device("cpu"))
    torch.manual_seed(5)
    assert torch.equal(manifold.sample(4), points)
    assert not torch.equal(manifold.sample(4), points)
    assert manifold.sample(0).shape == (0, manifold.coordinate_dim)
    moved = manifold.sample(4, generator=generator(0), device="meta")
    assert moved.device == torch.device("meta")
