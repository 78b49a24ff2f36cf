"""Keeps the costs f(d(x_j, y_k)) of points that stay where they are, within a budget of bytes."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from torch import Tensor

from riemod._checks import check_integer
from riemod._torch import version_of
from riemod.manifolds.base import Manifold
from riemod.regularization.inhibitors import CostLaw, Custom
from riemod.regularization.inhibitors.wrappers import unwrapped


class CostCache:
    """Keeps matrices as long as what they depend on stays the same. A copy starts empty, and nothing is saved.

    Whether a matrix is kept depends on its size and on what came before it, never on how often it is used: a resumed
    run keeps the same ones, and has the same bits.

    Args:
        budget: bytes that all matrices together may take, >= 0.

    Raises:
        ValueError: if the budget is not an integer >= 0.

    >>> import torch
    >>> cache, state = CostCache(budget=100), ((1, 0),)
    >>> cache.costs("layer", state, 64, lambda: torch.ones(4, 4)).shape
    torch.Size([4, 4])
    >>> cache.costs("another", state, 64, lambda: torch.ones(4, 4)) is None
    True
    """

    def __init__(self, budget: int) -> None:
        self.budget = check_integer("cost_budget", budget, least=0)
        self._kept: dict[Hashable, tuple[object, Tensor]] = {}

    def costs(self, name: Hashable, state: object, size: int, make: Callable[[], Tensor]) -> Tensor | None:
        """Return the matrix of that name in that state, made now if need be; None if it does not fit.

        Args:
            name: which matrix.
            state: equal to what it was as long as the matrix is valid; None if that cannot be told.
            size: bytes that the matrix takes.
            make: computes it.
        """
        kept = self._kept.get(name)
        if kept is not None and state is not None and kept[0] == state:
            return kept[1]
        self._kept.pop(name, None)
        if state is None or size + sum(other.nbytes for _, other in self._kept.values()) > self.budget:
            return None
        costs = make()
        self._kept[name] = (state, costs)
        return costs

    def clear(self) -> None:
        """Let go of every matrix."""
        self._kept.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {"budget": self.budget, "_kept": {}}


def state_of(points: Sequence[Tensor], manifold: Manifold, inhibitor: CostLaw) -> object:
    """Return a value that changes whenever the costs may: tensors, their versions, the law's numbers; None if unknown.

    A version counts all writes in place except those through `.data`, which torch does not count.
    """
    key = manifold.tile_key()
    # A user's function may depend on anything.
    if key is None or any(isinstance(unwrapped(part)[0], Custom) for part in inhibitor.parts):
        return None
    tensors = [*points, *manifold.parameters()]
    if any(tensor.is_inference() for tensor in tensors):
        return None
    versions = [(tensor.data_ptr(), version_of(tensor), tensor.dtype) for tensor in tensors]
    return (key, inhibitor, versions)
