"""Which sets of neurons the penalized weights join, and what lies where: the bookkeeping of ModuliRegularizer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from riemod.manifolds.base import Manifold
from riemod.manifolds.curves import curve_order
from riemod.regularization.embedding import Modules, NeuronEmbedding
from riemod.regularization.weights import Chain, Layer, PairedWeight, RecurrentWeight, Target, weights_of

Layout = Manifold | Modules
Penalized = Layer | Target | Chain


@dataclass(frozen=True)
class Sides:
    """Which sets of neurons one weight joins.

    Args:
        targets: index of the set that its rows belong to.
        sources: index of the set that its columns belong to; the same for a recurrent weight.
    """

    targets: int
    sources: int


@dataclass(frozen=True)
class Wiring:
    """Weights, and the sets of neurons that they join.

    Args:
        targets: the penalized weights, in order.
        sizes: the number of neurons of each set, in the order that data goes through them.
        sides: for each weight, the sets of its rows and of its columns.
    """

    targets: list[Target]
    sizes: list[int]
    sides: list[Sides]

    def weight_at(self, index: int) -> Tensor:
        """A weight that the set's neurons have a part in: their points get its dtype and device."""
        return next(
            target.weight
            for target, sides in zip(self.targets, self.sides, strict=True)
            if index in (sides.targets, sides.sources)
        )


def wire(penalized: Penalized | Sequence[Penalized]) -> Wiring:
    """The weights that layers, pairs and chains stand for, and the sets of neurons that they join.

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
            _add(wiring, item.targets[0], len(wiring.sizes), new_sources=True)
            for target in item.targets[1:]:
                _add(wiring, target, len(wiring.sizes) - 1, new_sources=False)
            continue
        for target in [item] if isinstance(item, RecurrentWeight | PairedWeight) else weights_of(item):
            _add(wiring, target, len(wiring.sizes), new_sources=True)
    if not wiring.targets:
        raise ValueError("module must name at least one layer, got an empty list")
    weights = [target.weight for target in wiring.targets]
    if len({id(weight) for weight in weights}) != len(weights):
        names = ", ".join(f"{type(target.module).__name__}.{target.parameter}" for target in wiring.targets)
        raise ValueError(f"module must name every weight once, got {names}, of which two are the same tensor")
    return wiring


def layouts_of(manifold: Layout | Sequence[Layout], wiring: Wiring) -> list[Layout]:
    """One layout for each set of neurons; the two sets of one weight lie on the same manifold.

    Raises:
        ValueError: if a sequence has another length, or names different manifolds for the two sets of one weight.
        TypeError: if something is neither a Manifold nor Modules.
    """
    count = len(wiring.sizes)
    layouts = list(manifold) if isinstance(manifold, Sequence) else [manifold] * count
    for layout in layouts:
        if not isinstance(layout, Manifold | Modules):
            raise TypeError(f"manifold must be a Manifold, Modules, or a sequence of them, got {type(layout).__name__}")
    if len(layouts) != count:
        raise ValueError(f"manifold must name one manifold for each of {count} sets of neurons, got {len(layouts)}")
    for target, sides in zip(wiring.targets, wiring.sides, strict=True):
        rows, columns = layouts[sides.targets], layouts[sides.sources]
        own, others = (_manifolds(layout) for layout in (rows, columns))
        if len(own) != len(others) or any(a is not b for a, b in zip(own, others, strict=True)):
            raise ValueError(
                f"manifold must be the same object for both sides of {target.parameter}, between which there is no "
                f"distance otherwise, got {columns} for its sources and {rows} for its targets"
            )
        if cost_between(rows) != cost_between(columns):
            raise ValueError(
                f"manifold must have one cost between modules on both sides of {target.parameter}, got "
                f"{cost_between(columns)} for its sources and {cost_between(rows)} for its targets"
            )
    return layouts


def parts_of(layout: Layout, neurons: int) -> list[tuple[Manifold, int]]:
    """The (manifold, size) pairs of a layout with that many neurons."""
    if isinstance(layout, Manifold):
        return [(layout, neurons)]
    return [(manifold, size) for (manifold, _), size in zip(layout.parts, layout.sizes(neurons), strict=True)]


def starts_of(points: Tensor | Sequence[Tensor] | None, count: int) -> Sequence[Tensor | None]:
    """The points that each of `count` embeddings starts from, or None for each.

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
    """Each embedding with the neurons of its set that it holds."""
    ranges, start = [], 0
    for embedding in embeddings:
        ranges.append((embedding, slice(start, start + embedding.size)))
        start += embedding.size
    return ranges


def neuron_order(embeddings: Sequence[NeuronEmbedding]) -> Int64[Tensor, " n"]:
    """(n,) the neurons of one set along the curve of each embedding, one embedding after the other."""
    return torch.cat([curve_order(own.manifold, own.points) + part.start for own, part in ranges_of(embeddings)])


def cost_between(layout: Layout) -> float:
    """The cost of a weight between neurons of two modules of the layout; 0 where there is one module."""
    return layout.between if isinstance(layout, Modules) else 0.0


def _add(wiring: Wiring, target: Target, sources: int, *, new_sources: bool) -> None:
    if new_sources:
        wiring.sizes.append(target.sources)
    if isinstance(target, PairedWeight):
        wiring.sizes.append(target.neurons)
    wiring.targets.append(target)
    wiring.sides.append(Sides(len(wiring.sizes) - 1, sources))


def _listed(penalized: Penalized | Sequence[Penalized]) -> Sequence[Penalized]:
    is_pair = isinstance(penalized, tuple) and len(penalized) == 2 and isinstance(penalized[1], str)
    if isinstance(penalized, Sequence) and not isinstance(penalized, str) and not is_pair:
        return penalized  # pyright: ignore[reportReturnType]
    return [penalized]  # pyright: ignore[reportReturnType]


def _manifolds(layout: Layout) -> list[Manifold]:
    return [layout] if isinstance(layout, Manifold) else [manifold for manifold, _ in layout.parts]
