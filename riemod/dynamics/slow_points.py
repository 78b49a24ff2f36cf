"""Fixed and slow points of a recurrent net, where its state hardly moves."""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from riemod._checks import check_at_least, check_positive, check_repeats, shown
from riemod.dynamics._arguments import check_rows, check_step
from riemod.dynamics.jacobians import jacobian_spectra, jacobians
from riemod.dynamics.recurrent_map import Step

__all__ = ["SlowPoints", "slow_points"]


class SlowPoints(NamedTuple):
    """Holds the p points that `slow_points` finds, the slowest first."""

    states: Float[Tensor, "p s"]
    """The points h."""
    speeds: Float[Tensor, " p"]
    """q = |F(h, u) - h|^2 / 2 at each point, in the squared unit of the state."""
    eigenvalues: Complex[Tensor, "p s"]
    """Eigenvalues of dF/dh at each point, sorted by absolute value, the largest first."""
    unstable: Int64[Tensor, " p"]
    """The number of eigenvalues above 1 in absolute value: 0 at a stable point, some but not all at a saddle."""
    starts: Int64[Tensor, " p"]
    """The number of starts that ended at each point."""


def slow_points(
    step: Step,
    states: Float[Tensor, "k s"],
    u: Float[Tensor, " m"],
    *,
    tolerance: float = 1e-6,
    merge: float = 1e-2,
    steps: int = 2000,
    learning_rate: float = 1e-2,
) -> SlowPoints:
    """Find the local minima of q(h) = |F(h, u) - h|^2 / 2 with q <= tolerance, from many starts.

    Adam (betas 0.9 and 0.99) moves all starts at the same time, and its learning rate falls to 0 along a cosine. A
    start moves by at most about learning_rate * steps / 2 in each component. An end within `merge` of a slower one is
    counted as that one, so a line or ring of fixed points leaves about one point every `merge`. Takes O(steps k s^2)
    time: about a minute for k = 256, s = 512 on one core.

    Args:
        step: F, for example from `recurrent_map`.
        states: (k, s), the starts: states of trajectories, with or without added noise.
        u: (m,), the constant input, often 0.
        tolerance: largest q that is kept; about 1e-10 tells fixed points from slow ones.
        merge: distance below which two points are one, >= 0.
        steps: number of steps of Adam, >= 1.
        learning_rate: of Adam at the start, > 0.

    Returns:
        The points; none if no start came below the tolerance.

    Raises:
        TypeError: if states or u are not floating-point tensors.
        ValueError: if they hold NaN, their sizes do not fit the step, or a number is out of range.

    Reference: Sussillo and Barak 2013, https://doi.org/10.1162/NECO_a_00409

    >>> halved = slow_points(lambda h, u: h / 2 + u, torch.ones(4, 2), torch.tensor([1.0, 0.0]))
    >>> (halved.states.round(decimals=3) + 0.0).tolist(), halved.unstable.tolist(), halved.starts.tolist()
    ([[2.0, 0.0]], [0], [4])
    """
    check_positive("tolerance", tolerance)
    check_positive("learning_rate", learning_rate)
    check_at_least("merge", merge, 0)
    check_repeats("steps", steps)
    found = check_rows(states, "states").clone().requires_grad_()
    if not (isinstance(u, Tensor) and u.ndim == 1):
        raise ValueError(f"u must have the shape (m,), got {tuple(u.shape) if isinstance(u, Tensor) else shown(u)}")
    inputs = check_rows(u[None], "u").expand(len(found), -1)
    check_step(step, found.detach(), inputs)

    def speeds() -> Tensor:
        return (torch.vmap(step)(found, inputs) - found).square().sum(1) / 2

    # With the usual beta of 0.999, large first gradients would keep the steps small to the end.
    optimizer = torch.optim.Adam([found], lr=learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with torch.enable_grad():
        for _ in range(steps):
            found.grad = torch.autograd.grad(speeds().sum(), found)[0]
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        ends, left = found.detach(), speeds()
    order = left.argsort(stable=True)
    kept: list[int] = []
    starts: list[int] = []
    for end in order[left[order] <= tolerance].tolist():
        gaps = (ends[kept] - ends[end]).norm(dim=1)
        if kept and gaps.min() <= merge:
            starts[int(gaps.argmin())] += 1
        else:
            kept.append(end)
            starts.append(1)
    if not kept:
        none = ends.new_zeros(0, ends.shape[1])
        return SlowPoints(none, left[:0], none.to(torch.complex128), order[:0], order[:0])
    eigenvalues = jacobian_spectra(jacobians(step, ends[kept], inputs[kept])).eigenvalues
    return SlowPoints(ends[kept], left[kept], eigenvalues, (eigenvalues.abs() > 1).sum(1), torch.tensor(starts))
