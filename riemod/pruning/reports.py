"""Compare weights with their masks, and warn, by name, of what a pruned model would not tell."""

import warnings
from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from riemod.masks import find_mask
from riemod.pruning.places import Place

__all__ = ["measured_sparsity", "warn_of_emptied", "warn_of_lost_masks"]


def warn_of_lost_masks(places: Sequence[Place], stacklevel: int) -> None:
    """Warn of weights without a mask of which at least half is 0, as in a pruned model whose masks were not loaded.

    A matrix with no more non-zeros than rows is left out, because a draw can be like that (zeros, the identity).
    """
    for place in places:
        weight = place.parameter
        if weight.is_meta or weight.ndim < 2 or find_mask(place.owner, place.attribute) is not None:
            continue
        kept = int(weight.count_nonzero())
        if len(weight) < kept <= weight.numel() / 2:
            warnings.warn(
                f"{place.name} has no mask, but {1 - kept / weight.numel():.0%} of it is 0: if it was pruned, its mask "
                f"was lost in loading, and training will fill it. apply_masks(model, {{{place.name!r}: weight != 0}}) "
                "gives it one",
                stacklevel=stacklevel + 1,
            )


def warn_of_emptied(places: Sequence[Place], before: Mapping[str, int], held: Collection[str], stacklevel: int) -> None:
    """Warn of targets that have just lost all of their weights, or all but those of the floor.

    Args:
        places: the targets, after pruning.
        before: how many weights each kept before, by name.
        held: names of the targets that would keep fewer weights without a floor.
        stacklevel: as for `warnings.warn`, seen from the caller.
    """
    for place in places:
        kept, total = int(place.mask.count_nonzero()), place.mask.numel()
        if kept == 0 < before[place.name]:
            warnings.warn(
                f"{place.name} is empty: all of its {total} weights are pruned, so what it computes no longer depends "
                "on its input",
                stacklevel=stacklevel + 1,
            )
        elif kept < before[place.name] and place.name in held:
            warnings.warn(
                f"{place.name} keeps {kept} of {total} weights, its floor: the ranking over all targets would leave "
                'it fewer. scope="tensor" prunes each target to the same sparsity, and a higher floor keeps more',
                stacklevel=stacklevel + 1,
            )


def measured_sparsity(places: Sequence[Place], stacklevel: int) -> dict[str, float]:
    """Return the fraction of entries that a mask drops and that are 0, by name, and of all together as "total".

    Warns of each target that is not 0 at a pruned entry, or is 0 at every kept one.
    """
    shares: dict[str, float] = {}
    zeros = entries = 0
    for place in places:
        weight, mask = place.parameter.detach(), place.mask
        dropped, total = mask.numel() - int(mask.count_nonzero()), mask.numel()
        back = _count(weight, ~mask)
        if back:
            warnings.warn(
                f"{place.name} is not 0 at {back} of its {dropped} pruned entries, so the mask does not hold: an "
                "optimizer without attach_masks, a loaded checkpoint or an average of weights wrote them. apply() sets "
                "them to 0",
                stacklevel=stacklevel + 1,
            )
        elif dropped < total and not int(weight.count_nonzero()):
            warnings.warn(
                f"{place.name} is 0 everywhere, though its mask keeps {total - dropped} of {total} entries: what it "
                "computes does not depend on its input",
                stacklevel=stacklevel + 1,
            )
        shares[place.name] = (dropped - back) / total
        zeros, entries = zeros + dropped - back, entries + total
    return shares | {"total": zeros / entries}


def _count(weight: Tensor, where: Tensor) -> int:
    """Return how many entries are not 0 there; NaN is not."""
    return int(((weight != 0) & where).count_nonzero())
