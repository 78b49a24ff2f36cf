"""Betti numbers, diameters and names."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from riemod.manifolds import NAMES, Euclidean, KleinBottle, Manifold, PoincareBall, Product, Sphere, Torus, by_name
from tests.strategies import MANIFOLDS, dims, generator, lengths, manifolds

primes = st.sampled_from([2, 3, 5, 7, 11, 13, 101])


@pytest.mark.parametrize(
    ("manifold", "modulo_2", "modulo_3"),
    [
        (Euclidean(3), (1, 0, 0, 0), (1, 0, 0, 0)),
        (PoincareBall(2), (1, 0, 0), (1, 0, 0)),
        (Sphere(1), (1, 1), (1, 1)),
        (Sphere(2), (1, 0, 1), (1, 0, 1)),
        (Sphere(4), (1, 0, 0, 0, 1), (1, 0, 0, 0, 1)),
        (Torus(1), (1, 1), (1, 1)),
        (Torus(2), (1, 2, 1), (1, 2, 1)),
        (Torus(6), (1, 6, 15, 20, 15, 6, 1), (1, 6, 15, 20, 15, 6, 1)),
        (KleinBottle(), (1, 2, 1), (1, 1, 0)),
        (Product([Sphere(1), Sphere(2)]), (1, 1, 1, 1), (1, 1, 1, 1)),
        (Product([KleinBottle(), Sphere(1)]), (1, 3, 3, 1), (1, 2, 1, 0)),
        (Product([Euclidean(2), Product([Torus(1), Torus(1)])]), (1, 2, 1, 0, 0), (1, 2, 1, 0, 0)),
    ],
    ids=repr,
)
def test_betti_numbers(manifold, modulo_2, modulo_3):
    assert manifold.betti(2) == modulo_2
    assert manifold.betti(3) == modulo_3
    assert all(type(number) is int for number in manifold.betti(2))


@given(manifold=manifolds(), prime=primes)
def test_betti_numbers_of_any_manifold(manifold, prime):
    numbers = manifold.betti(prime)
    assert len(numbers) == manifold.dim + 1
    assert numbers[0] == 1
    # The Euler characteristic does not depend on the field.
    assert sum((-1) ** k * b for k, b in enumerate(numbers)) == sum(
        (-1) ** k * b for k, b in enumerate(manifold.betti(2))
    )


@pytest.mark.parametrize("prime", [-3, 0, 1, 4, 9, 91, 10_000, True, False])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_only_primes_make_a_field(name, prime):
    with pytest.raises(ValueError, match="prime must be a prime number"):
        MANIFOLDS[name].betti(prime)


@given(dim=dims, length=lengths, seed=st.integers(0, 1000))
def test_no_two_points_are_farther_apart_than_the_diameter(dim, length, seed):
    for manifold in (Sphere(dim, radius=length), Torus(dim, period=length), KleinBottle(period=length)):
        points = manifold.sample(60, generator=generator(seed), dtype=torch.float64)
        assert manifold.distance(points, points).max().item() <= manifold.diameter * (1 + 1e-12)


@pytest.mark.parametrize(
    "manifold",
    [
        Sphere(1),
        Sphere(2, radius=0.5),
        Torus(1),
        Torus(2, period=3.0),
        KleinBottle(7.0),
        Product([Torus(1), Sphere(1)]),
    ],
    ids=repr,
)
def test_some_points_are_nearly_as_far_apart_as_the_diameter(manifold):
    points = manifold.sample(1500, generator=generator(0), dtype=torch.float64)
    largest = manifold.distance(points, points).max().item()
    assert 0.97 * manifold.diameter < largest <= manifold.diameter * (1 + 1e-12)


def test_diameters():
    assert Sphere(3, radius=2.0).diameter == pytest.approx(2 * math.pi)
    assert Torus(2).diameter == pytest.approx(math.hypot(5, 5))
    assert KleinBottle().diameter == pytest.approx(math.hypot(5, 5))
    assert Product([Sphere(2), Torus(2)]).diameter == pytest.approx(math.hypot(5 * math.pi, 5, 5))
    assert Euclidean(2).diameter == PoincareBall(2).diameter == Product([Sphere(1), Euclidean(1)]).diameter == math.inf


@pytest.mark.parametrize(
    ("name", "kind", "dim", "coordinate_dim"),
    [
        ("circle", Sphere, 1, 2),
        ("sphere", Sphere, 2, 3),
        ("torus", Torus, 2, 2),
        ("torus6", Torus, 6, 6),
        ("klein", KleinBottle, 2, 2),
        ("euclidean2", Euclidean, 2, 2),
        ("euclidean3", Euclidean, 3, 3),
        ("poincare", PoincareBall, 2, 2),
    ],
)
def test_manifolds_by_name(name, kind, dim, coordinate_dim):
    manifold = by_name(name)
    assert isinstance(manifold, Manifold)
    assert (type(manifold), manifold.dim, manifold.coordinate_dim) == (kind, dim, coordinate_dim)
    assert by_name(name) is not manifold
    assert name in NAMES


def test_every_name_is_tested():
    assert set(NAMES) == {"circle", "sphere", "torus", "torus6", "klein", "euclidean2", "euclidean3", "poincare"}


@pytest.mark.parametrize(
    ("manifold", "text"),
    [
        (Euclidean(2, side=1.0), "Euclidean(dim=2, side=1)"),
        (Sphere(1), "Sphere(dim=1, radius=5)"),
        (Torus(2), "Torus(dim=2, period=10)"),
        (KleinBottle(2.5), "KleinBottle(period=2.5)"),
        (PoincareBall(2), "PoincareBall(dim=2, curvature=-1, sample_radius=5)"),
        (
            PoincareBall(3, curvature=-0.25, learn_curvature=True),
            "PoincareBall(dim=3, curvature=-0.25, learn_curvature=True, sample_radius=5)",
        ),
        (Product([Torus(1), Sphere(2)]), "Product(Torus(dim=1, period=10), Sphere(dim=2, radius=5))"),
    ],
)
def test_manifolds_print_as_they_are_made(manifold, text):
    assert repr(manifold) == text
