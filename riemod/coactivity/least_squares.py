"""Co-activity by least squares: points on a sphere whose cosines approach the correlations."""

from dataclasses import dataclass

import torch
from torch import Tensor

from riemod._checks import check_type
from riemod.coactivity.energy import CoactivityLaw
from riemod.manifolds import Sphere
from riemod.manifolds.base import safe_sqrt
from riemod.regularization.inhibitors import Inhibitor, Sinusoid


@dataclass(frozen=True)
class SquaredChord(Inhibitor):
    """Costs f(d) = 2 (1 - cos d) = 4 sin^2(d / 2), the squared straight distance of two points of the unit sphere.

    For 0 <= d <= pi. Collapses learned points.

    >>> SquaredChord()(torch.tensor([0.0, torch.pi])).tolist()
    [0.0, 4.0]
    """

    @property
    def collapses(self) -> bool:
        return True

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        return 4 * torch.sin(0.5 * safe_sqrt(squared)) ** 2


def least_squares(sphere: Sphere) -> CoactivityLaw:
    """Return the law that fits cosines to correlations: E = mean_jk (cos(d(x_j, x_k) / radius) - c_jk)^2 + constant.

    The law is f(d) = 2 (1 - cos d) and r(d) = cos^2 d, with the radius as scale; the constant is mean_jk (2 c_jk -
    c_jk^2). S^k holds any correlation matrix of rank k + 1 exactly.

    Args:
        sphere: where the points are.

    Returns:
        A law for `Coactivity`, `coactivity_energy`, `fit_positions` and `fit_to_correlations`.

    Raises:
        TypeError: if it is no sphere.

    Reference: Grubisic and Pietersz 2005, Efficient rank reduction of correlation matrices,
    https://hdl.handle.net/1765/1933

    >>> from riemod.coactivity import coactivity_energy
    >>> circle = Sphere(1)
    >>> points = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> coactivity_energy(points, torch.eye(2), circle, least_squares(circle)).item()  # mean (2 c - c^2)
    0.5
    """
    check_type("sphere", sphere, Sphere, "a Sphere")
    return CoactivityLaw(SquaredChord(), sphere.radius, Sinusoid(amplitude=0.5, frequency=2.0))
