"""What the tests draw: manifolds of every kind and size, seeds, and sets of points that visit the hard places."""

import math
import random

import torch
from hypothesis import strategies as st
from torch import Tensor

from riemod.manifolds import Euclidean, KleinBottle, Manifold, PoincareBall, Product, Sphere, Torus

MANIFOLDS: dict[str, Manifold] = {
    "line": Euclidean(1),
    "space": Euclidean(3),
    "circle": Sphere(1),
    "sphere": Sphere(2),
    "large 4-sphere": Sphere(4, radius=100.0),
    "torus": Torus(2),
    "torus of period 2 pi": Torus(3, period=2 * math.pi),
    "Klein bottle": KleinBottle(),
    "Klein bottle of period 0.3": KleinBottle(period=0.3),
    "hyperbolic plane": PoincareBall(2),
    "hyperbolic space": PoincareBall(3, curvature=-4.0, sample_radius=2.0),
    "learned curvature": PoincareBall(2, curvature=-0.25, learn_curvature=True, sample_radius=8.0),
    "product": Product([Torus(1), Product([KleinBottle(), Sphere(2)]), PoincareBall(2), Euclidean(1)]),
}
DTYPES = (torch.float32, torch.float64)

dtypes = st.sampled_from(DTYPES)
seeds = st.integers(min_value=0, max_value=2**32 - 1)
lengths = st.floats(min_value=0.1, max_value=100.0)
dims = st.integers(min_value=1, max_value=5)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def atomic_manifolds() -> st.SearchStrategy[Manifold]:
    """Every kind but the product, of any size."""
    return st.one_of(
        st.builds(Euclidean, dims, side=lengths),
        st.builds(Sphere, dims, radius=lengths),
        st.builds(Torus, dims, period=lengths),
        st.builds(KleinBottle, period=lengths),
        st.builds(
            lambda dim, scale, learn: PoincareBall(dim, -(scale**-2), learn, sample_radius=5 * scale),
            dims,
            lengths,
            st.booleans(),
        ),
    )


def manifolds() -> st.SearchStrategy[Manifold]:
    """Every kind, of any size, and products of up to three."""
    return st.one_of(atomic_manifolds(), st.lists(atomic_manifolds(), min_size=1, max_size=3).map(product_of))


def product_of(factors: list[Manifold]) -> Product:
    # The type checker draws the list's item to check from `random`, which hypothesis allows no strategy to do.
    state = random.getstate()
    product = Product(factors)
    random.setstate(state)
    return product


def tangents(manifold: Manifold, points: Tensor, seed: int) -> Tensor:
    """A tangent vector at each point, of geodesic length 1."""
    geometry = manifold.geometry
    # Not the seed itself: points sampled with it came from the same normal draws, and would have no tangent part.
    drawn = torch.randn(points.shape, generator=generator(seed ^ 0x5EED), dtype=points.dtype)
    vectors = geometry.proju(points, geometry.egrad2rgrad(points, drawn))
    return vectors / geometry.norm(points, vectors, keepdim=True)


def neighbors(manifold: Manifold, points: Tensor, length: float, seed: int) -> Tensor:
    """A point at this geodesic distance from each of the points, in a random direction, computed in float64."""
    exact = points.double()
    return manifold.geometry.expmap(exact, length * tangents(manifold, exact, seed)).to(points.dtype)


def far_points(manifold: Manifold, points: Tensor) -> Tensor:
    """A point of each point's cut locus, where it has one."""
    match manifold:
        case Sphere():
            return -points
        case Torus():
            return manifold.geometry.projx(points + manifold.period / 2)
        case KleinBottle():
            return manifold.geometry.projx(points + points.new_tensor([manifold.period / 2, 0.0]))
        case Product():
            parts = points.split([factor.coordinate_dim for factor in manifold.factors], dim=1)
            return torch.cat([far_points(*pair) for pair in zip(manifold.factors, parts, strict=True)], dim=1)
        case _:
            return points


def scattered_points(manifold: Manifold, seed: int, dtype: torch.dtype, n: int = 6) -> Tensor:
    """Uniform points, some of them twice, with neighbors near by and points of their cut loci: 5 n rows."""
    points = manifold.sample(n, generator=generator(seed), dtype=dtype)
    near = [neighbors(manifold, points, length, seed + 1) for length in (1e-4, 0.1)]
    far = far_points(manifold, points)
    beside = neighbors(manifold, far, 1e-4, seed + 2)
    return torch.cat((points, *near, far, beside, points[:1]))


def typical_length(manifold: Manifold) -> float:
    """The diameter, or that of the region that `sample` draws from."""
    match manifold:
        case Euclidean():
            return manifold.side * math.sqrt(manifold.dim)
        case PoincareBall():
            return 2 * manifold.sample_radius
        case Product():
            return math.hypot(*(typical_length(factor) for factor in manifold.factors))
        case _:
            return manifold.diameter
