"""Rank blocks of several weights and drop the smallest: tiles of neurons that stand next to each other in an order.

A weight (gates * n, m) or a kernel (n, m, ...) is cut into tiles of `block` rows by `block` columns, each gate's n rows
apart. What is left over at the end of an axis makes smaller tiles. The slices of a kernel are dropped whole.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Grid", "drop_smallest_blocks", "tile_sums"]


class Grid(NamedTuple):
    """Holds how one weight is cut now: its number of gates, and the order of its neurons.

    Args:
        gates: number of gates, n rows each.
        rows: (n,) the order of each gate's rows; None takes rows and columns by their index.
        sources: (m,) the order of the columns, if these are other neurons than the rows.
    """

    gates: int
    rows: Tensor | None = None
    sources: Tensor | None = None

    def orders(self) -> tuple[Tensor, Tensor] | None:
        """Return the order of the rows and that of the columns, or None if both go by index."""
        return None if self.rows is None else (self.rows, self.rows if self.sources is None else self.sources)

    def arrange(self, tensor: Tensor) -> Tensor:
        """Return a weight or mask as (gates, n, m, entries of a kernel slice), rows and columns in the order."""
        stacked = tensor.reshape(self.gates, len(tensor) // self.gates, tensor.shape[1], -1)
        orders = self.orders()
        return stacked if orders is None else stacked[:, orders[0]][:, :, orders[1]]

    def restore(self, kept: Bool[Tensor, "g n m"], shape: torch.Size) -> Bool[Tensor, "..."]:
        """Return the mask of a shape from slices that `arrange` has put in order."""
        orders = self.orders()
        if orders is not None:
            kept = kept[:, orders[0].argsort()][:, :, orders[1].argsort()]
        return kept[..., None].expand(*kept.shape, math.prod(shape[2:])).reshape(shape)


def drop_smallest_blocks(
    weights: Sequence[Float[Tensor, "..."]],
    masks: Sequence[Bool[Tensor, "..."]],
    count: int,
    *,
    block: int,
    grids: Sequence[Grid],
) -> list[Bool[Tensor, "..."]]:
    """Drop the blocks of least root mean square, ranked over all weights: as many as fit into `count` entries.

    At most `count` entries are dropped, and fewer by less than one whole block. Blocks of which nothing is left rank
    first. The others rank by the root mean square of a block in which pruned entries count as 0; equal ones rank by
    weight, gate, row and column. The masks stay as they are unless another whole block fits (or `count` is the total
    number), so the same count twice changes nothing, even if the order has changed. When blocks are dropped under a new
    order, or from masks that were not made of blocks, pruned entries of kept blocks come back.

    If this would empty a weight that had kept entries, the largest block of each weight ranks behind all others.

    Args:
        weights: (gates * n, m) or (n, m, ...), finite.
        masks: bool, of the same shapes; not changed.
        count: number of entries to drop, from 0 to the total number.
        block: side of a block.
        grids: how each weight is cut.

    Returns:
        New masks in the order of the weights.

    >>> weight = torch.tensor([[1.0, 1.0, 9.0], [1.0, 1.0, 9.0], [5.0, 5.0, 9.0]])
    >>> drop_smallest_blocks([weight], [weight > 0], 7, block=2, grids=[Grid(1)])[0].int().tolist()
    [[0, 0, 1], [0, 0, 1], [0, 0, 1]]
    """
    sizes, scores = [], []
    for weight, mask, grid in zip(weights, masks, grids, strict=True):
        kept = grid.arrange(mask)
        squares = (grid.arrange(weight.detach()).double() * kept).square_().sum(-1)
        entries = tile_sums(squares.new_full(squares.shape[1:], kept.shape[-1]), block).expand(grid.gates, -1, -1)
        empty = tile_sums(kept.any(-1).float(), block) == 0
        # Weights of one pool may be on several devices.
        sizes.append(entries.long().cpu())
        scores.append(torch.where(empty, -1.0, tile_sums(squares, block) / entries).cpu())
    every, total = torch.cat([size.flatten() for size in sizes]), sum(mask.numel() for mask in masks)
    missing = count - sum(mask.numel() - int(mask.count_nonzero()) for mask in masks)
    if missing <= 0 or (missing < int(every.max()) and count < total):
        return [mask.clone() for mask in masks]
    kept_tiles = _keep_largest(scores, every, count)
    if any(not tiles.any() and mask.any() for tiles, mask in zip(kept_tiles, masks, strict=True)):
        for score in scores:
            largest = score.view(-1)[score.argmax()]
            score.view(-1)[score.argmax()] = math.inf if largest >= 0 else largest
        kept_tiles = _keep_largest(scores, every, count)
    result = []
    for mask, grid, size, own in zip(masks, grids, sizes, kept_tiles, strict=True):
        n, m = len(mask) // grid.gates, mask.shape[1]
        tiles = (
            own.view_as(size).to(mask.device).repeat_interleave(min(block, n), 1).repeat_interleave(min(block, m), 2)
        )
        result.append(grid.restore(tiles[:, :n, :m], mask.shape))
    return result


def _keep_largest(scores: Sequence[Tensor], sizes: Tensor, count: int) -> tuple[Tensor, ...]:
    """Return which tiles of each weight stay when the smallest go, as many as fit into `count` entries."""
    ranked = torch.cat([score.flatten() for score in scores]).argsort(stable=True)
    keep = torch.empty_like(sizes, dtype=torch.bool).index_copy_(0, ranked, sizes[ranked].cumsum(0) > count)
    return keep.split([score.numel() for score in scores])


def tile_sums(matrices: Float[Tensor, "*stack n m"], block: int) -> Float[Tensor, "*stack r c"]:
    """Sum every tile of `block` rows by `block` columns; tiles at the end of an axis may be smaller.

    >>> tile_sums(torch.ones(3, 3), 2).tolist()
    [[4.0, 2.0], [2.0, 1.0]]
    """
    rows, columns = matrices.shape[-2:]
    height, width = min(block, rows), min(block, columns)
    padded = torch.nn.functional.pad(matrices, (0, -columns % width, 0, -rows % height))
    return padded.unflatten(-1, (-1, width)).unflatten(-3, (-1, height)).sum((-3, -1))
