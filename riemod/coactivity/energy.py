"""The energy of points by co-activity: units that are active together attract, units that exclude each other repel.

Signed correlations c_jk of the hidden units' activity are the second source of evidence about where neurons are, beside
their weights (Eq. 6). Points descend in sum_jk f(d(x_j, x_k) / scale) c_jk, plus a repulsion r(d / scale) of all pairs
if there is one, while the net trains (`PointEvidence(moduli, Coactivity(), law=...)`) or after it (`fit_positions`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from riemod._checks import check_positive, check_type
from riemod._torch import outside_graphs
from riemod.manifolds._uniform_pairs import mean_distance
from riemod.manifolds.base import Manifold
from riemod.regularization.inhibitors import DifferenceOfGaussians, Gaussian, Inhibitor, Scaled, as_inhibitor
from riemod.regularization.penalty import check_both, check_weight, nan_unless, penalty_of_coordinates

_REACH = 0.28


@dataclass(frozen=True)
class CoactivityLaw:
    """Says what a pair of units at distance d adds to the energy: f(d / scale) c + r(d / scale), c their correlation.

    Args:
        inhibitor: f, an `Inhibitor` or any callable of the distance.
        scale: the length that f and r take for 1, > 0; `natural_scale` of the manifold if None.
        repulsion: r, what a pair costs whatever its correlation; none if None.

    Raises:
        ValueError: if the scale is not positive and finite.
        TypeError: if f or r is neither an Inhibitor nor callable.

    `WIDE`, a wide Gaussian without a barrier at d = 0, lets points cross each other, so an embedding unfolds while a
    net trains. `RING`, a difference of Gaussians, freezes folds, and places neighbors more evenly: fits after training
    start with the one and end with the other. `least_squares(sphere)` fits cosines to correlations.
    """

    inhibitor: Inhibitor | Callable[[Tensor], Tensor]
    scale: float | None = None
    repulsion: Inhibitor | Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "inhibitor", as_inhibitor(self.inhibitor))
        if self.repulsion is not None:
            object.__setattr__(self, "repulsion", as_inhibitor(self.repulsion, "repulsion"))
        if self.scale is not None:
            check_positive("scale", self.scale)

    def on(self, manifold: Manifold, factor: float = 1.0) -> "CoactivityLaw":
        """Return the law with `factor` times its scale, which is the manifold's natural one if the law has none.

        Raises:
            ValueError: if the factor is not positive and finite, or the scale leaves the range from 1e-30 to 1e30.
            TypeError: if `manifold` is not a Manifold.
        """
        check_type("manifold", manifold, Manifold, "a Manifold")
        factor = check_positive("factor", factor)
        scale = natural_scale(manifold) if self.scale is None else self.scale
        return CoactivityLaw(self.inhibitor, check_positive("factor times scale", factor * scale), self.repulsion)

    def energy(self, coordinates: Tensor, evidence: Tensor, manifold: Manifold) -> Tensor:
        """Compute mean_jk [f a_jk + r] from tile coordinates, unchecked: evidence a takes the place of correlations."""
        return energy_of_coordinates(coordinates, evidence, manifold, self)

    def scaled(self) -> tuple[Inhibitor, Inhibitor | None]:
        """Return d -> f(d / scale) and d -> r(d / scale), for a law that has a scale."""
        assert self.scale is not None
        factor = 1 / self.scale
        repulsion = None if self.repulsion is None else Scaled(as_inhibitor(self.repulsion), factor)
        return Scaled(as_inhibitor(self.inhibitor), factor), repulsion


WIDE = CoactivityLaw(Gaussian(amplitude=100.0, width=10.0))
RING = CoactivityLaw(DifferenceOfGaussians())


@outside_graphs
def coactivity_energy(
    points: Float[Tensor, "n k"], correlations: Float[Tensor, "n n"], manifold: Manifold, law: CoactivityLaw
) -> Float[Tensor, ""]:
    """Compute E = mean_jk [f(d_jk / scale) c_jk + r(d_jk / scale)], d_jk = d(x_j, x_k), with signed correlations c.

    E is least where units that are active together are near. It takes one pass of the penalty's tiles over positive
    correlations, one over negative ones, and one for the repulsion, without an array of size n x n x dim. Positive
    correlations alone would contract all points.

    Args:
        points: (n, coordinate_dim), x_j.
        correlations: (n, n), c; no gradient is computed for it.
        manifold: gives d.
        law: f, r and their scale.

    Returns:
        A scalar, differentiable once in the points and the manifold's parameters.

    Raises:
        ValueError: if a shape or device does not fit, or a point is off the manifold; on a GPU the result is NaN then.
        TypeError: if a dtype does not fit, or the law is no `CoactivityLaw`.

    >>> from riemod.manifolds import Torus
    >>> points, apart = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> coactivity_energy(points, apart, Torus(2), CoactivityLaw(lambda d: d, scale=1.0)).item()
    -2.5
    """
    held = check_both(check_type("manifold", manifold, Manifold, "a Manifold"), points, None)
    check_weight(correlations, points, points, "correlations")
    check_law(law)
    with torch.autocast(points.device.type, enabled=False):
        energy = energy_of_coordinates(manifold.coordinates(points), correlations, manifold, law.on(manifold))
    return energy if held is None else nan_unless(held, energy)


def energy_of_coordinates(coordinates: Tensor, correlations: Tensor, manifold: Manifold, law: CoactivityLaw) -> Tensor:
    """Compute `coactivity_energy` from tile coordinates and a law that has a scale, unchecked."""
    factor = 1 / correlations.numel()
    inhibitor, repulsion = law.scaled()

    def total(weight: Tensor, cost: Inhibitor) -> Tensor:
        return penalty_of_coordinates(weight, coordinates, coordinates, manifold, cost, 1, factor)

    energy = total(correlations.clamp_min(0), inhibitor) - total((-correlations).clamp_min(0), inhibitor)
    if repulsion is None:
        return energy
    return energy + total(correlations.new_ones(()).expand_as(correlations), repulsion)


def check_law(law: CoactivityLaw) -> None:
    """Raise a TypeError unless it is a `CoactivityLaw`."""
    if not isinstance(law, CoactivityLaw):
        raise TypeError(f"law must be a CoactivityLaw, such as RING, got {type(law).__name__}")


def natural_scale(manifold: Manifold) -> float:
    """Return the unit of length in which a default difference of Gaussians suits a manifold.

    It is 0.28 of the mean distance of uniform points: the wide Gaussian then has a standard deviation of 0.44 of it.

    Args:
        manifold: any; points are drawn from it by a fixed seed, which leaves an error of about 1 %.

    >>> from riemod.manifolds import Torus
    >>> round(natural_scale(Torus(2, period=20.0)) / natural_scale(Torus(2, period=10.0)), 3)
    2.0
    """
    return _REACH * mean_distance(manifold)
