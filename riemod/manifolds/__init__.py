"""Riemannian manifolds for neurons, with exact distances, uniform samples and points that can be learned."""

from collections.abc import Callable

from riemod._checks import did_you_mean, shown
from riemod.manifolds._points import Flaw
from riemod.manifolds.base import Lattice, Manifold
from riemod.manifolds.curves import curve_order
from riemod.manifolds.euclidean import Euclidean
from riemod.manifolds.geodesy import frechet_means, geodesic_distances, geodesics
from riemod.manifolds.klein import KleinBottle
from riemod.manifolds.poincare import PoincareBall
from riemod.manifolds.product import Product
from riemod.manifolds.sphere import Sphere
from riemod.manifolds.torus import Torus

__all__ = [
    "NAMES",
    "Euclidean",
    "Flaw",
    "KleinBottle",
    "Lattice",
    "Manifold",
    "PoincareBall",
    "Product",
    "Sphere",
    "Torus",
    "by_name",
    "curve_order",
    "frechet_means",
    "geodesic_distances",
    "geodesics",
]

_MAKERS: dict[str, Callable[[], Manifold]] = {
    "circle": lambda: Sphere(1),
    "sphere": lambda: Sphere(2),
    "torus": lambda: Torus(2),
    "torus6": lambda: Torus(6),
    "klein": KleinBottle,
    "euclidean2": lambda: Euclidean(2),
    "euclidean3": lambda: Euclidean(3),
    "poincare": lambda: PoincareBall(2),
}
NAMES = tuple(_MAKERS)


def by_name(name: str) -> Manifold:
    """Make the manifold of that name, with its default size.

    Args:
        name: one of NAMES.

    Returns:
        A new manifold.

    Raises:
        ValueError: if no manifold has that name.

    >>> by_name("circle")
    Sphere(dim=1, radius=5)
    """
    if not isinstance(name, str) or name not in _MAKERS:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {shown(name)}{did_you_mean([name], NAMES)}")
    return _MAKERS[name]()
