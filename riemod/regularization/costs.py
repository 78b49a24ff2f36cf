"""What the entries of the penalized weights cost: the interface of cost objects, and the geometric costs of Eq. 6.

A regularizer holds one cost object, which computes R = sum over weights of reduce_jk c_jk |w_jk|^power. Cost objects
differ in c: the geometric one takes c_jk = f(d(x_j, y_k)), the controls (`riemod.regularization.controls`) take the
same numbers without their order. Under a `Signed` law each pair has two costs, and a weight pays that of its sign. A
new kind of cost is one subclass of `Costs`, in one file, and one entry of `controls.ARMS`.
"""

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from riemod._torch import inside_torch_func
from riemod.regularization._cache import CostCache, state_of
from riemod.regularization.embedding import NeuronEmbedding
from riemod.regularization.inhibitors import CostLaw
from riemod.regularization.inhibitors.signed import cost_of, costs_at
from riemod.regularization.neurons import Connection
from riemod.regularization.penalty import (
    Reduction,
    check_weight,
    costs_of_coordinates,
    divisor,
    penalty_of_coordinates,
    penalty_of_costs,
    working_dtype,
)


@dataclass(frozen=True)
class Terms:
    """Says how costs and weights become one number: strength * reduce_jk c_jk |w_jk|^power.

    Args:
        strength: factor of the penalty.
        power: exponent of |w|.
        reduction: "mean" over the entries of each weight, or "sum".
    """

    strength: float
    power: float
    reduction: Reduction

    def factor(self, entries: int) -> float:
        """Return what each entry's c |w|^power is multiplied by in a weight with that many entries."""
        return self.strength / divisor(self.reduction, entries)


class Costs(nn.Module, ABC):
    """Costs c_jk of the entries of some weights. A regularizer binds it once; each regularizer needs a fresh one."""

    follows_points: bool = False
    """Whether the costs depend on the points as they are now, so that these can be learned from them."""

    def __init__(self) -> None:
        super().__init__()
        # A plain list: the embeddings and the penalized layers are not parts of this module.
        self._connections: list[Connection] = []

    def bind(
        self, connections: Sequence[Connection], inhibitor: CostLaw, generator: torch.Generator | None = None
    ) -> None:
        """Take the weights and points to work for, and draw what is random.

        Args:
            connections: the weights with the points of their neurons, which stay the caller's.
            inhibitor: f, or a `Signed` law.
            generator: of the draws.

        Raises:
            ValueError: if it is bound already, a weight is of a kind that it has no costs for, or the law is `Signed`
                and a weight is a convolution's kernel, whose slices' norms have no sign.
        """
        if self._connections:
            raise ValueError(f"costs must be a fresh {type(self).__name__}(), got one that another regularizer holds")
        _check_signs(connections, inhibitor)
        self._connections = list(connections)
        self._prepare(inhibitor, generator)

    @abstractmethod
    def penalty(self, terms: Terms, moving: bool) -> Tensor:
        """Return strength * the sum over weights of reduce_jk c_jk |w_jk|^power, a scalar, with its graph.

        Args:
            terms: strength, power and reduction.
            moving: whether learned points have a part in the graph.
        """

    @abstractmethod
    def rows(self, layer: int, first: int, last: int) -> Tensor:
        """Return c for the rows from `first` up to `last` of a weight, without a graph.

        (last - first, m), or (2, last - first, m) where positive and negative weights cost differently.
        """

    def start_epoch(self, epoch: int) -> None:
        """Prepare for an epoch, counted from 0. Costs that stay the same over training ignore it."""

    def clear(self) -> None:
        """Let go of what was computed from points and may be computed again."""

    @torch.no_grad()
    def permute(self, layer: int, order: Tensor) -> None:
        """Follow the neurons of a recurrent weight to new places: the one at place i comes from place order[i].

        The points themselves are moved by the caller.
        """

    @abstractmethod
    def _prepare(self, inhibitor: CostLaw, generator: torch.Generator | None) -> None:
        """Draw and store what the costs need, once the connections are there."""


