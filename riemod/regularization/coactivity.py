"""Points from co-activity: units that are active together are drawn together, units that exclude each other apart.

The second source of evidence about where neurons are, beside their weights (Eq. 6): the signed correlations c_jk of the
hidden units' activity. Points are found by descent in sum_jk f(d(x_j, x_k) / scale) c_jk, while the net trains
(`ModuliRegularizer(coactivity=Coactivity(...))`) or afterwards (`fit_positions`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from riemod.manifolds._checks import check_positive
from riemod.manifolds.base import Manifold
from riemod.regularization.budget import Scaled
from riemod.regularization.inhibitors import DifferenceOfGaussians, Gaussian, Inhibitor, as_inhibitor
from riemod.regularization.penalty import check_weight, penalty_of_coordinates

# Of the mean distance of uniform points: f's wide Gaussian then has a standard deviation of 0.44 of it.
_REACH = 0.28
# In that unit. Signed correlations keep points apart, and without a dear centre, as a difference of Gaussians has, they
# can pass each other: it unfolds what the other catches in folds.
WIDE = Gaussian(amplitude=100.0, width=10.0)


class RunningCorrelations(nn.Module):
    """c_jk = M_jk / sqrt(M_jj M_kk), M the co-moments of all states seen so far, by Chan's update, in float64.

    Batches in any split and order give the correlations of the whole, to rounding. A unit that was never seen to change
    has correlation 0 with every unit, itself included. Memory is n^2 numbers, and all of it is in the `state_dict`.

    Args:
        size: n, the number of units, >= 1.
        forget: share of what was seen that each `observe` drops first, in [0, 1); 0 keeps all. For nets that train.

    Raises:
        ValueError: if an argument is out of its range.

    Reference: Chan, Golub and LeVeque 1982, https://doi.org/10.1007/978-3-642-51461-6_3.

    >>> seen = RunningCorrelations(2)
    >>> seen.observe(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    >>> seen.observe(torch.tensor([[[2.0, -1.0]]]))
    >>> seen.correlations()
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """

    count: Tensor
    origin: Tensor
    mean: Tensor
    comoments: Tensor

    def __init__(self, size: int, *, forget: float = 0.0) -> None:
        super().__init__()
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"size must be an integer >= 1, got {size!r}")
        self.size, self.forget = size, check_share("forget", forget)
        for name, shape in (("count", ()), ("origin", size), ("mean", size), ("comoments", (size, size))):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    @torch.no_grad()
    def observe(self, states: Tensor) -> None:
        """Take up the activity of the units.

        Args:
            states: (..., n), of any floating dtype; every row is one observation.

        Raises:
            TypeError: if it is not a floating-point tensor.
            ValueError: if it is not (..., n), is on another device, or holds NaN or infinity; nothing is taken up then.
        """
        if not isinstance(states, Tensor):
            raise TypeError(f"states must be a tensor, got {type(states).__name__}")
        if not states.is_floating_point():
            raise TypeError(f"states must be floating-point, got {states.dtype}")
        if states.ndim < 1 or states.shape[-1] != self.size:
            raise ValueError(f"states must have shape (..., {self.size}), got {tuple(states.shape)}")
        if states.device != self.count.device:
            raise ValueError(f"states must be on {self.count.device}, got {states.device}")
        rows = states.detach().reshape(-1, self.size).double()
        if not len(rows):
            return
        if not bool(torch.isfinite(rows).all()):
            raise ValueError("states must be finite, got NaN or infinity")
        if not bool(self.count > 0):
            self.origin.copy_(rows[0])
        # Around one state that was seen, a unit that never changes is exactly 0.
        rows = rows - self.origin
        mean = rows.mean(0)
        rows -= mean
        self.count.mul_(1 - self.forget)
        self.comoments.mul_(1 - self.forget)
        total = self.count + len(rows)
        apart = mean - self.mean
        self.comoments.addmm_(rows.t(), rows).add_(torch.outer(apart, apart) * (self.count * len(rows) / total))
        self.mean.add_(apart * (len(rows) / total))
        self.count.copy_(total)

    def correlations(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "n n"]:
        """(n, n) correlations of all that was seen, in [-1, 1]; all 0 before two different states were."""
        variances = self.comoments.diagonal()
        inverse = torch.where(variances > 0, variances.clamp_min(torch.finfo(torch.float64).tiny).rsqrt(), 0.0)
        return (self.comoments * inverse * inverse.unsqueeze(1)).clamp_(-1, 1).to(dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # A module's change of dtype is for its points; sums of millions of states stay in float64.
        return super()._apply(lambda tensor: tensor.to(fn(tensor.new_empty(0)).device), recurse)

    def extra_repr(self) -> str:
        return f"size={self.size}, forget={self.forget:g}"


@dataclass(frozen=True)
class Coactivity:
    """What moves a regularizer's points besides, or instead of, Eq. 6: mean_jk f(d(x_j, x_k) / scale) c_jk.

    Args:
        inhibitor: f; a wide Gaussian if not given, which lets points pass each other on their way.
        scale: unit of length of f; `natural_scale` of the manifold if not given.
        strength: factor of the energy, > 0. Alone it matters little, for Adam divides by the gradient's size.
        alone: whether Eq. 6 then moves the weights alone; if not, it moves the points too.
        forget: share of the states seen that each `observe` drops, in [0, 1): a net that trains changes.

    Raises:
        ValueError: if a number is out of its range.
        TypeError: if the inhibitor is none.

    >>> Coactivity(strength=2.0).alone
    True
    """

    inhibitor: Inhibitor = WIDE
    scale: float | None = None
    strength: float = 1.0
    alone: bool = True
    forget: float = 0.05

    def __post_init__(self) -> None:
        if not isinstance(self.inhibitor, Inhibitor):
            raise TypeError(f"inhibitor must be an Inhibitor, got {type(self.inhibitor).__name__}")
        if self.scale is not None:
            check_positive("scale", self.scale)
        check_positive("strength", self.strength)
        check_share("forget", self.forget)


def coactivity_energy(
    points: Float[Tensor, "n k"],
    correlations: Float[Tensor, "n n"],
    manifold: Manifold,
    inhibitor: Inhibitor | Callable[[Tensor], Tensor] | None = None,
    scale: float | None = None,
) -> Float[Tensor, ""]:
    """E = mean_jk f(d(x_j, x_k) / scale) c_jk with signed c: least where units that are active together are near.

    Two passes of the penalty's tiles, one over positive correlations and one over negative ones: no array of
    size n x n x dim. Positive ones alone would contract all points.

    Args:
        points: (n, coordinate_dim), x_j.
        correlations: (n, n), c; no gradient is computed for it.
        manifold: gives d.
        inhibitor: f; `DifferenceOfGaussians()` if not given.
        scale: the length that f takes for 1, > 0; `natural_scale(manifold)` if not given.

    Returns:
        A scalar, differentiable once in the points and the manifold's parameters.

    Raises:
        ValueError: if a shape or device does not fit, a point is off the manifold, or scale is not positive.
        TypeError: if a dtype does not fit.

    >>> from riemod.manifolds import Torus
    >>> points, apart = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> coactivity_energy(points, apart, Torus(2), lambda d: d, scale=1.0).item()
    -2.5
    """
    manifold.check_points(points)
    check_weight(correlations, points, points)
    law = scaled_law(manifold, inhibitor, scale)
    with torch.autocast(points.device.type, enabled=False):
        return energy_of_coordinates(manifold.coordinates(points), correlations, manifold, law)


def natural_scale(manifold: Manifold) -> float:
    """The unit in which a default difference of Gaussians reaches over 0.4 of the mean distance of uniform points.

    Args:
        manifold: any; points are drawn from it by a fixed seed, which leaves an error of about 1 %.

    >>> from riemod.manifolds import Torus
    >>> round(natural_scale(Torus(2, period=20.0)) / natural_scale(Torus(2, period=10.0)), 3)
    2.0
    """
    x, y = (manifold.sample(256, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in (0, 1))
    with torch.no_grad():
        squared = manifold.squared_distance(manifold.coordinates(x), manifold.coordinates(y))
    return _REACH * squared.sqrt().mean().item()


def check_share(name: str, value: float) -> float:
    """The value as a float, or a ValueError unless it is in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")
    return float(value)


def scaled_law(
    manifold: Manifold, inhibitor: Inhibitor | Callable[[Tensor], Tensor] | None, scale: float | None
) -> Inhibitor:
    """f(d / scale), with the defaults of `coactivity_energy`."""
    inhibitor = DifferenceOfGaussians() if inhibitor is None else as_inhibitor(inhibitor)
    scale = natural_scale(manifold) if scale is None else check_positive("scale", scale)
    return Scaled(inhibitor, 1 / scale)


def energy_of_coordinates(coordinates: Tensor, correlations: Tensor, manifold: Manifold, law: Inhibitor) -> Tensor:
    """`coactivity_energy` from tile coordinates and a law that is scaled already, unchecked."""
    factor = 1 / correlations.numel()
    together, apart = (
        penalty_of_coordinates(part.clamp_min(0), coordinates, coordinates, manifold, law, 1, factor)
        for part in (correlations, -correlations)
    )
    return together - apart
