"""Magnitude pruning: drop the smallest weights, or the smallest blocks of weights."""

from collections.abc import Collection, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from riemod._checks import check_choice, check_function, check_integer, check_module, check_type
from riemod.masks import (
    check_mask_name_is_free,
    mask_gradients,
    mask_optimizer_state,
    register_mask,
    zero_pruned,
)
from riemod.masks.loading import take_masks_in_loading
from riemod.pruning.blocks import Grid, drop_smallest_blocks
from riemod.pruning.orders import Order, block_layouts, find_orders, missing_orders, store_orders
from riemod.pruning.places import Place, Targets, find_places
from riemod.pruning.reports import measured_sparsity, warn_of_emptied, warn_of_lost_masks
from riemod.pruning.schedules import ConstantSchedule, Schedule, check_sparsity
from riemod.pruning.selection import drop_smallest, keep_floor

__all__ = ["MagnitudePruner"]

Scope = Literal["global", "tensor"]


class MagnitudePruner:
    """Prunes the round(sparsity * total) weights of least |w|, ranked over all targets together or in each alone.

    Ranking over all targets can empty a matrix whose weights are small, such as an input matrix or a readout. So the
    largest weight of each target ranks last (`floor`), and so does the largest weight of each output of a readout, or
    of each input where these are few; a warning names a target that is down to them. That a floor is needed, and may be
    small, was decided by small runs of the three tasks at 90 and 97 % (`benchmarks/pruning_floor.py`). Without a floor,
    global ranking emptied the input matrix of navigation in all four runs, and at 97 % five of eight matrices of the
    language net. A floor of one weight changed no mask of a run in which nothing was emptied, and changed errors by 6 %
    at most. Neither scope is better everywhere: errors were lower with "global" in the adding problem and at 90 % in
    language, and with "tensor" at 97 % in language and navigation. At initialization use "tensor", because global
    ranking then prunes what torch draws small.

    Pruned weights stay pruned: they rank first, and a sparsity below the present one changes nothing. Equal weights
    rank by the order of the tensors in the model, then by flat index. The masks are buffers of the model
    (`riemod.masks`), so a pruner on a model or a loaded checkpoint that has masks continues from these. Copy model and
    pruner in one deepcopy to keep them together. Parameters are changed in place, never replaced.

    With `blocks`, whole tiles of that many rows and columns are dropped, those of least root mean square first: as many
    as fit into round(sparsity * total) entries, so the result misses that number by less than one block. Tiles at edges
    are smaller, and a weight smaller than a block is one tile. Gates are cut apart, and slices of a kernel are dropped
    whole. `order` groups neurons by their order along the manifold (`riemod.manifolds.curve_order`). Whenever another
    block has to be dropped, groups are formed anew from the present points. If the order has changed, entries of kept
    blocks come back with the value 0; only then does a mask gain entries. `orders` returns the order of the last
    grouping.

    Args:
        model: building a pruner adds the masks; only `prune`, `start_epoch` and `apply` change weights.
        schedule: gives the sparsity for each epoch (from 0) to `start_epoch`.
        targets: qualified parameter names, or (module, parameter name) pairs. By default every floating-point
            parameter with two or more dimensions: embeddings, input, hidden and output weights, no biases, and no
            geoopt ManifoldParameters. Left out as well, unless they have a mask, are frozen parameters, learned first
            states of recurrent layers, the gains of layer norms and the lengths of `torch.nn.utils.weight_norm` (its
            `weight_g`). A parameter that is shared (tied) counts once, under its first name.
        scope: "global" ranks all targets together, blocks apart from single weights; "tensor" prunes each target to the
            same sparsity.
        floor: how many weights of each target, its largest, rank behind all others in scope "global", >= 0. Unless it
            is 0, so does the largest weight of each row or column of a target (whichever are fewer) where these are at
            most a hundredth of all weights that stay: each output of a readout keeps a weight. Of targets in blocks it
            is one block, whatever the number. The total stays exact, so a target is emptied only if there is nothing
            else left to prune.
        blocks: side of a block, >= 1; None prunes single weights.
        order: the order of neurons in which blocks are cut. A `ModuliRegularizer` of this model orders the weights that
            it penalizes by its points; an int64 permutation (n,) orders the recurrent weights with n neurons. Other
            targets are then pruned weight by weight, to the same sparsity. None cuts all targets into blocks, by index.

    Raises:
        TypeError: an argument of another type.
        ValueError: an unknown scope or target, a target that cannot be pruned, nothing to prune, or a module that uses
            the name of a mask or an order for something else; `blocks` is no integer >= 1, or `order` comes without
            blocks, is of another model or of none of the targets, or is no permutation. The model is then unchanged.

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
        floor: int = 1,
        blocks: int | None = None,
        order: Order | None = None,
    ) -> None:
        check_module("model", model)
        if schedule is not None:
            check_function("schedule", schedule, "a callable epoch -> sparsity or None")
        check_choice("scope", scope, ("global", "tensor"))
        self.floor = check_integer("floor", floor, 0)
        if blocks is not None:
            blocks = check_integer("blocks", blocks, 1)
        elif order is not None:
            raise ValueError("order must come with blocks, got blocks=None")
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
        warn_of_lost_masks(self._places, stacklevel=2)
        for owner, name, own in missing:
            owner.register_buffer(name, own)
        for place in self._places:
            register_mask(place.owner, place.attribute)
        take_masks_in_loading(model)

    def start_epoch(self, epoch: int) -> float:
        """Prune to `schedule(epoch)` and return that sparsity; epochs count from 0.

        Raises:
            ValueError: there is no schedule, the epoch is negative, or as for `prune`.
        """
        if self.schedule is None:
            raise ValueError(
                "schedule must be given to the pruner for start_epoch, got None; prune(sparsity) needs none"
            )
        sparsity = self.schedule(epoch)
        self._prune(sparsity, stacklevel=3)
        return sparsity

    def prune(self, sparsity: float) -> None:
        """Drop the smallest round(sparsity * total) weights, or as many blocks as fit, and set them to 0.

        A warning names each target that loses its last weight, unless `sparsity` is 1, and each one that the ranking
        would have left fewer weights than its floor.

        Args:
            sparsity: fraction of zeros, in [0, 1]; one below the present sparsity changes no mask.

        Raises:
            ValueError: `sparsity` is no number in [0, 1], or a target or a point of the order holds NaN or infinity;
                nothing was changed.
        """
        self._prune(sparsity, stacklevel=3)

    def _prune(self, sparsity: float, stacklevel: int) -> None:
        check_sparsity("sparsity", sparsity)
        for place in self._places:
            if place.parameter.is_meta:
                raise ValueError(f"model must have weights, but {place.name} is on the meta device; nothing was pruned")
            if not torch.isfinite(place.parameter).all():
                raise ValueError(
                    f"model must have finite weights, but {place.name} holds NaN or infinity; nothing was pruned"
                )
        grids = self._grids()
        selected: list[tuple[Place, Tensor]] = []
        held: set[str] = set()
        for pool in self._pools():
            weights, masks = [place.parameter for place in pool], [place.mask for place in pool]
            count = round(float(sparsity) * sum(weight.numel() for weight in weights))
            if self.blocks is not None and pool[0].name in grids:
                own = [grids[place.name] for place in pool]
                new = drop_smallest_blocks(weights, masks, count, block=self.blocks, grids=own)
            else:
                ranked = drop_smallest(weights, masks, count)
                new = keep_floor(weights, masks, ranked, self.floor)
                held |= _held_by_floor(pool, new, ranked)
            selected += zip(pool, new, strict=True)
        before = {place.name: int(place.mask.count_nonzero()) for place in self._places}
        for place, mask in selected:
            if place.name in grids and not torch.equal(place.mask, mask):
                store_orders(place.owner, place.attribute, grids[place.name])
            place.mask.copy_(mask)
            place.parameter.detach().masked_fill_(~mask, 0)
        if sparsity < 1:
            warn_of_emptied(self._places, before, held, stacklevel)

    def apply(self, optimizer: Optimizer | None = None) -> None:
        """Set pruned weights back to 0 in place; call it after each `optimizer.step()`, unless masks are attached.

        Args:
            optimizer: if given, the gradients of pruned weights and its moments for them are set to 0 as well.
        """
        if optimizer is not None:
            check_type("optimizer", optimizer, Optimizer, "a torch.optim.Optimizer or None")
        for place in self._places:
            zero_pruned(place.parameter, place.mask)
        if optimizer is not None:
            self.mask_gradients()
            mask_optimizer_state(optimizer, ((place.parameter, place.mask) for place in self._places))

    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to 0, so that their norm for clipping counts kept weights alone."""
        mask_gradients((place.parameter, place.mask) for place in self._places)

    def freeze(self) -> None:
        """Replace the schedule by a constant one at the present sparsity, so that `start_epoch` prunes no more."""
        pools = [[place.mask for place in pool] for pool in self._pools()]
        self.schedule = ConstantSchedule(min(map(_share_dropped, pools)))

    def sparsity(self) -> dict[str, float]:
        """Measure the fraction of pruned entries of each target by name, and of all targets together as "total".

        An entry counts if its mask is False and its weight is 0. A warning names each target whose weights contradict
        its mask: pruned entries that are not 0, or kept ones that are all 0.
        """
        return measured_sparsity(self._places, stacklevel=2)

    def masks(self) -> dict[str, Bool[Tensor, "..."]]:
        """Return the mask of each target by name, True where kept: the model's own buffers, not copies."""
        return {place.name: place.mask for place in self._places}

    def orders(self) -> dict[str, tuple[Int64[Tensor, " n"], Int64[Tensor, " m"]]]:
        """Return the order of rows and of columns at the last grouping, for each target in ordered blocks.

        The tensors are the model's own buffers, not copies.
        """
        found = ((place.name, find_orders(place.owner, place.attribute)) for place in self._places)
        return {name: orders for name, orders in found if name in self._layouts and orders is not None}

    def _grids(self) -> dict[str, Grid]:
        places = {place.name: place for place in self._places}
        return {name: layout.grid(places[name].parameter.device) for name, layout in self._layouts.items()}

    def _pools(self) -> list[tuple[Place, ...]]:
        """Return the groups of targets that are ranked together."""
        if self.scope == "tensor":
            return [(place,) for place in self._places]
        in_blocks = tuple(place for place in self._places if place.name in self._layouts)
        single = tuple(place for place in self._places if place.name not in self._layouts)
        return [pool for pool in (in_blocks, single) if pool]


def _held_by_floor(pool: Sequence[Place], new: Sequence[Tensor], without: Sequence[Tensor]) -> set[str]:
    """Return the names of the targets that keep more weights with a floor than without."""
    counts = zip(pool, new, without, strict=True)
    return {place.name for place, own, bare in counts if int(own.count_nonzero()) > int(bare.count_nonzero())}


def _share_dropped(masks: Collection[Tensor]) -> float:
    total = sum(mask.numel() for mask in masks)
    return (total - sum(int(mask.count_nonzero()) for mask in masks)) / total
