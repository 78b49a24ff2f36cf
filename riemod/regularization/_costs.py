"""Costs of points that stay where they are, computed once: (n, m) matrices f(d(x_j, y_k)) within a budget of bytes."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from riemod.manifolds.base import Manifold
from riemod.regularization.embedding import NeuronEmbedding
from riemod.regularization.inhibitors import Custom, Inhibitor
from riemod.regularization.penalty import (
    costs_of_coordinates,
    inside_torch_func,
    penalty_of_coordinates,
    penalty_of_costs,
    working_dtype,
)


class CostCache:
    """Keeps matrices while what they depend on stays as it was. A copy starts empty, and nothing is ever saved.

    Whether a matrix is kept depends on its size and on what came before it, never on how often it is used: a run that
    is resumed keeps the same ones, and has the same bits.

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
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 0:
            raise ValueError(f"cost_budget must be an integer >= 0, in bytes, got {budget!r}")
        self.budget = budget
        self._kept: dict[Hashable, tuple[object, Tensor]] = {}

    def costs(self, name: Hashable, state: object, size: int, make: Callable[[], Tensor]) -> Tensor | None:
        """The matrix of that name in that state, made if need be; None if it does not fit.

        Args:
            name: which matrix.
            state: equal to what it was as long as the matrix is valid; None if no one can know.
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


def penalty_between(
    weight: Tensor,
    targets: NeuronEmbedding,
    sources: NeuronEmbedding,
    inhibitor: Inhibitor,
    power: float,
    scale: float,
    moving: bool,
    cache: CostCache,
    name: Hashable,
) -> Tensor:
    """scale * the sum of Eq. 6 for a weight between two sets of points on one manifold.

    Args:
        weight: (n, m), unchecked.
        targets: the rows' points.
        sources: the columns' points, on the same manifold.
        inhibitor: f.
        power: exponent of |w|.
        scale: factor of the sum.
        moving: whether what is learned of the embeddings has a part in the graph.
        cache: keeps the costs if nothing moves.
        name: of the matrix in the cache.
    """
    manifold, points = targets.manifold, (targets.points, sources.points)
    learned = any(tensor.requires_grad for tensor in (*points, *manifold.parameters()))
    with torch.set_grad_enabled(torch.is_grad_enabled() and learned and moving):
        rows = targets.coordinates()
        columns = rows if sources is targets else sources.coordinates()
    if not (learned and moving):
        costs = cache.costs(
            name,
            None if inside_torch_func() else state_of(points, manifold, inhibitor),
            weight.numel() * working_dtype(weight.dtype).itemsize,
            lambda: costs_of_coordinates(rows, columns, manifold, inhibitor),
        )
        if costs is not None:
            return penalty_of_costs(weight, costs, power, scale)
    return penalty_of_coordinates(weight, rows, columns, manifold, inhibitor, power, scale)


def state_of(points: Sequence[Tensor], manifold: Manifold, inhibitor: Inhibitor) -> object:
    """What changes whenever costs may: which tensors, their versions, the numbers of the law; None if unknown.

    A version counts writes in place, all but those through `.data`, which torch keeps to itself.
    """
    key = manifold.tile_key()
    # A function of the user's may look at anything.
    if key is None or isinstance(inhibitor, Custom):
        return None
    tensors = [*points, *manifold.parameters()]
    if any(tensor.is_inference() for tensor in tensors):
        return None
    versions = [(tensor.data_ptr(), tensor._version, tensor.dtype) for tensor in tensors]
    return (key, inhibitor, versions)
