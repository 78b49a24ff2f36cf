"""Where neurons live: Riemannian manifolds with exact distances, uniform samples and points that can be learned."""

from riemod.manifolds.base import Manifold
from riemod.manifolds.euclidean import Euclidean
from riemod.manifolds.torus import Torus

__all__ = ["Euclidean", "Manifold", "Torus"]
