"""Points on a sphere whose cosines are the correlations, as nearly as can be: co-activity by least squares."""

from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from riemod.manifolds import Sphere
from riemod.manifolds.base import safe_sqrt
from riemod.regularization.inhibitors import Inhibitor, Sinusoid


@dataclass(frozen=True)
class SquaredChord(Inhibitor):
    """f(d) = 2 (1 - cos d) = 4 sin^2(d / 2): the squared straight distance of two points of the unit sphere.

    For 0 <= d <= pi. Collapses learned points.

    >>> SquaredChord()(torch.tensor([0.0, torch.pi])).tolist()
    [0.0, 4.0]
    """

    @property
    def collapses(self) -> bool:
        return True

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        return 4 * torch.sin(0.5 * safe_sqrt(squared)) ** 2


class LeastSquares(TypedDict):
    """The arguments that `least_squares` gives."""

    inhibitor: Inhibitor
    repulsion: Inhibitor
    scale: float


def least_squares(sphere: Sphere) -> LeastSquares:
    """f(d) = 2 (1 - cos d), r(d) = cos^2 d and the radius as scale: E = mean_jk (cos(d(x_j, x_k) / radius) - c_jk)^2.

    But for a constant, mean_jk (2 c_jk - c_jk^2): the cosine of two points' angle is fitted to the units' correlation.
    S^k holds any correlation matrix of rank k + 1 exactly.

    Args:
        sphere: where the points are.

    Returns:
        Keywords of `Coactivity`, `coactivity_energy`, `fit_positions` and `fit_to_correlations`.

    Raises:
        TypeError: if it is no sphere.

    Reference: Grubisic and Pietersz 2005, Efficient rank reduction of correlation matrices,
    https://hdl.handle.net/1765/1933

    >>> from riemod.regularization import Coactivity, coactivity_energy
    >>> circle = Sphere(1)
    >>> Coactivity(**least_squares(circle)).scale
    5.0
    >>> points = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> coactivity_energy(points, torch.eye(2), circle, **least_squares(circle)).item()  # 0 but for mean(2 c - c^2)
    0.5
    """
    if not isinstance(sphere, Sphere):
        raise TypeError(f"sphere must be a Sphere, got {type(sphere).__name__}")
    return {"inhibitor": SquaredChord(), "repulsion": Sinusoid(amplitude=0.5, frequency=2.0), "scale": sphere.radius}
