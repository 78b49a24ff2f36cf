"""Select the k smallest entries across several tensors, exactly, by radix select: no sorting, no joint copy."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["drop_smallest", "drop_smallest_above_floor"]


def drop_smallest(
    weights: Sequence[Float[Tensor, "..."]], masks: Sequence[Bool[Tensor, "..."]], count: int
) -> list[Bool[Tensor, "..."]]:
    """Drop the `count` entries of least |w|, ranked over all tensors together.

    Entries that are False in `masks` rank first, so a dropped entry never comes back: the new masks have
    max(count, already dropped) entries False. Kept entries rank by |w|, equal ones by their position in the list, then
    by flat index.

    Args:
        weights: tensors of any shapes; finite.
        masks: bool, of the same shapes; not changed.
        count: number of entries to drop, from 0 to the total number.

    Returns:
        New masks in the order of the tensors.

    The order statistic is found digit by digit (radix select) in the bit patterns; those of non-negative IEEE numbers
    have the order of their values.

    >>> drop_smallest([torch.tensor([3.0, -1.0]), torch.tensor([2.0])], [torch.ones(2) > 0, torch.ones(1) > 0], 2)
    [tensor([ True, False]), tensor([False])]
    """
    to_drop = count - sum(mask.numel() - int(mask.count_nonzero()) for mask in masks)
    if to_drop <= 0:
        return [mask.clone() for mask in masks]
    double = any(weight.dtype == torch.float64 for weight in weights)
    floating, integer, width = (torch.float64, torch.int64, 64) if double else (torch.float32, torch.int32, 32)
    patterns = [
        weight.detach().abs().to(floating).contiguous().view(integer).masked_fill_(~mask, -1)
        for weight, mask in zip(weights, masks, strict=True)
    ]
    threshold, ties = _order_statistic(patterns, to_drop, width)
    result: list[Tensor] = []
    for pattern in patterns:
        kept = (pattern > threshold).contiguous()
        tied = (pattern == threshold).reshape(-1).nonzero().squeeze(1)
        kept.view(-1)[tied[ties:]] = True
        ties = max(ties - len(tied), 0)
        result.append(kept)
    return result


def drop_smallest_above_floor(
    weights: Sequence[Float[Tensor, "..."]], masks: Sequence[Bool[Tensor, "..."]], count: int, *, floor: int
) -> list[Bool[Tensor, "..."]]:
    """Drop as `drop_smallest` does, but rank the `floor` largest kept entries of each tensor behind all others.

    So each tensor keeps at least that many entries, or as many as it had, unless `count` asks for more than the others.
    If `drop_smallest` leaves each tensor as many, the masks are the same.

    Args:
        weights: as for `drop_smallest`.
        masks: as for `drop_smallest`.
        count: as for `drop_smallest`; as many entries are dropped.
        floor: >= 0.

    >>> weights, masks = [torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])], [torch.ones(2) > 0] * 2
    >>> drop_smallest_above_floor(weights, masks, 2, floor=1)
    [tensor([False,  True]), tensor([False,  True])]
    """
    new = drop_smallest(weights, masks, count)
    counts = [(int(own.count_nonzero()), int(old.count_nonzero())) for own, old in zip(new, masks, strict=True)]
    if all(kept >= min(floor, before) for kept, before in counts):
        return new
    largest = [
        drop_smallest([weight], [mask], max(mask.numel() - floor, 0))[0]
        for weight, mask in zip(weights, masks, strict=True)
    ]
    spared = sum(int(own.count_nonzero()) for own in largest)
    if count + spared > sum(mask.numel() for mask in masks):
        return drop_smallest(weights, largest, count)
    others = [mask & ~own for mask, own in zip(masks, largest, strict=True)]
    return [kept | own for kept, own in zip(drop_smallest(weights, others, count + spared), largest, strict=True)]


def _order_statistic(patterns: Sequence[Tensor], rank: int, width: int) -> tuple[int, int]:
    """Return the rank-th smallest (from 1) non-negative pattern, and how many of its equals are within the rank."""
    threshold = 0
    candidates = [pattern.view(-1) for pattern in patterns]
    for shift in range(width - 16, -1, -16):
        # The pattern -1 of a dropped entry has the largest first digit, beyond any rank among the kept ones.
        digits = [(candidate >> shift) & 0xFFFF for candidate in candidates]
        counts = torch.stack([torch.bincount(digit, minlength=1 << 16).cpu() for digit in digits]).sum(0).cumsum(0)
        digit = int(torch.searchsorted(counts, rank))
        rank -= int(counts[digit - 1]) if digit else 0
        threshold = (threshold << 16) | digit
        candidates = [candidate[own == digit] for candidate, own in zip(candidates, digits, strict=True)]
    return threshold, rank
