"""Every distance is a metric, in both precisions."""

import pytest
import torch
from hypothesis import given

from tests.strategies import DTYPES, MANIFOLDS, dtypes, generator, manifolds, scattered_points, seeds, typical_length


def check_axioms(manifold, points):
    distance = manifold.distance(points, points)
    scale = max(typical_length(manifold), distance.max().item())
    rounding = 8 * torch.finfo(points.dtype).eps * scale
    assert distance.dtype == points.dtype
    assert bool(torch.isfinite(distance).all())
    assert bool((distance >= 0).all())
    assert torch.equal(distance, distance.T)
    assert bool((distance.diagonal() == 0).all())
    detours = (distance[:, :, None] + distance[None, :, :]).amin(dim=1)
    assert bool((distance <= detours + rounding).all())
    return distance


@given(manifold=manifolds(), seed=seeds, dtype=dtypes)
def test_distance_is_a_metric(manifold, seed, dtype):
    check_axioms(manifold, scattered_points(manifold, seed, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MANIFOLDS)
def test_distance_separates_points(name, dtype):
    manifold = MANIFOLDS[name]
    points = scattered_points(manifold, 0, dtype)
    distance = check_axioms(manifold, points)
    different = (points[:, None] != points[None]).any(dim=-1)
    # Rows that differ in rounding only may be the same point.
    assert bool((distance[different & ~torch.isclose(points[:, None], points[None]).all(dim=-1)] > 0).all())
    assert bool((distance[~different] == 0).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MANIFOLDS)
def test_distance_is_symmetric_to_the_last_bit_at_any_size(name, dtype):
    manifold = MANIFOLDS[name]
    for n in range(3, 40):
        points = manifold.sample(n, generator=generator(n), dtype=dtype)
        distance = manifold.distance(points, points)
        assert torch.equal(distance, distance.T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MANIFOLDS)
def test_distance_of_two_sets_is_a_part_of_the_distance_of_one(name, dtype):
    manifold = MANIFOLDS[name]
    points = scattered_points(manifold, 1, dtype)
    whole = manifold.distance(points, points)
    torch.testing.assert_close(manifold.distance(points[:7], points[3:]), whole[:7, 3:], rtol=1e-6, atol=0)
    torch.testing.assert_close(manifold.distance(points, points.clone()), whole, rtol=1e-6, atol=0)
    assert manifold.distance(points[:0], points).shape == (0, len(points))
