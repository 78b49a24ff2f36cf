"""Every bad argument is refused, by name, with what came and what is allowed."""

import math
import subprocess
import sys

import pytest
import torch

from riemod.manifolds import NAMES, Euclidean, KleinBottle, Manifold, PoincareBall, Product, Sphere, Torus, by_name
from tests.strategies import MANIFOLDS, generator

NOT_POSITIVE = [0.0, -1.0, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize("make", [Euclidean, Sphere, Torus, PoincareBall])
@pytest.mark.parametrize("dim", [0, -2, True])
def test_dim(make, dim):
    with pytest.raises(ValueError, match=f"dim must be an integer >= 1, got {dim}"):
        make(dim)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("side", lambda value: Euclidean(2, side=value)),
        ("radius", lambda value: Sphere(2, radius=value)),
        ("period", lambda value: Torus(2, period=value)),
        ("period", lambda value: KleinBottle(period=value)),
        ("sample_radius", lambda value: PoincareBall(2, sample_radius=value)),
    ],
)
@pytest.mark.parametrize("value", NOT_POSITIVE)
def test_lengths(name, make, value):
    with pytest.raises(ValueError, match=f"{name} must be positive and finite, got {value}"):
        make(value)


@pytest.mark.parametrize("curvature", [0.0, 1.0, math.nan, math.inf, -math.inf])
def test_curvature(curvature):
    with pytest.raises(ValueError, match=f"curvature must be negative and finite, got {curvature}"):
        PoincareBall(2, curvature=curvature)


def test_factors():
    with pytest.raises(ValueError, match="factors must hold at least one manifold, got none"):
        Product([])
    with pytest.raises(TypeError):
        Product([Torus(2), "sphere"])


def test_a_manifold_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Manifold(1, 1, 1, Torus(1).geometry)


def test_names():
    with pytest.raises(ValueError, match=r"name must be one of circle, sphere, .*poincare, got 'donut'"):
        by_name("donut")
    with pytest.raises(ValueError, match=r"got 'Tours': did you mean torus\?"):
        by_name("Tours")


@pytest.mark.parametrize("name", MANIFOLDS)
def test_size_and_dtype_of_a_sample(name):
    manifold = MANIFOLDS[name]
    for n in (-1, True):
        with pytest.raises(ValueError, match=f"n must be an integer >= 0, got {n}"):
            manifold.sample(n)
    with pytest.raises(TypeError, match=r"dtype must be floating-point, got torch\.int64"):
        manifold.sample(3, dtype=torch.int64)


def test_a_sample_that_float32_cannot_hold():
    ball = PoincareBall(2, sample_radius=8.0)
    with pytest.raises(
        ValueError, match=r"sample_radius must be at most 6\.21\d for torch\.float32 points at .* -1, got 8"
    ):
        ball.sample(3, dtype=torch.float32)
    assert ball.sample(3, dtype=torch.float64).shape == (3, 2)
    flat = PoincareBall(2, curvature=-0.25, sample_radius=8.0)
    flat.check_points(flat.sample(3, dtype=torch.float32))


USES = {
    "check_points": lambda manifold, points: manifold.check_points(points),
    "parameter": lambda manifold, points: manifold.parameter(points),
    "x": lambda manifold, points: manifold.distance(points, manifold.sample(3)),
    "y": lambda manifold, points: manifold.distance(manifold.sample(3), points),
    "reference x": lambda manifold, points: manifold.reference_distance(points, manifold.sample(3)),
    "reference y": lambda manifold, points: manifold.reference_distance(manifold.sample(3), points),
}