class Geometric(Costs):
    """Costs c_jk = f(d(x_j, y_k)) of Eq. 6, from the points as they are.

    Args:
        cost_budget: bytes for matrices of costs that are kept from call to call while the points stay where they are.

    Raises:
        ValueError: if the budget is not an integer >= 0.

    Reference: Eq. 6 of https://arxiv.org/abs/2406.06290
    """

    follows_points = True

    def __init__(self, cost_budget: int = 1 << 28) -> None:
        super().__init__()
        self._cache = CostCache(cost_budget)

    def penalty(self, terms: Terms, moving: bool) -> Tensor:
        return torch.stack([self._of_weight(connection, terms, moving) for connection in self._connections]).sum()

    def rows(self, layer: int, first: int, last: int) -> Tensor:
        return geometric_rows(self._connections[layer], self._inhibitor, first, last)

    def clear(self) -> None:
        self._cache.clear()

    def _prepare(self, inhibitor: CostLaw, generator: torch.Generator | None) -> None:
        self._inhibitor = inhibitor

    def _of_weight(self, connection: Connection, terms: Terms, moving: bool) -> Tensor:
        blocks = connection.weight.blocks()
        scale = terms.factor(sum(block.numel() for block in blocks))
        total = blocks[0].new_zeros((), dtype=working_dtype(blocks[0].dtype))
        for block in blocks:
            for (targets, at), (sources, along) in zip(connection.rows, connection.columns, strict=True):
                total = total + self._between(block[at, along], targets, sources, terms.power, scale, moving)
            for index, (_, at) in enumerate(connection.rows):
                for other, (_, along) in enumerate(connection.columns):
                    if index != other:
                        total = total + (scale * connection.between) * _power_sum(block[at, along], terms.power)
        return total

    def _between(
        self,
        weight: Tensor,
        targets: NeuronEmbedding,
        sources: NeuronEmbedding,
        power: float,
        scale: float,
        moving: bool,
    ) -> Tensor:
        """Return scale * the sum of Eq. 6 for a weight between two sets of points on one manifold."""
        check_weight(weight, targets.points, sources.points)
        manifold, points = targets.manifold, (targets.points, sources.points)
        learned = any(tensor.requires_grad for tensor in (*points, *manifold.parameters()))
        with torch.set_grad_enabled(torch.is_grad_enabled() and learned and moving):
            rows = targets.coordinates()
            columns = rows if sources is targets else sources.coordinates()
        if not (learned and moving):
            costs = self._cache.costs(
                (id(targets), id(sources)),
                None if inside_torch_func() else state_of(points, manifold, self._inhibitor),
                len(self._inhibitor.parts) * weight.numel() * working_dtype(weight.dtype).itemsize,
                lambda: costs_of_coordinates(rows, columns, manifold, self._inhibitor),
            )
            if costs is not None:
                return penalty_of_costs(weight, costs, power, scale)
        return penalty_of_coordinates(weight, rows, columns, manifold, self._inhibitor, power, scale)


class FixedCosts(Costs):
    """Costs of recurrent weights that do not follow the points: the interface of controls with costs of their own."""

    def penalty(self, terms: Terms, moving: bool) -> Tensor:
        totals = []
        for layer, connection in enumerate(self._connections):
            weight = connection.weight.tensor
            gates = weight.unflatten(0, (-1, connection.weight.neurons))
            raised = gates.abs() if terms.power == 1 else gates.abs() ** terms.power
            total = (raised * cost_of(self._costs(layer), gates)).sum()
            totals.append(total / divisor(terms.reduction, weight.numel()))
        return terms.strength * torch.stack(totals).sum()

    @abstractmethod
    def _costs(self, layer: int) -> Tensor:
        """Return (n, n) or (2, n, n) costs of a weight, or the one number that each of its entries costs."""


def check_recurrent(costs: Costs, connections: Sequence[Connection]) -> None:
    """Raise a ValueError unless all weights are recurrent, as costs over one set of neurons need."""
    if not all(connection.recurrent for connection in connections):
        raise ValueError(
            f"module must hold recurrent weights alone for {type(costs).__name__}: a control has one set of neurons"
        )


@torch.no_grad()
def geometric_rows(connection: Connection, inhibitor: CostLaw, first: int, last: int) -> Tensor:
    """Return f(d(x_j, y_k)) for the rows from `first` up to `last` of a weight, as `Costs.rows` does."""
    weight, signs = connection.weight, () if len(inhibitor.parts) == 1 else (2,)
    costs = weight.tensor.new_full((*signs, last - first, weight.sources), connection.between)
    for (embedding, part), (source, columns) in zip(connection.rows, connection.columns, strict=True):
        top, bottom = max(first, part.start), min(last, part.stop)
        if top < bottom:
            rows = embedding.coordinates()[top - part.start : bottom - part.start]
            squared = embedding.manifold.squared_distance(rows, source.coordinates())
            costs[..., top - first : bottom - first, columns] = costs_at(inhibitor, squared)
    return costs


def _check_signs(connections: Sequence[Connection], inhibitor: CostLaw) -> None:
    if len(inhibitor.parts) == 1:
        return
    for weight in (connection.weight for connection in connections):
        if weight.tensor.ndim != 2:
            raise ValueError(
                f"inhibitor must be one law for {weight.parameter} of shape {tuple(weight.tensor.shape)}, whose slices "
                f"pay by their norms, which have no sign, got {inhibitor}"
            )


_EVIDENCE = "evidence."
_OLD_NAMES = re.compile(r"^(means|seed|coefficients_\d+)$")


def current_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a regularizer under today's names, without what it once knew of evidence.

    Controls once kept their buffers beside the points.

    Warns:
        UserWarning: the state holds evidence, which is left out.

    >>> current_names({"means": 1, "embeddings.0.points": 2})
    {'costs.means': 1, 'embeddings.0.points': 2}
    """
    own = {name: value for name, value in state.items() if not name.startswith(_EVIDENCE)}
    if left_out := [name for name in state if name not in own]:
        warnings.warn(
            f"{', '.join(left_out)} of the state dict are not loaded: evidence is an object of its own now, "
            "riemod.PointEvidence(moduli, source), which observes anew",
            stacklevel=2,
        )
    return {_OLD_NAMES.sub(r"costs.\1", name): value for name, value in own.items()}


def _power_sum(weight: Tensor, power: float) -> Tensor:
    magnitude = weight.abs().to(working_dtype(weight.dtype))
    return magnitude.sum() if power == 1 else (magnitude**power).sum()
