"""Magnitude pruning: the smallest weights, or blocks of weights, go."""

from collections.abc import Collection
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from riemod.masks import (
    check_mask_name_is_free,
    mask_gradients,
    mask_optimizer_state,
    register_mask,
    zero_pruned,
)
from riemod.pruning.blocks import Grid, drop_smallest_blocks
from riemod.pruning.orders import Order, block_layouts, find_orders, missing_orders, store_orders
from riemod.pruning.places import Place, Targets, find_places
from riemod.pruning.schedules import ConstantSchedule, Schedule, check_sparsity, check_whole
from riemod.pruning.selection import drop_smallest

__all__ = ["MagnitudePruner"]

Scope = Literal["global", "tensor"]


class MagnitudePruner:
    """Zeroes the round(sparsity * total) weights of least |w|, ranked over all targets together or in each alone.

    Weights that were pruned stay pruned: they rank first, and a lower sparsity than the present one changes nothing.
    Ties go by the order of the tensors in the model, then by flat index. The masks are buffers of the model
    (`riemod.masks`), so a pruner on a model, or a loaded checkpoint, that has masks continues from these, and
    copying model and pruner in one deepcopy keeps them together. Parameters are changed in place, never replaced.

    With `blocks`, tiles of that many rows and columns go whole, those of least root mean square first: as many as fit
    into round(sparsity * total) entries, so that the last block is missing at most. Tiles at edges are smaller, and a
    weight smaller than a block is one; gates are cut apart, and a kernel's slices are whole. `order` groups neurons by
    their order along the manifold (`riemod.manifolds.curve_order`). Whenever another block has to go, groups are formed
    anew, of the points as they then are. If the order has changed, entries of kept blocks come back, at the value 0:
    the one case where a mask gains entries. `orders` has the order of the last grouping.

    Args:
        model: its weights are changed only by `prune`, `start_epoch` and `apply`; building a pruner adds the masks.
        schedule: sparsity for each epoch (from 0), for `start_epoch`.
        targets: qualified parameter names, or (module, parameter name) pairs. By default every floating-point
            parameter with two or more dimensions: embeddings, input, hidden and output weights, no biases, and no
            geoopt ManifoldParameters. A parameter that is shared (tied) counts once, under its first name.
        scope: "global" ranks all targets together, "tensor" prunes each to the same sparsity. "global" ranks blocks
            apart from single weights.
        blocks: side of a block, >= 1; None for single weights.
        order: what stands next to what in blocks: a `ModuliRegularizer` of this model, for the weights it penalizes,
            by its points; or an int64 permutation (n,), for the recurrent weights with n neurons. Other targets are
            then pruned weight by weight, to the same sparsity. None: blocks in all targets, by index.

    Raises:
        TypeError: an argument of another type.
        ValueError: an unknown scope or target, a target that cannot be pruned, nothing to prune, a module that uses a
            mask's or an order's name for something else; `blocks` below 1, an `order` without blocks, of another
            model, of none of the targets, or no permutation. The model is then as it was.

    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> _ = model.load_state_dict({"weight": torch.tensor([[4.0, -1.0], [2.0, 3.0]])})
    >>> pruner = MagnitudePruner(model)
    >>> pruner.prune(0.5)
    >>> model.weight.tolist(), pruner.sparsity()
    ([[4.0, 0.0], [0.0, 3.0]], {'weight': 0.5, 'total': 0.5})
    """

    def __init__(
        self,
        model: Module,
        schedule: Schedule | None = None,
        *,
        targets: Targets | None = None,
        scope: Scope = "global",
        blocks: int | None = None,
        order: Order | None = None,
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
        if schedule is not None and not callable(schedule):
            raise TypeError(f"schedule: expected a callable epoch -> sparsity or None, got {schedule!r}")
        if scope not in ("global", "tensor"):
            raise ValueError(f'scope: expected "global" or "tensor", got {scope!r}')
        if blocks is not None:
            check_whole("blocks", blocks, 1)
        elif order is not None:
            raise ValueError("order: it is for blocks; give blocks as well")
        self.model = model
        self.schedule = schedule
        self.scope: Scope = scope
        self.blocks = blocks
        self._places = find_places(model, targets)
        self._layouts = {} if blocks is None else block_layouts(model, self._places, order)
        grids = self._grids()
        for place in self._places:
            check_mask_name_is_free(place.owner, place.attribute)
        missing = [
            (place.owner, *named)
            for place in self._places
            if place.name in grids
            for named in missing_orders(place.owner, place.attribute, grids[place.name]).items()
        ]
        for owner, name, own in missing:
            owner.register_buffer(name, own)
        for place in self._places:
            register_mask(place.owner, place.attribute)

    def start_epoch(self, epoch: int) -> float:
        """Prune to `schedule(epoch)` and return that sparsity; epochs count from 0.

        Raises:
            ValueError: no schedule, a negative epoch, or as `prune`.
        """
        if self.schedule is None:
            raise ValueError("schedule: this pruner was built without one; give it a schedule, or call prune(sparsity)")
        sparsity = self.schedule(epoch)
        self.prune(sparsity)
        return sparsity

    def prune(self, sparsity: float) -> None:
        """Drop the smallest weights, exactly round(sparsity * total), or blocks while they fit, and set these to 0.

        Args:
            sparsity: fraction of zeros, in [0, 1]; below the present one it changes no mask.

        Raises:
            TypeError: `sparsity` is no number.
            ValueError: `sparsity` outside [0, 1], or a target or a point of the order holds NaN or infinity; nothing
                was changed.
        """
        check_sparsity("sparsity", sparsity)
        for place in self._places:
            if not torch.isfinite(place.parameter).all():
                raise ValueError(f"model: {place.name} holds NaN or infinity, so its weights have no order; not pruned")
        grids = self._grids()
        selected: list[tuple[Place, Tensor]] = []
        for pool in self._pools():
            weights, masks = [place.parameter for place in pool], [place.mask for place in pool]
            drop = drop_smallest
            if self.blocks is not None and pool[0].name in grids:
                drop = partial(drop_smallest_blocks, block=self.blocks, grids=[grids[place.name] for place in pool])
            count = round(float(sparsity) * sum(weight.numel() for weight in weights))
            selected += zip(pool, drop(weights, masks, count), strict=True)
        for place, mask in selected:
            if place.name in grids and not torch.equal(place.mask, mask):
                store_orders(place.owner, place.attribute, grids[place.name])
            place.mask.copy_(mask)
            place.parameter.detach().masked_fill_(~mask, 0)

    def apply(self, optimizer: Optimizer | None = None) -> None:
        """Set pruned weights back to 0, in place; call it after each `optimizer.step()`, unless masks are attached.

        Args:
            optimizer: if given, the gradients of pruned weights and its moments for them are zeroed as well.
        """
        for place in self._places:
            zero_pruned(place.parameter, place.mask)
        if optimizer is not None:
            self.mask_gradients()
            mask_optimizer_state(optimizer, ((place.parameter, place.mask) for place in self._places))

    def mask_gradients(self) -> None:
        """Zero the gradients of pruned weights, so that clipping by the norm sees only what will be used."""
        mask_gradients((place.parameter, place.mask) for place in self._places)

    def freeze(self) -> None:
        """Replace the schedule by a constant one at the present sparsity, so that `start_epoch` prunes no further."""
        pools = [[place.mask for place in pool] for pool in self._pools()]
        self.schedule = ConstantSchedule(min(map(_share_dropped, pools)))

    def sparsity(self) -> dict[str, float]:
        """Fraction of pruned entries of each target by name, and of all targets together as "total"."""
        masks = self.masks()
        return {name: _share_dropped([mask]) for name, mask in masks.items()} | {
            "total": _share_dropped(masks.values())
        }

    def masks(self) -> dict[str, Bool[Tensor, "..."]]:
        """The mask of each target by name, True where kept: the model's own buffers, not copies."""
        return {place.name: place.mask for place in self._places}

    def orders(self) -> dict[str, tuple[Int64[Tensor, " n"], Int64[Tensor, " m"]]]:
        """Of each target in ordered blocks, the order of its rows and of its columns at the last grouping: buffers."""
        found = ((place.name, find_orders(place.owner, place.attribute)) for place in self._places)
        return {name: orders for name, orders in found if name in self._layouts and orders is not None}

    def _grids(self) -> dict[str, Grid]:
        places = {place.name: place for place in self._places}
        return {name: layout.grid(places[name].parameter.device) for name, layout in self._layouts.items()}

    def _pools(self) -> list[tuple[Place, ...]]:
        """Targets that are ranked together."""
        if self.scope == "tensor":
            return [(place,) for place in self._places]
        in_blocks = tuple(place for place in self._places if place.name in self._layouts)
        single = tuple(place for place in self._places if place.name not in self._layouts)
        return [pool for pool in (in_blocks, single) if pool]


def _share_dropped(masks: Collection[Tensor]) -> float:
    total = sum(mask.numel() for mask in masks)
    return (total - sum(int(mask.count_nonzero()) for mask in masks)) / total
