"""Select the k smallest entries across several tensors, exactly, by radix select: no sorting, no joint copy."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["drop_smallest", "keep_floor"]


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


def keep_floor(
    weights: Sequence[Float[Tensor, "..."]],
    masks: Sequence[Bool[Tensor, "..."]],
    new: Sequence[Bool[Tensor, "..."]],
    floor: int,
) -> list[Bool[Tensor, "..."]]:
    """Change masks from `drop_smallest` so that no tensor is emptied: some entries rank behind all others.

    These are the `floor` largest kept entries of each tensor. If `floor` is not 0, they are also the largest kept entry
    of each row or of each column of a matrix, whichever are fewer, as long as these are at most a hundredth of the
    entries that stay. So each output of a readout, and each of a few inputs, keeps a weight.

    Args:
        weights: as for `drop_smallest`.
        masks: as for `drop_smallest`.
        new: what it returned.
        floor: >= 0.

    Returns:
        Masks that drop as many entries: those of the floor too if there are no others. Equal to `new` if it has all of
        these entries.

    >>> weights, masks = [torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])], [torch.ones(2) > 0] * 2
    >>> keep_floor(weights, masks, drop_smallest(weights, masks, 2), 1)
    [tensor([False,  True]), tensor([False,  True])]
    """
    total, staying = sum(mask.numel() for mask in new), sum(int(mask.count_nonzero()) for mask in new)
    if all(_has_floor(kept, old, floor, staying) for kept, old in zip(new, masks, strict=True)):
        return list(new)
    spared = [_largest(weight, mask, floor, staying) for weight, mask in zip(weights, masks, strict=True)]
    to_spare = sum(int(own.count_nonzero()) for own in spared)
    if to_spare > staying:
        return drop_smallest(weights, spared, total - staying)
    others = [mask & ~own for mask, own in zip(masks, spared, strict=True)]
    rest = drop_smallest(weights, others, total - staying + to_spare)
    return [kept | own for kept, own in zip(rest, spared, strict=True)]


def _has_floor(new: Tensor, old: Tensor, floor: int, staying: int) -> bool:
    """Return whether a mask keeps what a floor spares, if it keeps the largest entries of the tensor."""
    if int(new.count_nonzero()) < min(floor, int(old.count_nonzero())):
        return False
    lines = [_lines(mask, staying).any(1) for mask in (new, old)] if floor else []
    return not lines or torch.equal(*lines)


def _largest(weight: Tensor, mask: Tensor, floor: int, staying: int) -> Tensor:
    """Return the entries that a floor spares: the largest of the tensor, and of each of its few rows or columns."""
    largest = drop_smallest([weight], [mask], max(mask.numel() - floor, 0))[0]
    values = _lines(weight.detach().abs().masked_fill(~mask, -1), staying)
    if floor and values.numel():
        # Of equal entries the last ranks highest, as in drop_smallest.
        last = values.shape[1] - 1 - values.flip(1).argmax(1)
        _lines(largest, staying)[torch.arange(len(last)), last] |= values[torch.arange(len(last)), last] >= 0
    return largest


def _lines(tensor: Tensor, staying: int) -> Tensor:
    """Return a view of the rows or columns of a matrix, whichever are fewer; of none if these are not few.

    A kernel is read as a matrix with a column for each input and tap.
    """
    if tensor.ndim < 2 or min(len(tensor), tensor[0].numel()) > staying // 100:
        return tensor.reshape(-1, 1)[:0]
    flat = tensor.flatten(1)
    return flat if len(flat) <= flat.shape[1] else flat.T


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
