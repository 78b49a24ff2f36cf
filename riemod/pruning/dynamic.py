"""Dynamic sparse training: masks move while the net trains, at a constant sparsity."""

import math
import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from riemod._checks import check_integer, check_module, check_repeats, check_type, shown
from riemod.masks import mask_optimizer_state, masked_parameters
from riemod.pruning.geometric import check_temperature, geometric_prior, pair_costs
from riemod.pruning.selection import drop_smallest
from riemod.regularization.penalized import RecurrentWeight
from riemod.regularization.regularizer import ModuliRegularizer

__all__ = ["DynamicSparsePruner"]


class DynamicSparsePruner:
    """Moves masks every k steps: drops the alpha_t N kept weights of least |w|, and grows as many others.

    New weights are those with the largest |gradient| exp(-f / T), where alpha_t = drop_fraction / 2
    (1 + cos(pi t / steps)) at step t, and N is the number of kept weights of a parameter. Each masked parameter is
    treated alone, so its sparsity stays exactly the same. Without a regularizer f = 0 for every pair, which is RigL.
    With one, f is the cost of the pair at the present points, or the cost that a control
    (`riemod.regularization.controls`) gives. As in RigL's code, dropped weights are candidates for growth too; one that
    is chosen keeps its value. New weights start at 0. Equal weights rank by flat index.

    Call `step` after `backward` and before gradients are clipped or masked, because it needs the gradients of dropped
    entries, which autograd computes anyway. Then call `optimizer.step()`; riemod's optimizers and `attach_masks` keep
    dropped entries at 0. (RigL skips the optimizer's step whenever it moves the mask; here that step is made.)

    Args:
        model: has masks, as from `apply_masks`; they are looked up whenever they are moved.
        moduli: gives the costs of the weights that it penalizes; f = 0 for all other weights, and for all if None.
        steps: t from which the masks no longer move, >= 1; RigL takes three quarters of the training.
        update_every: k >= 1.
        drop_fraction: alpha_0, in (0, 1].
        temperature: T > 0 in units of the cost f.

    Raises:
        TypeError: `model` is no module, or `moduli` no regularizer.
        ValueError: a number is out of its range, or the model has no masks.

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
        check_module("model", model)
        if moduli is not None:
            check_type("moduli", moduli, ModuliRegularizer, "a ModuliRegularizer or None")
        self.steps = check_repeats("steps", steps)
        self.update_every = check_integer("update_every", update_every, 1)
        if isinstance(drop_fraction, bool) or not isinstance(drop_fraction, Real) or not 0 < drop_fraction <= 1:
            raise ValueError(f"drop_fraction must be above 0 and at most 1, got {shown(drop_fraction)}")
        check_temperature(temperature)
        if temperature == 0:
            raise ValueError("temperature must be above 0, got 0")
        if next(masked_parameters(model), None) is None:
            raise ValueError("model must have masks to move, got none: apply_masks gives it some")
        self.model, self.moduli = model, moduli
        self.drop_fraction, self.temperature = drop_fraction, temperature
        self._done = 0

    @torch.no_grad()
    def step(self, optimizer: Optimizer | None = None) -> int:
        """Count one step, and move the masks at every k-th.

        A parameter without a gradient is left as it is, and so is one whose weights or gradient hold NaN or infinity. A
        warning names those without a gradient, or with one that is 0 at each pruned entry: it was masked or used up
        before this call, and no weight of use can grow.

        Args:
            optimizer: its moments are set to 0 for entries that are dropped or new.

        Returns:
            The number of weights that were moved, in all masks together.
        """
        present, self._done = self._done, self._done + 1
        if not 0 < present < self.steps or present % self.update_every:
            return 0
        share = self.drop_fraction / 2 * (1 + math.cos(math.pi * present / self.steps))
        priors = self._priors()
        moved, blind = 0, list[str]()
        for name, weight, mask in masked_parameters(self.model):
            gradient = weight.grad
            if weight.requires_grad and not mask.all() and _is_blind(gradient, mask):
                blind.append(name)
            if gradient is not None and bool(gradient.isfinite().all() and weight.isfinite().all()):
                scores = gradient.abs().double() * priors.get(id(weight), 1.0)
                new = _moved(weight, mask, scores, share)
                staying = mask & new
                moved += int((mask ^ new).count_nonzero()) // 2
                mask.copy_(new)
                weight.detach().masked_fill_(~staying, 0)
                if optimizer is not None:
                    mask_optimizer_state(optimizer, [(weight, staying)])
        if blind:
            warnings.warn(
                f"gradients of {', '.join(blind)} must show which pruned weights to grow, got none or 0 at each pruned "
                "entry: call step after backward(), and before optimizer.step(), mask_gradients() and zero_grad()",
                stacklevel=2,
            )
        return moved

    def state_dict(self) -> dict[str, int]:
        """Return {"step": the number of steps so far}; the masks are in the model's own state dict."""
        return {"step": self._done}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned.

        Raises:
            ValueError: the step is missing or no integer >= 0, or there are other keys.
        """
        if set(state_dict) != {"step"}:
            raise ValueError(f"state_dict must hold the key step alone, got {sorted(state_dict)}")
        self._done = check_integer("step", state_dict["step"], 0)

    def _priors(self) -> dict[int, Tensor]:
        """Return exp(-f / T) by the id of each parameter that the regularizer penalizes, to broadcast over kernels."""
        priors: dict[int, Tensor] = {}
        if self.moduli is None or self.temperature == math.inf:
            return priors
        for layer, target in enumerate(self.moduli.weights):
            whole, part = target.whole, target.tensor
            prior = geometric_prior(pair_costs(self.moduli, layer), self.temperature)
            prior = prior.repeat(len(part) // target.neurons, 1).view(*part.shape[:2], *[1] * (part.ndim - 2))
            columns = target.columns if isinstance(target, RecurrentWeight) else None
            if columns is not None:
                # Columns that are not penalized have f = 0.
                own = priors.get(id(whole), prior.new_ones(whole.shape))
                own[:, slice(*columns)] = prior
                prior = own
            priors[id(whole)] = prior
        return priors


def _moved(weight: Tensor, mask: Tensor, scores: Tensor, share: float) -> Tensor:
    """Return the mask after round(share * kept) entries were exchanged, or as many as were dropped before."""
    total, kept = mask.numel(), int(mask.count_nonzero())
    count = min(round(share * kept), total - kept)
    left = drop_smallest([weight], [mask], total - kept + count)[0]
    return left | drop_smallest([scores], [~left], total - count)[0]


def _is_blind(gradient: Tensor | None, mask: Tensor) -> bool:
    """Return whether a gradient tells nothing about pruned entries."""
    return gradient is None or not bool(gradient.masked_fill(mask, 0).any())
