"""ModuliRegularizer: points for the neurons of recurrent layers, and the penalty that they put on the weights."""

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from riemod.manifolds.base import Manifold
from riemod.regularization.embedding import Modules, NeuronEmbedding
from riemod.regularization.inhibitors import DifferenceOfGaussians, Inhibitor, as_inhibitor
from riemod.regularization.penalty import (
    Reduction,
    check_exponent,
    check_reduction,
    check_weight,
    penalty_of_coordinates,
)
from riemod.regularization.targets import recurrent_weights

Layout = Manifold | Modules

# Regularizers by the layer they penalise: a second one on the same weights would add up without a word.
_ATTACHED: "weakref.WeakKeyDictionary[nn.Module, weakref.WeakSet[ModuliRegularizer]]" = weakref.WeakKeyDictionary()


class ModuliRegularizer(nn.Module):
    """strength * sum over layers of reduce_jk f(d(x_j, x_k)) |w_jk|^power, Eq. 6, for a module's recurrent weights.

    Each recurrent layer (each direction of it, if it has two) gets points of its own; the gates of a GRU or LSTM share
    them. Calling the regularizer gives the scalar to add to the task's loss. It holds the points and the manifold's
    parameters, never the layer's: hand both to `riemod.optim.riemannian_adam`.

    Args:
        module: a recurrent layer or cell of torch.nn, or a model that holds some.
        manifold: where the neurons live: one `Manifold` or `Modules` for every layer, or a sequence with one per layer.
        inhibitor: f, an `Inhibitor` or any callable of the distance.
        strength: factor of the penalty, >= 0. With reduction "mean" each weight's coefficient is strength f / n^2, so a
            strength does not carry over between sizes.
        reduction: "mean" over the entries of each recurrent matrix (the reference's) or "sum" (the paper's).
        power: exponent of |w|, >= 1.
        learn: whether the points (and a learned curvature) are trained.
        points: points to start from, (n, coordinate_dim), one tensor per embedding; drawn uniformly if not given.
        allow_collapse: permits learning with an inhibitor under which all points run together.
        generator: draws the points.

    Raises:
        ValueError: for a negative strength, power < 1, an unknown reduction, a layer that another regularizer already
            penalises, a sequence of another length than the layers, points off the manifold, or learning with an
            inhibitor that collapses.
        TypeError: if `manifold` is neither a Manifold nor Modules, or `points` are not floating-point tensors.

    Reference: Eq. 5 and 6, Sec. 2.3 of https://arxiv.org/abs/2406.06290.

    >>> from riemod.manifolds import Torus
    >>> moduli = ModuliRegularizer(nn.RNN(2, 16), Torus(2), generator=torch.Generator().manual_seed(0))
    >>> moduli().shape, moduli.embeddings[0].points.shape
    (torch.Size([]), torch.Size([16, 2]))
    """

    def __init__(
        self,
        module: nn.Module,
        manifold: Layout | Sequence[Layout],
        *,
        inhibitor: Inhibitor | Callable[[Tensor], Tensor] | None = None,
        strength: float = 0.1,
        reduction: Reduction = "mean",
        power: float = 1,
        learn: bool = False,
        points: Tensor | Sequence[Tensor] | None = None,
        allow_collapse: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.inhibitor = DifferenceOfGaussians() if inhibitor is None else as_inhibitor(inhibitor)
        if not (isinstance(strength, int | float) and 0 <= strength < math.inf):
            raise ValueError(f"strength must be finite and >= 0, got {strength!r}")
        check_exponent(power)
        check_reduction(reduction)
        if learn and self.inhibitor.collapses and not allow_collapse:
            raise ValueError(
                f"inhibitor {self.inhibitor} collapses learned points to one: use learn=False, another inhibitor, "
                "or allow_collapse=True"
            )
        self.strength, self.reduction, self.power = float(strength), reduction, power
        targets = recurrent_weights(module)
        layouts = _layouts(manifold, len(targets))
        for target in targets:
            if _ATTACHED.get(target.module):
                raise ValueError(f"module is already attached to a ModuliRegularizer (detach() that): {target.module}")
        pairs = zip(targets, layouts, strict=True)
        parts = [(target.weight, *part) for target, layout in pairs for part in _parts(layout, target.neurons)]
        self.embeddings = nn.ModuleList(
            NeuronEmbedding(
                part, size, learn=learn, points=start, generator=generator, dtype=weight.dtype, device=weight.device
            )
            for (weight, part, size), start in zip(parts, _starts(points, len(parts)), strict=True)
        )
        self.targets = targets
        self.layouts = layouts
        if not learn:
            self.freeze()
        self._prepare(generator)
        self._attach()

    def forward(self) -> Tensor:
        """The penalty as it stands, a scalar: strength * the sum over layers of Eq. 6."""
        return self.strength * torch.stack([self._layer_penalty(layer) for layer in range(len(self.targets))]).sum()

    @property
    def learn(self) -> bool:
        """Whether any point or manifold parameter is trained."""
        return any(parameter.requires_grad for parameter in self.parameters())

    @property
    def points(self) -> Tensor:
        """(n, coordinate_dim), the points of a regularizer with one embedding.

        Raises:
            ValueError: if it holds several; read `embeddings` then.
        """
        if len(self.embeddings) != 1:
            raise ValueError(f"points is for one embedding, this regularizer holds {len(self.embeddings)}: embeddings")
        return self.layer_embeddings(0)[0].points

    def freeze(self) -> "ModuliRegularizer":
        """Hold the points and the manifolds' parameters fixed from now on."""
        for parameter in self.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        return self

    def detach(self) -> None:
        """Let go of the layers, so that another regularizer may be attached to them."""
        for target in self.targets:
            _ATTACHED.get(target.module, weakref.WeakSet()).discard(self)

    def layer_embeddings(self, layer: int) -> list[NeuronEmbedding]:
        """The embeddings of one recurrent layer: one, or one for each module of its neurons."""
        counts = [len(layout.parts) if isinstance(layout, Modules) else 1 for layout in self.layouts]
        first = sum(counts[:layer])
        chosen = list(self.embeddings)[first : first + counts[layer]]
        return [embedding for embedding in chosen if isinstance(embedding, NeuronEmbedding)]

    def start_epoch(self, epoch: int) -> None:
        """What a training loop calls before each epoch, counted from 0, for controls that change with it."""

    def coefficients(self, layer: int = 0) -> Tensor:
        """(n, n) costs f(d(x_j, x_k)) of one layer, without strength and reduction, for analysis."""
        return self.costs(layer, 0, self.targets[layer].neurons)

    @torch.no_grad()
    def costs(self, layer: int, first: int, last: int) -> Tensor:
        """(last - first, n): the rows from `first` up to `last` of a layer's `coefficients`, and no more memory."""
        target, layout = self.targets[layer], self.layouts[layer]
        costs = target.weight.new_full((last - first, target.neurons), _cost_between(layout))
        for embedding, part in _ranges(self.layer_embeddings(layer)):
            top, bottom = max(first, part.start), min(last, part.stop)
            if top < bottom:
                columns = embedding.coordinates()
                rows = columns[top - part.start : bottom - part.start]
                squared = embedding.manifold.squared_distance(rows, columns)
                costs[top - first : bottom - first, part] = self.inhibitor.of_squared_distance(squared)
        return costs

    def extra_repr(self) -> str:
        names = ", ".join(target.parameter for target in self.targets)
        return f"{names}, inhibitor={self.inhibitor}, strength={self.strength}, reduction={self.reduction!r}"

    def _layer_penalty(self, layer: int) -> Tensor:
        target, layout = self.targets[layer], self.layouts[layer]
        parts = _ranges(self.layer_embeddings(layer))
        coordinates = [embedding.coordinates() for embedding, _ in parts]
        weight = target.weight
        total = weight.new_zeros(())
        for block in weight.split(target.neurons):
            for (embedding, part), rows in zip(parts, coordinates, strict=True):
                inside = block[part, part]
                check_weight(inside, embedding.points, embedding.points)
                total = total + penalty_of_coordinates(
                    inside, rows, rows, embedding.manifold, self.inhibitor, self.power
                )
            for _, targets in parts:
                for _, sources in parts:
                    if targets != sources:
                        total = total + _cost_between(layout) * _power_sum(block[targets, sources], self.power)
        return total / weight.numel() if self.reduction == "mean" else total

    def _prepare(self, generator: torch.Generator | None) -> None:
        """What a control makes of the points once they are there, or an error."""

    def _attach(self) -> None:
        for target in self.targets:
            _ATTACHED.setdefault(target.module, weakref.WeakSet()).add(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._attach()


def _layouts(manifold: Layout | Sequence[Layout], layers: int) -> list[Layout]:
    layouts = list(manifold) if isinstance(manifold, Sequence) else [manifold] * layers
    for layout in layouts:
        if not isinstance(layout, Manifold | Modules):
            raise TypeError(f"manifold must be a Manifold, Modules, or a sequence of them, got {type(layout).__name__}")
    if len(layouts) != layers:
        raise ValueError(f"manifold must name one manifold for each of {layers} recurrent layers, got {len(layouts)}")
    return layouts


def _starts(points: Tensor | Sequence[Tensor] | None, count: int) -> Sequence[Tensor | None]:
    if points is None:
        return [None] * count
    starts = points if isinstance(points, Sequence) else [points]
    for start in starts:
        if not isinstance(start, Tensor):
            raise TypeError(f"points must be a tensor for each embedding, got a {type(start).__name__}")
    if len(starts) != count:
        raise ValueError(f"points must be {count} tensors, one for each embedding, got {len(starts)}")
    return starts


def _parts(layout: Layout, neurons: int) -> list[tuple[Manifold, int]]:
    if isinstance(layout, Manifold):
        return [(layout, neurons)]
    return [(manifold, size) for (manifold, _), size in zip(layout.parts, layout.sizes(neurons), strict=True)]


def _ranges(embeddings: Sequence[NeuronEmbedding]) -> list[tuple[NeuronEmbedding, slice]]:
    ranges, start = [], 0
    for embedding in embeddings:
        ranges.append((embedding, slice(start, start + embedding.size)))
        start += embedding.size
    return ranges


def _cost_between(layout: Layout) -> float:
    return layout.between if isinstance(layout, Modules) else 0.0


def _power_sum(weight: Tensor, power: float) -> Tensor:
    return weight.abs().sum() if power == 1 else (weight.abs() ** power).sum()
