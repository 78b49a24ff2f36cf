"""Says which sets of neurons the penalized weights join, and on which manifolds these live."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from riemod.manifolds.base import Manifold
from riemod.manifolds.curves import curve_order
from riemod.regularization.embedding import Modules, NeuronEmbedding
from riemod.regularization.penalized import Chain, PairedWeight, RecurrentWeight, Weight
from riemod.regularization.weights import Layer, weights_of

ModuliSpace = Manifold | Modules
Penalized = Layer | Weight | Chain
Neurons = Sequence[tuple[NeuronEmbedding, slice]]
"""The embeddings of one set of neurons, each with the neurons that it holds."""


@dataclass(frozen=True)
class Sides:
    """Says which sets of neurons one weight joins.

    Args:
        targets: index of the set that its rows belong to.
        sources: index of the set that its columns belong to; the same for a recurrent weight.
    """

    targets: int
    sources: int


@dataclass(frozen=True)
class Wiring:
    """Holds weights, and the sets of neurons that they join.

    Args:
        weights: the penalized weights, in order.
        sizes: the number of neurons of each set, in the order that data goes through them.
        sides: for each weight, the sets of its rows and of its columns.
    """

    weights: list[Weight]
    sizes: list[int]
    sides: list[Sides]

    def tensor_at(self, index: int) -> Tensor:
        """Return a weight that a set of neurons has a part in: their points get its dtype and device."""
        return next(
            weight.tensor
            for weight, sides in zip(self.weights, self.sides, strict=True)
            if index in (sides.targets, sides.sources)
        )


@dataclass(frozen=True)
class Connection:
    """Joins one penalized weight with the points of its neurons.

    Args:
        weight: the weight.
        rows: the embeddings of its targets.
        columns: the embeddings of its sources; the same object as `rows` if the weight is recurrent.
        between: the cost of an entry that joins two modules of neurons (see `Modules`).
    """

    weight: Weight
    rows: Neurons
    columns: Neurons
    between: float

    @property
    def recurrent(self) -> bool:
        """Return whether its sources are its targets."""
        return self.rows is self.columns


def wire(penalized: Penalized | Sequence[Penalized]) -> Wiring:
    """Find the weights that layers, pairs and chains stand for, and the sets of neurons that they join.

    Raises:
        ValueError: if there is nothing to penalize, a weight is named twice, or as `weights_of`.
        TypeError: if something is neither a module nor a (module, parameter name) pair, `chain` or `recurrent`.

    >>> from torch import nn
    >>> wire([nn.GRU(2, 8), nn.Linear(8, 3)]).sizes
    [8, 8, 3]
    """
    wiring = Wiring([], [], [])
    for item in _listed(penalized):
        if isinstance(item, Chain):
            _add(wiring, item.weights[0], len(wiring.sizes), new_sources=True)
            for weight in item.weights[1:]:
                _add(wiring, weight, len(wiring.sizes) - 1, new_sources=False)
            continue
        for weight in [item] if isinstance(item, RecurrentWeight | PairedWeight) else weights_of(item):
            _add(wiring, weight, len(wiring.sizes), new_sources=True)
    if not wiring.weights:
        raise ValueError("module must name at least one layer, got an empty list")
    for weight in wiring.weights:
        if weight.whole.is_meta:
            raise ValueError(f"module must have weights, got {weight.parameter} on the meta device")
    parts = [(id(weight.whole), getattr(weight, "columns", None)) for weight in wiring.weights]
    if len(set(parts)) != len(parts):
        names = ", ".join(f"{type(weight.module).__name__}.{weight.parameter}" for weight in wiring.weights)
        raise ValueError(f"module must name every weight once, got {names}, of which two are the same tensor")
    return wiring


def spaces_of(manifold: ModuliSpace | Sequence[ModuliSpace], wiring: Wiring) -> list[ModuliSpace]:
    """Return one moduli space for each set of neurons; the two sets of one weight share it.

    A manifold with parameters, such as a learned curvature, is copied.

    Raises:
        ValueError: if a sequence has another length, or names different manifolds for the two sets of one weight.
        TypeError: if something is neither a Manifold nor Modules.
    """
    count = len(wiring.sizes)
    spaces = list(manifold) if isinstance(manifold, Sequence) else [manifold] * count
    for space in spaces:
        if not isinstance(space, Manifold | Modules):
            hint = ": riemod.manifolds.by_name makes one of a name" if isinstance(manifold, str) else ""
            got = f"got {type(space).__name__}{hint}"
            raise TypeError(f"manifold must be a Manifold, Modules, or a sequence of them, {got}")
    if len(spaces) != count:
        raise ValueError(f"manifold must name one manifold for each of {count} sets of neurons, got {len(spaces)}")
    for weight, sides in zip(wiring.weights, wiring.sides, strict=True):
        rows, columns = spaces[sides.targets], spaces[sides.sources]
        own, others = (_manifolds(space) for space in (rows, columns))
        if len(own) != len(others) or any(a is not b for a, b in zip(own, others, strict=True)):
            raise ValueError(
                f"manifold must be the same object for both sides of {weight.parameter}, between which there is no "
                f"distance otherwise, got {columns} for its sources and {rows} for its targets"
            )
        if cost_between(rows) != cost_between(columns):
            raise ValueError(
                f"manifold must have one cost between modules on both sides of {weight.parameter}, got "
                f"{cost_between(columns)} for its sources and {cost_between(rows)} for its targets"
            )
    # What training changes is the regularizer's own; one object that came several times stays one.
    copies: dict[int, Any] = {}
    return [copy.deepcopy(space, copies) if _is_trained(space) else space for space in spaces]


def parts_of(space: ModuliSpace, neurons: int) -> list[tuple[Manifold, int]]:
    """Return the (manifold, size) pairs of a moduli space with that many neurons."""
    if isinstance(space, Manifold):
        return [(space, neurons)]
    return [(manifold, size) for (manifold, _), size in zip(space.parts, space.sizes(neurons), strict=True)]


def starts_of(points: Tensor | Sequence[Tensor] | None, count: int) -> Sequence[Tensor | None]:
    """Return the points that each of `count` embeddings starts from, or None for each.

    Raises:
        ValueError: if there are more or fewer.
        TypeError: if one is not a tensor.
    """
    if points is None:
        return [None] * count
    starts = points if isinstance(points, Sequence) else [points]
    for start in starts:
        if not isinstance(start, Tensor):
            raise TypeError(f"points must be a tensor for each embedding, got a {type(start).__name__}")
    if len(starts) != count:
        raise ValueError(f"points must be {count} tensors, one for each embedding, got {len(starts)}")
    return starts


def ranges_of(embeddings: Sequence[NeuronEmbedding]) -> list[tuple[NeuronEmbedding, slice]]:
    """Pair each embedding with the neurons of its set that it holds."""
    ranges, start = [], 0
    for embedding in embeddings:
        ranges.append((embedding, slice(start, start + embedding.size)))
        start += embedding.size
    return ranges


def neuron_order(embeddings: Sequence[NeuronEmbedding]) -> Int64[Tensor, " n"]:
    """Order the neurons of one set along the curve of each embedding, one embedding after the other."""
    return torch.cat([curve_order(own.points, own.manifold) + part.start for own, part in ranges_of(embeddings)])


def cost_between(space: ModuliSpace) -> float:
    """Return the cost of a weight between neurons of two modules; 0 where there is one module."""
    return space.between if isinstance(space, Modules) else 0.0


def _add(wiring: Wiring, weight: Weight, sources: int, *, new_sources: bool) -> None:
    if new_sources:
        wiring.sizes.append(weight.sources)
    if isinstance(weight, PairedWeight):
        wiring.sizes.append(weight.neurons)
    wiring.weights.append(weight)
    wiring.sides.append(Sides(len(wiring.sizes) - 1, sources))


def _listed(penalized: Penalized | Sequence[Penalized]) -> Sequence[Penalized]:
    is_pair = isinstance(penalized, tuple) and len(penalized) == 2 and isinstance(penalized[1], str)
    if isinstance(penalized, Sequence) and not isinstance(penalized, str) and not is_pair:
        return penalized  # pyright: ignore[reportReturnType]
    return [penalized]  # pyright: ignore[reportReturnType]


def _is_trained(space: ModuliSpace) -> bool:
    return any(True for manifold in _manifolds(space) for _ in manifold.parameters())


def _manifolds(space: ModuliSpace) -> list[Manifold]:
    return [space] if isinstance(space, Manifold) else [manifold for manifold, _ in space.parts]
