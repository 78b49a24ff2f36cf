"""ModuliRegularizer: points for the neurons that weights join, and the penalty that they put on the weights."""

import functools
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from riemod.regularization._costs import CostCache, penalty_between
from riemod.regularization.embedding import Modules, NeuronEmbedding
from riemod.regularization.evidence import GatheredEvidence, PointEvidence
from riemod.regularization.inhibitors import DifferenceOfGaussians, Inhibitor, as_inhibitor
from riemod.regularization.neurons import (
    Layout,
    Penalized,
    cost_between,
    layouts_of,
    parts_of,
    ranges_of,
    starts_of,
    wire,
)
from riemod.regularization.penalty import Reduction, check_exponent, check_reduction, check_weight, working_dtype
from riemod.regularization.weights import RecurrentWeight, Target

# Regularizers by the layer they penalize: a second one on the same weights would add up without a word.
_ATTACHED: "weakref.WeakKeyDictionary[nn.Module, weakref.WeakSet[ModuliRegularizer]]" = weakref.WeakKeyDictionary()


class ModuliRegularizer(nn.Module):
    """strength * sum over weights of reduce_jk f(d(x_j, y_k)) |w_jk|^power, Eq. 6, for the weights of a module.

    Each recurrent layer (each direction of it, if it has two) gets points of its own, x = y; the gates of a GRU or LSTM
    share them. A linear layer gets points for its inputs, y, and for its outputs, x; a convolution for its channels,
    and |w_jk| is then the Euclidean norm of the kernel slice. Calling the regularizer gives the scalar to add to the
    task's loss. It holds the points and the manifold's parameters, never the layer's: hand both to
    `riemod.optim.riemannian_adam`.

    Args:
        module: what to penalize, one thing or a list: a recurrent layer or cell of torch.nn, or a model that holds some
            (these alone are penalized then); an `nn.Linear`, `nn.Conv1d` to `nn.Conv3d`; a (module, parameter name)
            pair, for any matrix between two sets of neurons; what `recurrent` says of one's own cell; a `chain` of
            layers that share the points in between.
        manifold: where the neurons live: one `Manifold` or `Modules` for all of them, or a sequence with one per set of
            neurons: one set for a recurrent layer, inputs and outputs for a linear one. Both sets of one weight need
            the same manifold.
        inhibitor: f, an `Inhibitor` or any callable of the distance.
        strength: factor of the penalty, >= 0. With reduction "mean" each weight's coefficient is strength f / n^2, so a
            strength does not carry over between sizes.
        reduction: "mean" over the entries of each matrix (of a convolution: over its kernel slices; the reference's) or
            "sum" (the paper's).
        power: exponent of |w|, >= 1.
        learn: whether the points (and a learned curvature) are trained.
        points: points to start from, (n, coordinate_dim), one tensor per embedding; drawn uniformly if not given.
        allow_collapse: permits learning with an inhibitor under which all points run together.
        refresh_every: k; learned points get a gradient from every k-th call (the first, the (k + 1)-th ...) of those
            that build a graph, and none from the calls between, so that their optimizer leaves them where they are.
            Value and weight gradients are those of the points as they stand, in every call. The number of calls is in
            the `state_dict` if k > 1. Without points to learn it does nothing.
        cost_budget: bytes for matrices f(d(x_j, y_k)) of points that do not move (fixed ones, and learned ones between
            their gradients), kept from call to call until the points change; beyond it, and for a `Custom` inhibitor,
            they are computed anew in each call. Never in the `state_dict`.
        evidence: what points of recurrent layers follow besides or instead of Eq. 6, such as
            `riemod.coactivity.Coactivity()`, which is told of states by `observe`. It adds a gradient to the points, in
            the calls in which they move, and nothing to the value. What was observed is in the `state_dict` until the
            points are frozen. None: Eq. 6 alone moves them.
        generator: draws the points.

    Raises:
        ValueError: for a negative strength, power < 1, an unknown reduction, a kind of layer that is not supported, a
            parameter that does not exist, a weight named twice or already penalized by another regularizer, a
            sequence of another length than the sets of neurons, points off the manifold, learning with an inhibitor
            that collapses, `evidence` without points to learn or with a weight that is not recurrent, or a
            `refresh_every` < 1 or `cost_budget` < 0.
        TypeError: if `module` or `manifold` is of none of these types, or `points` are not floating-point tensors.

    Reference: Eq. 5 and 6, Sec. 2.3 of https://arxiv.org/abs/2406.06290.

    >>> from riemod.manifolds import Torus
    >>> moduli = ModuliRegularizer(nn.RNN(2, 16), Torus(2), generator=torch.Generator().manual_seed(0))
    >>> moduli().shape, moduli.embeddings[0].points.shape
    (torch.Size([]), torch.Size([16, 2]))
    """

    calls: Tensor

    def __init__(
        self,
        module: Penalized | Sequence[Penalized],
        manifold: Layout | Sequence[Layout],
        *,
        inhibitor: Inhibitor | Callable[[Tensor], Tensor] | None = None,
        strength: float = 0.1,
        reduction: Reduction = "mean",
        power: float = 1,
        learn: bool = False,
        points: Tensor | Sequence[Tensor] | None = None,
        allow_collapse: bool = False,
        refresh_every: int = 1,
        cost_budget: int = 1 << 28,
        evidence: PointEvidence | None = None,
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
        if isinstance(refresh_every, bool) or not isinstance(refresh_every, int) or refresh_every < 1:
            raise ValueError(f"refresh_every must be an integer >= 1, got {refresh_every!r}")
        self._cache = CostCache(cost_budget)
        self.refresh_every = refresh_every
        self.strength, self.reduction, self.power = float(strength), reduction, power
        wiring = wire(module)
        layouts = layouts_of(manifold, wiring)
        for target in wiring.targets:
            if _is_attached(target):
                raise ValueError(
                    f"module is already attached to a ModuliRegularizer (detach() that): {target.parameter} of "
                    f"{target.module}"
                )
        parts = [
            (wiring.weight_at(index), *part)
            for index, (layout, size) in enumerate(zip(layouts, wiring.sizes, strict=True))
            for part in parts_of(layout, size)
        ]
        self.embeddings = nn.ModuleList(
            NeuronEmbedding(
                part, size, learn=learn, points=start, generator=generator, dtype=weight.dtype, device=weight.device
            )
            for (weight, part, size), start in zip(parts, starts_of(points, len(parts)), strict=True)
        )
        self.targets = wiring.targets
        self.sides = wiring.sides
        self.layouts = layouts
        self._calls: int | None = None
        self.evidence = None if evidence is None else self._gather(evidence, learn)
        if not learn:
            self.freeze()
        elif refresh_every > 1:
            self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self._prepare(generator)
        self._attach()

    def forward(self) -> Tensor:
        """The penalty as it stands, a scalar of the weights' dtype: strength * the sum over weights of Eq. 6."""
        if torch.compiler.is_compiling():
            # The tiles differentiate themselves on the way, which no compiler follows: one break of the graph, not six.
            return torch.compiler.disable(self._penalty)()  # pyright: ignore[reportCallIssue]
        return self._penalty()

    def _penalty(self) -> Tensor:
        dtype = functools.reduce(torch.promote_types, [target.weight.dtype for target in self.targets])
        # Sums of many small costs are for the weights' own dtype, whatever the forward pass is computed in.
        with torch.autocast(self.targets[0].weight.device.type, enabled=False):
            moving = self._points_move()
            by_weights = moving and (self.evidence is None or not self.evidence.alone)
            penalties = torch.stack([self._layer_penalty(layer, by_weights) for layer in range(len(self.targets))])
            total = penalties.sum().to(dtype)
            return total if self.evidence is None or not moving else total + self.evidence.pull().to(dtype)

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
        self.evidence = None
        return self

    def observe(self, states: Tensor, layer: int = 0) -> None:
        """Take up the activity of a recurrent weight's neurons, as evidence of where they are.

        Args:
            states: (..., n) hidden states, every row one observation; no gradient goes back to them.
            layer: which of `targets`.

        Raises:
            ValueError: if there is no `evidence` (any more), no such layer, or the states do not fit or hold
                NaN or infinity.
            TypeError: if they are not a floating-point tensor.
        """
        if self.evidence is None:
            raise ValueError("observe needs evidence=Coactivity(...) at construction, and points that are learned")
        self.evidence.observe(states, layer)

    def detach(self) -> None:
        """Let go of the layers, so that another regularizer may be attached to them."""
        for target in self.targets:
            _ATTACHED.get(target.module, weakref.WeakSet()).discard(self)

    def layer_embeddings(self, layer: int) -> list[NeuronEmbedding]:
        """The embeddings of one weight's targets, a recurrent layer's neurons: one, or one for each module of them."""
        return self._set_embeddings(self.sides[layer].targets)

    def source_embeddings(self, layer: int) -> list[NeuronEmbedding]:
        """The embeddings of one weight's sources; those of its targets if it is recurrent."""
        return self._set_embeddings(self.sides[layer].sources)

    def start_epoch(self, epoch: int) -> None:
        """What a training loop calls before each epoch, counted from 0, for controls that change with it."""

    def coefficients(self, layer: int = 0) -> Tensor:
        """(n, m) costs f(d(x_j, y_k)) of one weight, without strength and reduction, for analysis."""
        return self.costs(layer, 0, self.targets[layer].neurons)

    @torch.no_grad()
    def costs(self, layer: int, first: int, last: int) -> Tensor:
        """(last - first, m): the rows from `first` up to `last` of a weight's `coefficients`, and no more memory."""
        target = self.targets[layer]
        between = cost_between(self.layouts[self.sides[layer].targets])
        costs = target.weight.new_full((last - first, target.sources), between)
        pairs = zip(ranges_of(self.layer_embeddings(layer)), ranges_of(self.source_embeddings(layer)), strict=True)
        for (embedding, part), (source, columns) in pairs:
            top, bottom = max(first, part.start), min(last, part.stop)
            if top < bottom:
                rows = embedding.coordinates()[top - part.start : bottom - part.start]
                squared = embedding.manifold.squared_distance(rows, source.coordinates())
                costs[top - first : bottom - first, columns] = self.inhibitor.of_squared_distance(squared)
        return costs

    def extra_repr(self) -> str:
        names = ", ".join(target.parameter for target in self.targets)
        return f"{names}, inhibitor={self.inhibitor}, strength={self.strength}, reduction={self.reduction!r}"

    def _set_embeddings(self, index: int) -> list[NeuronEmbedding]:
        counts = [len(layout.parts) if isinstance(layout, Modules) else 1 for layout in self.layouts]
        first = sum(counts[:index])
        chosen = list(self.embeddings)[first : first + counts[index]]
        return [embedding for embedding in chosen if isinstance(embedding, NeuronEmbedding)]

    def _points_move(self) -> bool:
        """Whether learned points have a part in this call's graph."""
        if self.refresh_every == 1 or "calls" not in self._buffers:
            return True
        if not torch.is_grad_enabled():
            return False
        if self._calls is None:
            self._calls = int(self.calls)
        moving = self._calls % self.refresh_every == 0
        # The number is in the buffer to be saved, and beside it to be read: a GPU would have to wait.
        self._calls += 1
        self.calls.fill_(self._calls)
        return moving

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:
        super()._load_from_state_dict(*arguments, **named)
        self._calls = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._cache.clear()
        return super()._apply(fn, recurse)

    def _layer_penalty(self, layer: int, moving: bool) -> Tensor:
        target, sides = self.targets[layer], self.sides[layer]
        rows = ranges_of(self.layer_embeddings(layer))
        columns = rows if sides.sources == sides.targets else ranges_of(self.source_embeddings(layer))
        between = cost_between(self.layouts[sides.targets])
        blocks = target.blocks()
        entries = sum(block.numel() for block in blocks)
        scale = self.strength / entries if self.reduction == "mean" else self.strength
        total = blocks[0].new_zeros((), dtype=working_dtype(blocks[0].dtype))
        for block in blocks:
            for index, ((embedding, targets), (source, sources)) in enumerate(zip(rows, columns, strict=True)):
                inside = block[targets, sources]
                check_weight(inside, embedding.points, source.points)
                name = (sides.targets, sides.sources, index)
                total = total + penalty_between(
                    inside, embedding, source, self.inhibitor, self.power, scale, moving, self._cache, name
                )
            for index, (_, targets) in enumerate(rows):
                for other, (_, sources) in enumerate(columns):
                    if index != other:
                        total = total + (scale * between) * _power_sum(block[targets, sources], self.power)
        return total

    def _gather(self, evidence: PointEvidence, learn: bool) -> GatheredEvidence:
        if not isinstance(evidence, PointEvidence):
            raise TypeError(f"evidence must be a PointEvidence or None, got {type(evidence).__name__}")
        if not learn:
            raise ValueError("evidence needs points to learn, got learn=False")
        layers = []
        for layer, target in enumerate(self.targets):
            if not isinstance(target, RecurrentWeight):
                raise ValueError("evidence needs module to hold recurrent weights alone: their two sides are one layer")
            layers.append((target, ranges_of(self.layer_embeddings(layer))))
        return evidence.gather(layers)

    def _prepare(self, generator: torch.Generator | None) -> None:
        """What a control makes of the points once they are there, or an error."""

    def _attach(self) -> None:
        for target in self.targets:
            _ATTACHED.setdefault(target.module, weakref.WeakSet()).add(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._attach()


def _is_attached(target: Target) -> bool:
    others = _ATTACHED.get(target.module, weakref.WeakSet())
    return any(
        own.module is target.module and own.parameter == target.parameter for other in others for own in other.targets
    )


def _power_sum(weight: Tensor, power: float) -> Tensor:
    magnitude = weight.abs().to(working_dtype(weight.dtype))
    return magnitude.sum() if power == 1 else (magnitude**power).sum()
