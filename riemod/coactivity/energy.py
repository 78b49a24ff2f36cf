"""Points from co-activity: units that are active together are drawn together, units that exclude each other apart.

The second source of evidence about where neurons are, beside their weights (Eq. 6): the signed correlations c_jk of the
hidden units' activity. Points are found by descent in sum_jk f(d(x_j, x_k) / scale) c_jk, and by choice a repulsion
r(d / scale) of all pairs, while the net trains (`ModuliRegularizer(evidence=Coactivity(...))`) or afterwards
(`fit_positions`).
"""

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from riemod._checks import check_positive, check_share
from riemod.manifolds.base import Manifold
from riemod.regularization.budget import Scaled
from riemod.regularization.inhibitors import DifferenceOfGaussians, Gaussian, Inhibitor, as_inhibitor
from riemod.regularization.penalty import check_weight, penalty_of_coordinates

# Of the mean distance of uniform points: f's wide Gaussian then has a standard deviation of 0.44 of it.
_REACH = 0.28
# In that unit. Signed correlations keep points apart, and without a dear center, as a difference of Gaussians has, they
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


def coactivity_energy(
    points: Float[Tensor, "n k"],
    correlations: Float[Tensor, "n n"],
    manifold: Manifold,
    inhibitor: Inhibitor | Callable[[Tensor], Tensor] | None = None,
    scale: float | None = None,
    repulsion: Inhibitor | Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, ""]:
    """E = mean_jk [f(d_jk / scale) c_jk + r(d_jk / scale)], d_jk = d(x_j, x_k), with signed c.

    Least where units that are active together are near. One pass of the penalty's tiles over positive correlations, one
    over negative ones, and one for the repulsion: no array of size n x n x dim. Positive ones alone would contract all
    points.

    Args:
        points: (n, coordinate_dim), x_j.
        correlations: (n, n), c; no gradient is computed for it.
        manifold: gives d.
        inhibitor: f; `DifferenceOfGaussians()` if not given.
        scale: the length that f and r take for 1, > 0; `natural_scale(manifold)` if not given.
        repulsion: r; none if not given.

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
    laws = scaled_laws(manifold, inhibitor, scale, repulsion)
    with torch.autocast(points.device.type, enabled=False):
        return energy_of_coordinates(manifold.coordinates(points), correlations, manifold, laws)


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


class Laws(NamedTuple):
    """What the energy takes of a distance."""

    inhibitor: Inhibitor
    repulsion: Inhibitor | None


def scaled_laws(
    manifold: Manifold,
    inhibitor: Inhibitor | Callable[[Tensor], Tensor] | None,
    scale: float | None,
    repulsion: Inhibitor | Callable[[Tensor], Tensor] | None = None,
) -> Laws:
    """f(d / scale) and r(d / scale), with the defaults of `coactivity_energy`."""
    inhibitor = DifferenceOfGaussians() if inhibitor is None else as_inhibitor(inhibitor)
    factor = 1 / (natural_scale(manifold) if scale is None else check_positive("scale", scale))
    return Laws(Scaled(inhibitor, factor), None if repulsion is None else Scaled(as_inhibitor(repulsion), factor))


def energy_of_coordinates(coordinates: Tensor, correlations: Tensor, manifold: Manifold, laws: Laws) -> Tensor:
    """`coactivity_energy` from tile coordinates and laws that are scaled already, unchecked."""
    factor = 1 / correlations.numel()

    def total(weight: Tensor, law: Inhibitor) -> Tensor:
        return penalty_of_coordinates(weight, coordinates, coordinates, manifold, law, 1, factor)

    energy = total(correlations.clamp_min(0), laws.inhibitor) - total((-correlations).clamp_min(0), laws.inhibitor)
    if laws.repulsion is None:
        return energy
    return energy + total(correlations.new_ones(()).expand_as(correlations), laws.repulsion)
