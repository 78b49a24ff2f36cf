"""A strength that nobody has to guess: the penalty's gradient stays at a set share of the task's."""

import functools
from typing import Any, final

import torch
from torch import Tensor, nn

from riemod._checks import check_integer, check_positive, check_setting, check_type
from riemod._torch import outside_graphs
from riemod.regularization.penalized import Owner
from riemod.regularization.regularizer import ModuliRegularizer

__all__ = ["SHARE", "AutoStrength"]

SHARE = 0.003
"""The share of the task's gradient that is held where no other one is asked for."""

# Of the square of a float32 gradient.
_ROUNDING = 1e-12
_FIXED = {"moduli": "build a new AutoStrength on the other regularizer"}
_SETTINGS = {
    "share": check_positive,
    "every": functools.partial(check_integer, least=1),
    "memory": functools.partial(check_integer, least=1),
}


@final
class AutoStrength(nn.Module):
    """Scales the penalty so that its gradient on the weights has `share` times the norm of the task's gradient.

    Calling it returns factor * moduli(), the scalar to add to the task's loss. `update()` reads the gradients after the
    backward pass and sets the factor for the next steps:

        factor = share * exp(mean over updates of log(|g| / |r|)),

    where r is the gradient of moduli(), and g that of the task, both over the weights that pay: what a mask holds at 0
    has no part in either. The mean is exponential, of logarithms, so that single steps with huge gradients, as
    recurrent nets have them, count little. No number is read from the device. Before the first update the factor is 0.

    The strength of Eq. 6 that this comes to is `strength`, factor * moduli.strength. It does not depend on the unit of
    the costs: the regularizer, its `reduction` and all controls of it can be exchanged with no other number changed.

    Args:
        moduli: its own strength must be above 0, and is of no other account.
        share: of the task's gradient, > 0.
        every: k >= 1: look at the gradients on every k-th call of `update` only, the first included.
        memory: number of looks over which the mean decays to 1 / e, >= 1.

    All three may be set at any time. Factor, mean and number of calls are in the `state_dict`, so that training resumes
    with the same bits.

    Raises:
        TypeError: `moduli` is no ModuliRegularizer.
        ValueError: its strength is 0, or a number is out of its range.

    >>> from riemod.manifolds import Torus
    >>> rnn = nn.RNN(2, 16)
    >>> moduli = ModuliRegularizer(rnn, Torus(2))
    >>> penalty = AutoStrength(moduli)
    >>> optimizer = torch.optim.Adam(rnn.parameters())
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (rnn(torch.ones(5, 3, 2))[0].square().mean() + penalty()).backward()
    ...     penalty.update()  # before gradients are clipped
    ...     optimizer.step()
    >>> bool(penalty.strength > 0)
    True
    """

    factor: Tensor
    calls: Tensor
    _level: Tensor
    _seen: Tensor

    def __init__(self, moduli: ModuliRegularizer, share: float = SHARE, *, every: int = 10, memory: int = 100) -> None:
        super().__init__()
        check_type("moduli", moduli, ModuliRegularizer, "a ModuliRegularizer")
        if moduli.strength == 0:
            raise ValueError("moduli must have a strength above 0, which is scaled, got 0")
        self.share, self.every, self.memory = share, every, memory
        # Not a part of this module: its points are saved and trained as the regularizer's.
        self._owner = Owner(moduli)
        device = moduli.weights[0].tensor.device
        for name in ("factor", "_level", "_seen"):
            self.register_buffer(name, torch.zeros((), device=device))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64, device=device))
        self._calls: int | None = 0
        self.register_load_state_dict_post_hook(_forget_calls)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, check_setting(self, name, value, _FIXED, _SETTINGS))

    @property
    def moduli(self) -> ModuliRegularizer:
        """Return the regularizer whose penalty is scaled."""
        moduli = self._owner.module
        assert isinstance(moduli, ModuliRegularizer)
        return moduli

    @property
    def strength(self) -> Tensor:
        """Return the strength of Eq. 6 as it stands, factor * moduli.strength, a scalar on the device."""
        return self.factor * self.moduli.strength

    @outside_graphs
    def forward(self) -> Tensor:
        """Return factor * moduli(), a scalar of the weights' dtype."""
        penalty = self.moduli()
        return self.factor.to(penalty.dtype) * penalty

    @torch.no_grad()
    def update(self, scale: float = 1.0) -> None:
        """Set the factor from the gradients that are there: after the backward pass, before they are clipped.

        With gradient accumulation call it once a step, with losses that were divided by the number of their parts. In
        data-parallel training every process comes to the same factor, for gradients are averaged by then.

        Args:
            scale: factor by which all gradients that are there were multiplied, > 0: that of a `torch.amp.GradScaler`
                which has not unscaled them.

        Raises:
            ValueError: the scale is not above 0.
            RuntimeError: a penalized weight has no gradient.
        """
        check_positive("scale", scale)
        if self._calls is None:
            self._calls = int(self.calls)
        due = self._calls % self.every == 0
        # The number is in the buffer to be saved, and beside it to be read without waiting for a GPU.
        self._calls += 1
        self.calls.fill_(self._calls)
        if due:
            task, penalty = self._squared_norms(scale)
            level = 0.5 * (task / penalty).log()
            # Where one of the gradients is 0 there is no share to hold; that of the task is a difference, and no more
            # than its rounding is 0.
            known = level.isfinite() & (task > _ROUNDING * self.factor.square() * penalty)
            decay = 1 - 1 / (1 + self.memory)
            self._level.copy_(torch.where(known, decay * self._level + (1 - decay) * level, self._level))
            self._seen.copy_(torch.where(known, decay * self._seen + (1 - decay), self._seen))
            mean = self._level / self._seen
            self.factor.copy_(torch.where(self._seen > 0, self.share * mean.exp(), self.factor))

    def extra_repr(self) -> str:
        return f"share={self.share:g}, every={self.every}, memory={self.memory}"

    def _squared_norms(self, scale: float) -> tuple[Tensor, Tensor]:
        """Return |g|^2 of the task and |r|^2 of the penalty, over the weights whose penalty has a gradient."""
        moduli = self.moduli
        weights = list({id(weight.whole): weight.whole for weight in moduli.weights}.values())
        task, penalty = self.factor.new_zeros(()), self.factor.new_zeros(())
        with torch.enable_grad(), torch.autocast(weights[0].device.type, enabled=False):
            # Not moduli(), which counts its calls.
            total = moduli.costs.penalty(moduli.terms, moving=False)
            if not total.requires_grad:
                return task, penalty
            pulls = torch.autograd.grad(total, weights, allow_unused=True)
        for weight, pull in zip(weights, pulls, strict=True):
            if pull is None:
                continue
            if weight.grad is None:
                raise RuntimeError("update must come after the backward pass, but a penalized weight has no gradient")
            own = pull.to(self.factor.dtype)
            rest = (weight.grad.to(own) / scale - self.factor * own).masked_fill(own == 0, 0.0)
            task, penalty = task + rest.square().sum(), penalty + own.square().sum()
        return task, penalty


def _forget_calls(module: nn.Module, _: Any) -> None:
    assert isinstance(module, AutoStrength)
    module._calls = None
