"""Dynamic sparse training: the mask moves while the net trains, at a sparsity that never changes."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from riemod.masks import mask_optimizer_state, masked_parameters
from riemod.pruning.geometric import check_temperature, geometric_prior
from riemod.pruning.selection import drop_smallest
from riemod.regularization.regularizer import ModuliRegularizer

__all__ = ["DynamicSparsePruner"]


class DynamicSparsePruner:
    """Every k steps drop the alpha_t N kept weights of least |w|; grow as many where |gradient| exp(-f / T) is largest.

    alpha_t = drop_fraction / 2 (1 + cos(pi t / steps)) at step t; N is the number of kept weights of a parameter, and
    each parameter that has a mask is treated alone, so its sparsity stays exactly what it was. Without a regularizer
    every pair is alike: RigL. With one, f is the cost of the pair at the points as they then are; with a control
    (`riemod.regularization.controls`), the control's. The dropped weights are candidates for growth too, as in RigL's
    code: one that is chosen stays as it is. Weights that are new start at 0. Ties go by flat index.

    Call `step` after `backward`, before gradients are clipped or masked: it wants the gradient of empty entries, which
    autograd gives anyway. Then `optimizer.step()`; riemod's optimizers, or `attach_masks`, keep the empty entries at 0.
    (RigL leaves out the optimizer's step whenever it moves the mask; here it is made.)

    Args:
        model: has masks, as from `apply_masks`; they are looked up anew whenever they are moved.
        moduli: gives the costs of the weights that it penalizes; None, and any other weight, has f = 0.
        steps: t at which the mask comes to rest; RigL's choice is three quarters of the training.
        update_every: k >= 1.
        drop_fraction: alpha_0, in (0, 1].
        temperature: T > 0 in units of the cost f.

    Raises:
        TypeError: an argument of another type.
        ValueError: a number out of its range, or a model without masks.

    Reference: Evci et al. 2020, https://arxiv.org/abs/1911.11134 (RigL).

    >>> from riemod.masks import apply_masks
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> apply_masks(layer, {"weight": torch.tensor([[True, False]])})
    >>> dynamic = DynamicSparsePruner(layer, steps=10, update_every=1, drop_fraction=1.0)
    >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    >>> moved = []
    >>> for _ in range(2):
    ...     layer.weight.grad = torch.tensor([[1.0, 2.0]])
    ...     moved.append(dynamic.step(optimizer))
    >>> moved, layer.weight_mask.tolist(), layer.weight.tolist()
    ([0, 1], [[False, True]], [[0.0, 0.0]])
    """

    def __init__(
        self,
        model: Module,
        moduli: ModuliRegularizer | None = None,
        *,
        steps: int,
        update_every: int = 100,
        drop_fraction: float = 0.3,
        temperature: float = 10.0,
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        if moduli is not None and not isinstance(moduli, ModuliRegularizer):
            raise TypeError(f"moduli must be a ModuliRegularizer or None, got {type(moduli).__name__}")
        for name, value in (("steps", steps), ("update_every", update_every)):
            _check_count(name, value, 1)
        if isinstance(drop_fraction, bool) or not isinstance(drop_fraction, int | float):
            raise TypeError(f"drop_fraction must be a number, got {drop_fraction!r}")
        if not 0 < drop_fraction <= 1:
            raise ValueError(f"drop_fraction must be above 0 and at most 1, got {drop_fraction!r}")
        check_temperature(temperature)
        if temperature == 0:
            raise ValueError("temperature must be above 0, got 0")
        if next(masked_parameters(model), None) is None:
            raise ValueError("model must have masks to move, got none: apply_masks gives it some")
        self.model, self.moduli = model, moduli
        self.steps, self.update_every = steps, update_every
        self.drop_fraction, self.temperature = drop_fraction, temperature
        self._done = 0

    @torch.no_grad()
    def step(self, optimizer: Optimizer | None = None) -> int:
        """Count one step, and move the masks if it is the turn of that.

        A parameter whose weights or gradient hold NaN or infinity is left as it is, and so is one without a gradient.

        Args:
            optimizer: its moments are zeroed for entries that are dropped or new.

        Returns:
            How many weights were moved, all masks together.
        """
        present, self._done = self._done, self._done + 1
        if not 0 < present < self.steps or present % self.update_every:
            return 0
        share = self.drop_fraction / 2 * (1 + math.cos(math.pi * present / self.steps))
        priors = self._priors()
        moved = 0
        for _, weight, mask in masked_parameters(self.model):
            gradient = weight.grad
            if gradient is not None and bool(gradient.isfinite().all() and weight.isfinite().all()):
                scores = gradient.abs().double() * priors.get(id(weight), 1.0)
                new = _moved(weight, mask, scores, share)
                staying = mask & new
                moved += int((mask ^ new).count_nonzero()) // 2
                mask.copy_(new)
                weight.detach().masked_fill_(~staying, 0)
                if optimizer is not None:
                    mask_optimizer_state(optimizer, [(weight, staying)])
        return moved

    def state_dict(self) -> dict[str, int]:
        """{"step": the number of steps so far}; the masks are in the model's own."""
        return {"step": self._done}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            TypeError: the step is no int.
            ValueError: it is missing or negative, or there are other keys.
        """
        if set(state_dict) != {"step"}:
            raise ValueError(f"state_dict must hold the key step alone, got {sorted(state_dict)}")
        _check_count("step", state_dict["step"], 0)
        self._done = state_dict["step"]

    def _priors(self) -> dict[int, Tensor]:
        """exp(-f / T) for the weights that the regularizer penalizes, broadcast over gates and kernels."""
        priors: dict[int, Tensor] = {}
        if self.moduli is None or self.temperature == math.inf:
            return priors
        for layer, target in enumerate(self.moduli.weights):
            weight = target.tensor
            prior = geometric_prior(self.moduli.coefficients(layer), self.temperature)
            prior = prior.repeat(len(weight) // target.neurons, 1)
            priors[id(weight)] = prior.view(*prior.shape, *[1] * (weight.ndim - 2))
        return priors


def _moved(weight: Tensor, mask: Tensor, scores: Tensor, share: float) -> Tensor:
    """The mask after round(share * kept) of the kept entries were exchanged, or as many as there are empty ones."""
    total, kept = mask.numel(), int(mask.count_nonzero())
    count = min(round(share * kept), total - kept)
    left = drop_smallest([weight], [mask], total - kept + count)[0]
    return left | drop_smallest([scores], [~left], total - count)[0]


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