def argument(use):
    return use[-1] if use[-2:] in ("x", "y", " x", " y") else "points"


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", ["circle", "torus", "Klein bottle", "hyperbolic plane", "space", "product"])
def test_points(name, use):
    manifold = MANIFOLDS[name]
    good = manifold.sample(3, generator=generator(0))
    wide = torch.cat((good, good), dim=1)
    for bad in (good[0], good[None], wide):
        with pytest.raises(
            ValueError, match=rf"{argument(use)} must have shape \(n, {manifold.coordinate_dim}\) on .*got"
        ):
            USES[use](manifold, bad)
    for value in (math.nan, math.inf):
        bad = good.clone()
        bad[1, 0] = value
        with pytest.raises(
            ValueError, match=f"{argument(use)} must be finite, got NaN or infinity in 1 of 3 rows.* row 1"
        ):
            USES[use](manifold, bad)
    with pytest.raises(TypeError, match=rf"{argument(use)} must be floating-point, got torch\.int64"):
        USES[use](manifold, good.long())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("manifold", "row", "complaint"),
    [
        (Sphere(2), [1.0, 0.1, 0.0], "unit vectors, but are not in 1 of 2 rows, the first of them row 1"),
        (Sphere(2), [0.0, 0.0, 0.0], "unit vectors"),
        (Torus(2), [10.01, 0.0], r"in \[0, 10\)"),
        (Torus(2), [3.0, -0.01], r"in \[0, 10\)"),
        (KleinBottle(2.0), [3.0, 1.0], r"in \[0, 2\)"),
        (PoincareBall(2), [0.8, 0.6], "norms must be below 1"),
        (PoincareBall(2, curvature=-0.01), [3.0, 0.0], "norms must be below 1"),
        (Product([Torus(1), Sphere(1)]), [1.0, 0.5, 0.5], r"factor 1, Sphere\(dim=1, radius=5\): .*unit vectors"),
    ],
    ids=repr,
)
def test_points_off_the_manifold(manifold, row, complaint, dtype):
    good = manifold.sample(1, generator=generator(0), dtype=dtype)
    points = torch.cat((good, torch.tensor([row], dtype=dtype)))
    with pytest.raises(ValueError, match=f"points must lie on {type(manifold).__name__}.*{complaint}"):
        manifold.check_points(points)
    with pytest.raises(ValueError, match="places must lie on"):
        manifold.check_points(points, "places")
    with pytest.raises(ValueError, match="y must lie on"):
        manifold.distance(good, points)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_rounding_is_forgiven(name):
    manifold = MANIFOLDS[name]
    points = manifold.sample(50, generator=generator(0), dtype=torch.float64)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        if not isinstance(manifold, PoincareBall | Product) or dtype == torch.float32:
            manifold.check_points(points.to(dtype))
            manifold.check_points(points.to(dtype).double()) if dtype == torch.float32 else None
    if isinstance(manifold, Torus | KleinBottle):
        manifold.check_points(torch.full((1, manifold.dim), manifold.period))


def test_two_sets_must_match():
    torus = Torus(2)
    single, double = torus.sample(3), torus.sample(3, dtype=torch.float64)
    with pytest.raises(TypeError, match=r"y must have the dtype of x, torch\.float32, got torch\.float64"):
        torus.distance(single, double)
    with pytest.raises(ValueError, match="y must hold as many points as x, 3, got 2"):
        torus.reference_distance(single, single[:2])


WRONG_TYPES = {
    "Torus(2.0)": "ValueError: dim must be an integer >= 1, got 2.0",
    "Sphere(2, radius='5')": "ValueError: radius must be positive and finite, got '5'",
    "Torus(2).distance([[0.0, 0.0]], x)": "TypeError: x must be a tensor, got list",
    "Product([Torus(2), 'sphere'])": "TypeError: factors must be manifolds, got str",
    "Torus(2).betti('2')": "ValueError: prime must be a prime number, got '2'",
    "Torus(2).sample(2.5)": "ValueError: n must be an integer >= 0, got 2.5",
    "PoincareBall(2, curvature='flat')": "ValueError: curvature must be negative and finite, got 'flat'",
    "by_name(3)": f"ValueError: name must be one of {', '.join(NAMES)}, got 3",
}
ATTEMPTS = """
import sys, torch
from riemod.manifolds import *
x = torch.zeros(1, 2)
for code in sys.argv[1:]:
    try:
        eval(code)
    except (ValueError, TypeError) as error:
        print(f"{type(error).__name__}: {error}")
"""


def test_arguments_of_the_wrong_type():
    """In a process of its own: within the tests a type checker would refuse them first."""
    finished = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, *WRONG_TYPES], capture_output=True, text=True, check=False
    )
    assert finished.stdout.splitlines() == list(WRONG_TYPES.values()), finished.stderr
