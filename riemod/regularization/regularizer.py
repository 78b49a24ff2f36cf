"""The regularizer: points for the neurons that weights join, and the penalty that they put on the weights."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self, final

import torch
from torch import Tensor, nn

from riemod._checks import (
    LARGEST_POWER,
    check_at_least,
    check_boolean,
    check_choice,
    check_generator,
    check_integer,
    check_setting,
)
from riemod._torch import inside_torch_func, outside_graphs
from riemod.masks.loading import warn_of_masks_left_out
from riemod.regularization._double_use import register, watch
from riemod.regularization._point_watch import PATIENCE, PointWatch
from riemod.regularization.costs import Costs, Geometric, Terms, current_names
from riemod.regularization.embedding import Modules, NeuronEmbedding
from riemod.regularization.inhibitors import CostLaw, DifferenceOfGaussians
from riemod.regularization.inhibitors.signed import as_law, of_sign
from riemod.regularization.neurons import (
    Connection,
    ModuliSpace,
    Penalized,
    Wiring,
    cost_between,
    parts_of,
    ranges_of,
    spaces_of,
    starts_of,
    wire,
)
from riemod.regularization.penalty import Reduction

_REBUILD = "build a new regularizer on the same layer, with points=moduli.points to keep the points"
_FIXED = dict.fromkeys(("inhibitor", "costs", "refresh_every", "weights", "sides", "spaces"), _REBUILD) | {
    "embeddings": "copy points into those that there are, under torch.no_grad(): moduli.points.copy_(points)",
    "points": "copy into those that there are, under torch.no_grad(): moduli.points.copy_(points)",
    "learn": f"freeze() holds the points; to learn them, {_REBUILD}",
}
_SETTINGS: dict[str, Callable[[str, Any], Any]] = {
    "strength": lambda name, value: check_at_least(name, value, 0),
    "power": lambda name, value: check_at_least(name, value, 1, LARGEST_POWER),
    "reduction": lambda name, value: check_choice(name, value, ("mean", "sum")),
}


@final
class ModuliRegularizer(nn.Module):
    """Computes strength * sum over weights of reduce_jk c_jk |w_jk|^power, Eq. 6 with costs c_jk = f(d(x_j, y_k)).

    Each recurrent layer (each direction, if it has two) gets points of its own, x = y; the gates of a GRU or LSTM share
    them. A linear layer gets points for its inputs, y, and for its outputs, x; a convolution for its channels, and
    |w_jk| is then the Euclidean norm of the kernel slice. Calling the regularizer returns the scalar to add to the
    task's loss. It holds the points, the manifold's parameters and the cost object, never the layer's parameters: hand
    both model and regularizer to `riemod.optim.riemannian_adam`.

    Args:
        module: what to penalize, one thing or a list: a recurrent layer or cell of torch.nn, or a model that holds some
            (only these are penalized then); an `nn.Linear`, `nn.Conv1d` to `nn.Conv3d`; a (module, parameter name)
            pair, for a matrix between two sets of neurons; `recurrent(cell, name)` for the hidden matrix of your own
            cell; a `chain` of layers that share the points in between.
        manifold: where the neurons live: one `Manifold` or `Modules` for all of them, or a sequence with one per set of
            neurons: one set for a recurrent layer, inputs and outputs for a linear one. Both sets of one weight need
            the same manifold.
        inhibitor: f, an `Inhibitor` or any callable of the distance; or a `Signed` law, f+ and f-;
            `DifferenceOfGaussians()` if None.
        strength: factor of the penalty, >= 0. With reduction "mean" each weight's coefficient is strength f / n^2, so a
            strength does not carry over between sizes.
        reduction: "mean" over the entries of each matrix (of a convolution: over its kernel slices; the reference's) or
            "sum" (the paper's).
        power: exponent of |w|, >= 1.
        learn: whether the points (and a learned curvature) are trained.
        points: points to start from, (n, coordinate_dim), one tensor per embedding; drawn uniformly if None.
        allow_collapse: permits learning with an inhibitor under which all points run together.
        refresh_every: k >= 1: update learned points on every k-th differentiable call only; in between their gradient
            is None, and an optimizer leaves them where they are. Value and weight gradients always belong to the points
            as they are. The number of calls is in the `state_dict` if k > 1.
        costs: a fresh cost object: `Geometric()`, which is Eq. 6, if None, or one of `riemod.regularization.controls`.
        generator: draws the points, and what the costs draw.

    A manifold with a learned curvature is copied: what is trained is `embeddings[0].manifold`, and another regularizer
    on the same object learns its own. Points are float32 at least, in a bfloat16 or float16 model too.

    Save the `state_dict`, of the regularizer or of a model that holds it: `torch.load` reads it in its safe mode. A
    whole pickled model needs `torch.load(..., weights_only=False)`, which runs code of the file, so only for files of
    your own: no list of allowed globals will do, because geoopt rebuilds points by a `functools.partial` object.

    `strength`, `power` and `reduction` may be set at any time. Setting another attribute that is read at construction
    alone, such as `inhibitor`, is an error that says what to do.

    A regularizer may be built again on the same layer, as when a notebook's cell runs twice: the newest is used like
    the first. Two whose penalties reach the same weight between two optimizer steps would count it twice: the backward
    pass of the second raises a RuntimeError.

    Raises:
        ValueError: for a negative strength, power < 1, an unknown reduction, a kind of layer that is not supported, a
            parameter that does not exist, a weight named twice, a sequence of another length than the sets of neurons,
            points off the manifold, learning with an inhibitor that collapses or with costs that do not follow the
            points, costs that another regularizer holds, or `refresh_every` < 1.
        TypeError: if `module`, `manifold` or `costs` is of none of these types, or `points` are not floating-point
            tensors.

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
        manifold: ModuliSpace | Sequence[ModuliSpace],
        *,
        inhibitor: CostLaw | Callable[[Tensor], Tensor] | None = None,
        strength: float = 0.1,
        reduction: Reduction = "mean",
        power: float = 1,
        learn: bool = False,
        points: Tensor | Sequence[Tensor] | None = None,
        allow_collapse: bool = False,
        refresh_every: int = 1,
        costs: Costs | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.inhibitor = DifferenceOfGaussians() if inhibitor is None else as_law(inhibitor)
        self.strength, self.power = strength, power
        self.reduction: Reduction = reduction
        costs = Geometric() if costs is None else costs
        check_boolean("learn", learn)
        check_boolean("allow_collapse", allow_collapse)
        check_generator(generator)
        _check_learning(learn, self.inhibitor, allow_collapse, costs)
        self.refresh_every = check_integer("refresh_every", refresh_every, least=1)
        wiring = wire(module)
        self.spaces = spaces_of(manifold, wiring)
        self.embeddings = _embeddings(wiring, self.spaces, learn, points, generator)
        self.weights, self.sides = wiring.weights, wiring.sides
        self._calls: int | None = 0
        self._watch = PointWatch()
        self._moved_elsewhere, self._patience = False, PATIENCE * refresh_every
        connections = self._connections()
        self.costs = costs
        if not learn:
            self.freeze()
        elif refresh_every > 1:
            self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        costs.bind(connections, self.inhibitor, generator)
        register(self, self.weights)
        self.register_load_state_dict_pre_hook(_take_current_names)
        self.register_load_state_dict_post_hook(_forget_calls)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, check_setting(self, name, value, _FIXED, _SETTINGS))

    @outside_graphs
    def forward(self) -> Tensor:
        """Return the penalty as it stands, a scalar of the weights' dtype.

        Raises:
            ValueError: if learned points have left their manifold since the last call.

        Warns:
            UserWarning: once, if the weights took 20 steps (20 for each step of the points, where these move every few
                steps only) and learned points took none.
        """
        tensors = [weight.whole for weight in self.weights]
        if torch.is_grad_enabled() and not inside_torch_func():
            self._watch.check(self._embeddings(), tensors, self._patience)
        dtype = functools.reduce(torch.promote_types, [tensor.dtype for tensor in tensors])
        # Sums of many small costs are for the weights' own dtype, whatever the forward pass is computed in.
        with torch.autocast(tensors[0].device.type, enabled=False):
            moving = self._points_move() and not self._moved_elsewhere
            total = self.costs.penalty(self.terms, moving).to(dtype)
        if total.requires_grad and not inside_torch_func():
            watch(total, self, self.weights)
        return total

    @property
    def terms(self) -> Terms:
        """Return strength, power and reduction, as the cost object takes them."""
        return Terms(self.strength, self.power, self.reduction)

    @property
    def learn(self) -> bool:
        """Return whether any point or manifold parameter is trained."""
        return any(parameter.requires_grad for parameter in self.parameters())

    @property
    def points(self) -> Tensor:
        """Return the points (n, coordinate_dim) of a regularizer with one embedding.

        Raises:
            ValueError: if it holds several; read `embeddings` then.
        """
        if len(self.embeddings) != 1:
            raise ValueError(f"points is for one embedding, this regularizer holds {len(self.embeddings)}: embeddings")
        return self.layer_embeddings(0)[0].points

    def freeze(self) -> Self:
        """Hold the points and the manifolds' parameters fixed from now on."""
        for parameter in self.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        return self

    def release_points(self, every: int = 1) -> None:
        """Give learned points no gradient from now on: something else moves them, such as `riemod.PointEvidence`.

        Args:
            every: number of calls in which these points are expected to move once, >= 1.

        Raises:
            ValueError: if it is not an integer >= 1.
        """
        self._patience = PATIENCE * self.refresh_every * check_integer("every", every, least=1)
        self._moved_elsewhere = True

    def layer_embeddings(self, layer: int) -> list[NeuronEmbedding]:
        """Return the embeddings of a weight's targets, a recurrent layer's neurons: one, or one for each module."""
        return self._set_embeddings(self.sides[self._checked(layer)].targets)

    def source_embeddings(self, layer: int) -> list[NeuronEmbedding]:
        """Return the embeddings of a weight's sources; those of its targets if it is recurrent."""
        return self._set_embeddings(self.sides[self._checked(layer)].sources)

    def start_epoch(self, epoch: int) -> None:
        """Prepare the costs for an epoch, counted from 0; a training loop calls it before each.

        Raises:
            ValueError: if it is not an integer >= 0, or learned points on a GPU have left their manifold, which is
                looked at here alone.
        """
        self._watch.start_epoch()
        self.costs.start_epoch(check_integer("epoch", epoch, least=0))

    @torch.no_grad()
    def coefficients(
        self, layer: int = 0, first: int = 0, last: int | None = None, sign: Literal[1, -1] | None = None
    ) -> Tensor:
        """Return the costs c_jk of one weight, without strength and reduction, for the rows from `first` up to `last`.

        Args:
            layer: which of `weights`.
            first: the first row.
            last: one beyond the last row; all rows if None.
            sign: of the weights, 1 or -1, under a `Signed` law; if both signs cost the same, None will do.

        Returns:
            (last - first, m), in memory of that size, without a graph.

        Raises:
            ValueError: if there is no such layer, the rows are none of its own, or both signs do not cost the same and
                `sign` is None, or it is another number.
        """
        count = self.weights[self._checked(layer)].neurons
        last = count if last is None else check_integer("last", last, least=0, most=count)
        return of_sign(self.costs.rows(layer, check_integer("first", first, least=0, most=last), last), sign)

    def extra_repr(self) -> str:
        names = ", ".join(weight.parameter for weight in self.weights)
        return f"{names}, inhibitor={self.inhibitor}, strength={self.strength}, reduction={self.reduction!r}"

    def _checked(self, layer: int) -> int:
        return check_integer("layer", layer, least=0, most=len(self.weights) - 1)

    def _set_embeddings(self, index: int) -> list[NeuronEmbedding]:
        counts = [len(space.parts) if isinstance(space, Modules) else 1 for space in self.spaces]
        first = sum(counts[:index])
        return self._embeddings()[first : first + counts[index]]

    def _embeddings(self) -> list[NeuronEmbedding]:
        return [embedding for embedding in self.embeddings if isinstance(embedding, NeuronEmbedding)]

    def _connections(self) -> list[Connection]:
        connections = []
        for layer, (weight, sides) in enumerate(zip(self.weights, self.sides, strict=True)):
            rows = ranges_of(self.layer_embeddings(layer))
            columns = rows if sides.sources == sides.targets else ranges_of(self.source_embeddings(layer))
            connections.append(Connection(weight, rows, columns, cost_between(self.spaces[sides.targets])))
        return connections

    def _points_move(self) -> bool:
        """Return whether learned points have a part in this call's graph."""
        if self.refresh_every == 1 or not hasattr(self, "calls"):
            return True
        if not torch.is_grad_enabled():
            return False
        if self._calls is None:
            self._calls = int(self.calls)
        moving = self._calls % self.refresh_every == 0
        # The number is in the buffer to be saved, and beside it to be read without waiting for a GPU.
        self._calls += 1
        self.calls.fill_(self._calls)
        return moving

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.costs.clear()
        return super()._apply(fn, recurse)


def _check_learning(learn: bool, inhibitor: CostLaw, allow_collapse: bool, costs: Costs) -> None:
    if not isinstance(costs, Costs):
        raise TypeError(f"costs must be a cost object, such as riemod.controls.Shuffled(), got {costs!r}")
    if learn and not costs.follows_points:
        raise ValueError(
            f"learn must be False for {type(costs).__name__}: a control's coefficients do not follow its points; "
            "to match an arm that learned them, pass its points"
        )
    if learn and inhibitor.collapses and not allow_collapse:
        raise ValueError(
            f"inhibitor {inhibitor} collapses learned points to one: use learn=False, another inhibitor, "
            "or allow_collapse=True"
        )


def _embeddings(
    wiring: Wiring,
    spaces: Sequence[ModuliSpace],
    learn: bool,
    points: Tensor | Sequence[Tensor] | None,
    generator: torch.Generator | None,
) -> nn.ModuleList:
    """Make the embeddings of all sets of neurons, each in the dtype and on the device of a weight of theirs."""
    parts = [
        (wiring.tensor_at(index), *part)
        for index, (space, size) in enumerate(zip(spaces, wiring.sizes, strict=True))
        for part in parts_of(space, size)
    ]
    return nn.ModuleList(
        NeuronEmbedding(
            part, size, learn=learn, points=start, generator=generator, dtype=tensor.dtype, device=tensor.device
        )
        for (tensor, part, size), start in zip(parts, starts_of(points, len(parts)), strict=True)
    )


def _take_current_names(
    module: nn.Module,
    state: dict[str, Any],
    prefix: str,
    metadata: object,
    strict: bool,
    missing: list[str],
    unexpected: list[str],
    *_: Any,
) -> None:
    # Of a plain model that holds the regularizer, this is the place where riemod sees what is loaded.
    warn_of_masks_left_out(unexpected)
    own = {name.removeprefix(prefix): state.pop(name) for name in list(state) if name.startswith(prefix)}
    state.update({f"{prefix}{name}": value for name, value in current_names(own).items()})


def _forget_calls(module: nn.Module, _: Any) -> None:
    assert isinstance(module, ModuliRegularizer)
    module._calls = None
