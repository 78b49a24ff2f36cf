"""Running correlations of hidden units, batch by batch."""

from collections.abc import Callable
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from riemod._arrays import check_tensor
from riemod._checks import check_integer, check_share, check_type
from riemod._machine import check_fits


class RunningCorrelations(nn.Module):
    """Accumulates correlations c_jk = M_jk / sqrt(M_jj M_kk), M the co-moments of all states seen, in float64.

    Chan's update makes batches in any split and order give the correlations of the whole, to rounding. A unit that was
    never seen to change has correlation 0 with every unit, itself included. Memory is n^2 numbers, all of them in the
    `state_dict`.

    Args:
        size: n, the number of units, >= 1.
        forget: share of what was seen that each `observe` drops first, in [0, 1), for nets that train; 0 keeps all.

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
        self.size, self.forget = check_integer("size", size, least=1), check_share("forget", forget)
        check_fits("size", size, 8 * size**2)
        for name, shape in (("count", ()), ("origin", size), ("mean", size), ("comoments", (size, size))):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    @torch.no_grad()
    def observe(self, states: Tensor) -> None:
        """Take the activity of the units into account.

        Args:
            states: (..., n), of any floating dtype; every row is one observation.

        Raises:
            TypeError: if it is not a floating-point tensor.
            ValueError: if it is not (..., n), is on another device, or holds NaN or infinity; nothing changes then. A
                GPU would have to wait for the answer: there NaN goes into all that was seen.
        """
        if not isinstance(states, Tensor):
            raise TypeError(f"states must be a tensor, got {type(states).__name__}")
        if not states.is_floating_point():
            raise TypeError(f"states must be floating-point, got {states.dtype}")
        check_tensor("states", states)
        if states.ndim < 1 or states.shape[-1] != self.size:
            raise ValueError(f"states must have shape (..., {self.size}), got {tuple(states.shape)}")
        if states.device != self.count.device:
            raise ValueError(f"states must be on {self.count.device}, got {states.device}")
        rows = states.detach().reshape(-1, self.size).double()
        if not len(rows):
            return
        if rows.device.type == "cpu" and not bool(torch.isfinite(rows).all()):
            raise ValueError("states must be finite, got NaN or infinity")
        self.origin.copy_(torch.where(self.count > 0, self.origin, rows[0]))
        # Relative to one of the states, a unit that never changes is exactly 0.
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
        """Return the correlations of all that was seen, in [-1, 1]; all are 0 until two different states were seen.

        Raises:
            TypeError: if the dtype is not a floating-point one.
        """
        if not check_type("dtype", dtype, torch.dtype, "a torch.dtype").is_floating_point:
            raise TypeError(f"dtype must be floating-point, got {dtype}")
        variances = self.comoments.diagonal()
        inverse = torch.where(variances > 0, variances.clamp_min(torch.finfo(torch.float64).tiny).rsqrt(), 0.0)
        return (self.comoments * inverse * inverse.unsqueeze(1)).clamp_(-1, 1).to(dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # `.half()` and the like are meant for points; sums of millions of states stay in float64.
        return super()._apply(lambda tensor: tensor.to(fn(tensor.new_empty(0)).device), recurse)

    def extra_repr(self) -> str:
        return f"size={self.size}, forget={self.forget:g}"
