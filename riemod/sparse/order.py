"""Orders of a layer's neurons: find one, count the tiles it leaves occupied, and reorder a net without changing it.

An order is an int64 permutation p: neuron p[i] moves to place i, so a recurrent weight W becomes W[p][:, p].
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Bool, Float, Int64
from scipy.sparse import csgraph
from torch import Tensor, nn

from riemod._arrays import check_tensor
from riemod._checks import check_boolean, check_integer, check_items, check_type
from riemod.masks import find_buffer, find_mask
from riemod.pruning.blocks import tile_sums
from riemod.pruning.orders import check_permutation, order_names
from riemod.regularization.embedding import NeuronEmbedding
from riemod.regularization.neurons import neuron_order, ranges_of
from riemod.regularization.penalized import RecurrentWeight
from riemod.regularization.regularizer import ModuliRegularizer

__all__ = ["block_occupancy", "order_neurons", "permute_neurons", "reverse_cuthill_mckee"]

_KINDS = (nn.RNN, nn.GRU, nn.LSTM)


def order_neurons(embedding: NeuronEmbedding | ModuliRegularizer) -> Int64[Tensor, " n"]:
    """Return p such that neurons p[0], p[1], ... lie along a curve through the manifold.

    The curve is that of `riemod.manifolds.curve_order`.

    Args:
        embedding: of the neurons, or a regularizer with one set of neurons, whose modules follow one another.

    Returns:
        (n,), a permutation, on the points' device.

    Raises:
        TypeError: `embedding` is neither.
        ValueError: the regularizer holds several sets of neurons, or a point is NaN.

    >>> from riemod.manifolds import Sphere
    >>> circle = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    >>> order_neurons(NeuronEmbedding(Sphere(1), 3, points=circle)).tolist()
    [0, 2, 1]
    """
    if isinstance(embedding, NeuronEmbedding):
        return neuron_order([embedding])
    if not isinstance(embedding, ModuliRegularizer):
        raise TypeError(f"embedding must be a NeuronEmbedding or a ModuliRegularizer, got a {type(embedding).__name__}")
    if len(embedding.spaces) != 1:
        raise ValueError(
            f"embedding must hold one set of neurons, this regularizer holds {len(embedding.spaces)}: pass one of its "
            "embeddings"
        )
    return neuron_order(embedding.layer_embeddings(0))


def reverse_cuthill_mckee(weight: Float[Tensor, "gn n"] | Bool[Tensor, "gn n"]) -> Int64[Tensor, " n"]:
    """Return p such that the non-zeros of W[p][:, p] lie near the diagonal: reverse Cuthill-McKee on W + W^T.

    Args:
        weight: (n, n), or (gates * n, n), whose pattern is the union over its gates; or a mask of one of these.

    Returns:
        (n,), a permutation, on the weight's device.

    Raises:
        ValueError: the shape is another.

    Reference: George and Liu 1981, Computer Solution of Large Sparse Positive Definite Systems, sec. 4.3; computed by
    `scipy.sparse.csgraph.reverse_cuthill_mckee`.

    >>> chain = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0]]) > 0
    >>> order = reverse_cuthill_mckee(chain)
    >>> chain[order][:, order].int().tolist()
    [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]]
    """
    check_tensor("weight", weight)
    if weight.ndim != 2 or not weight.numel() or len(weight) % weight.shape[1]:
        raise ValueError(f"weight must have shape (gates * n, n), got {tuple(weight.shape)}")
    pattern = (weight.detach() != 0).unflatten(0, (-1, weight.shape[1])).any(0)
    graph = scipy.sparse.csr_array((pattern | pattern.T).cpu().numpy())
    order = csgraph.reverse_cuthill_mckee(graph, symmetric_mode=True)
    return torch.from_numpy(order.astype(np.int64)).to(weight.device)


def block_occupancy(weight: Float[Tensor, "*stack n m"] | Bool[Tensor, "*stack n m"], block: int) -> float:
    """Return the share of `block` x `block` tiles that hold a non-zero; tiles at an edge may be smaller.

    Args:
        weight: (n, m), or a stack (gates, n, m) whose matrices are cut apart, `weight.unflatten(0, (gates, n))`; or a
            mask of one of these.
        block: side of a tile, >= 1.

    Returns:
        In [0, 1].

    Raises:
        ValueError: `block` is no integer >= 1, or the weight has no rows or columns.

    >>> from riemod.manifolds import Torus
    >>> points = Torus(2).sample(256, generator=torch.Generator().manual_seed(0))
    >>> near = NeuronEmbedding(Torus(2), 256, points=points)
    >>> mask, order = near.distances() < 0.3, order_neurons(near)
    >>> [round(block_occupancy(mask, block), 2) for block in (16, 32, 64)]
    [0.48, 0.91, 1.0]
    >>> [round(block_occupancy(mask[order][:, order], block), 2) for block in (16, 32, 64)]
    [0.13, 0.28, 0.62]
    """
    block = check_integer("block", block, 1)
    check_tensor("weight", weight)
    if weight.ndim < 2 or not weight.numel():
        raise ValueError(f"weight must have rows and columns, got shape {tuple(weight.shape)}")
    occupied = tile_sums((weight.detach() != 0).float(), block) > 0
    return int(occupied.count_nonzero()) / occupied.numel()


class _Axis(NamedTuple):
    """Holds rows (axis 0) or columns (axis 1) of a parameter, and their order, which applies to each gate alone."""

    owner: nn.Module
    name: str
    axis: int
    order: Tensor

    @property
    def parameter(self) -> nn.Parameter:
        return self.owner.get_parameter(self.name)

    def apply(self) -> None:
        for tensor in (self.parameter.detach(), find_mask(self.owner, self.name)):
            if tensor is not None:
                stacked = tensor.unflatten(self.axis, (-1, len(self.order)))
                stacked.copy_(stacked.index_select(self.axis + 1, self.order.to(tensor.device)))
        grouped = find_buffer(self.owner, order_names(self.name)[self.axis])
        if grouped is not None:
            # It names neurons by their places, which have changed.
            grouped.copy_(self.order.to(grouped.device).argsort()[grouped])


@torch.no_grad()
def permute_neurons(
    layer: nn.RNN | nn.GRU | nn.LSTM,
    order: Int64[Tensor, " n"],
    *,
    number: int = 0,
    reverse: bool = False,
    sources: Sequence[nn.Linear] = (),
    consumers: Sequence[nn.Linear | nn.RNNBase] = (),
    moduli: ModuliRegularizer | None = None,
) -> None:
    """Move hidden unit order[i] of a recurrent layer to place i, in place: W_hh <- W_hh[p][:, p].

    Reordered with W_hh are, gate by gate, the rows of the input matrix and the biases; the columns of the next layer of
    the stack; masks (`<name>_mask`); and the orders of blocks (`<name>_order`). The net computes the same sums with
    their terms in another order. Parameters are changed, never replaced. Name every other layer that reads or sets the
    units; states that are passed in or come out are in the new order. Gradients and an optimizer's moments keep the old
    order, so make a new optimizer, and a new pruner if it was given a permutation.

    Args:
        layer: a recurrent layer without `proj_size`.
        order: (n,), a permutation; `order_neurons` or `reverse_cuthill_mckee` make one. Its inverse undoes the change.
        number: which layer of a stack, from 0.
        reverse: True for the units of the backward direction of a bidirectional layer.
        sources: linear layers whose outputs are the first state of the units; their rows and biases are reordered.
        consumers: linear or recurrent layers that read the units; their columns are reordered. n inputs are taken for
            the units of this direction, and 2 n for those of both, forward ones first.
        moduli: its points for these neurons are reordered, and the costs of a control.

    Raises:
        TypeError: an argument of another type.
        ValueError: `order` is no permutation of the layer's units, there is no such layer or direction, a source or
            consumer has another size, a weight would be reordered twice along one axis, or the order moves a neuron out
            of its module of the regularizer. Nothing was changed.

    >>> rnn, decoder = torch.nn.GRU(2, 4), torch.nn.Linear(4, 1)
    >>> sequence, order = torch.rand(5, 1, 2), torch.tensor([2, 0, 3, 1])
    >>> before = decoder(rnn(sequence)[0])
    >>> permute_neurons(rnn, order, consumers=[decoder])
    >>> torch.allclose(decoder(rnn(sequence)[0]), before, atol=1e-6)
    True
    """
    check_boolean("reverse", reverse)
    sources, consumers = check_items("sources", sources, "layers"), check_items("consumers", consumers, "layers")
    if moduli is not None:
        check_type("moduli", moduli, ModuliRegularizer, "a ModuliRegularizer or None")
    axes = _axes(layer, order, number, reverse, sources, consumers)
    seen = set()
    for own in axes:
        if (id(own.parameter), own.axis) in seen:
            raise ValueError(f"sources and consumers must name every weight once, got {own.name} of {own.owner} twice")
        seen.add((id(own.parameter), own.axis))
    moves = [] if moduli is None else list(_point_moves(moduli, axes))
    for own in axes:
        own.apply()
    for tensor, values in moves:
        tensor.copy_(values)
    if moduli is not None:
        orders = {id(own.parameter): own.order for own in axes if own.axis}
        for index, weight in enumerate(moduli.weights):
            if id(weight.whole) in orders:
                moduli.costs.permute(index, orders[id(weight.whole)].to(weight.whole.device))


def _axes(
    layer: nn.RNNBase,
    order: Tensor,
    number: int,
    reverse: bool,
    sources: Sequence[nn.Linear],
    consumers: Sequence[nn.Linear | nn.RNNBase],
) -> list[_Axis]:
    """Return every axis that the units are on; raise if an argument does not fit."""
    if not isinstance(layer, _KINDS):
        raise TypeError(f"layer must be an nn.RNN, nn.GRU or nn.LSTM, got a {type(layer).__name__}")
    if layer.proj_size:
        raise ValueError("layer must not project its hidden state: nn.LSTM(proj_size=...) is not supported")
    number = check_integer("number", number, 0, layer.num_layers - 1)
    if reverse and not layer.bidirectional:
        raise ValueError("reverse must be False for a layer of one direction, got True")
    if not isinstance(order, Tensor):
        raise TypeError(f"order must be a tensor, got a {type(order).__name__}")
    n = layer.hidden_size
    order = check_permutation("order", order, n)
    suffix = f"_l{number}{'_reverse' if reverse else ''}"
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if layer.bias else [])]
    axes = [_Axis(layer, name + suffix, 0, order) for name in names]
    axes.append(_Axis(layer, f"weight_hh{suffix}", 1, order))
    forward, backward = (torch.arange(n, device=order.device), order) if reverse else (order, torch.arange(n).to(order))
    both = torch.cat((forward, backward + n))
    if number + 1 < layer.num_layers:
        axes += _inputs(layer, number + 1, both if layer.bidirectional else order)
    for source in sources:
        if not isinstance(source, nn.Linear):
            raise TypeError(f"sources must be nn.Linear layers, got a {type(source).__name__}")
        if source.out_features != n:
            raise ValueError(f"sources must have {n} outputs, the layer's units, got {source}")
        axes += [_Axis(source, name, 0, order) for name in ("weight", *(("bias",) if source.bias is not None else ()))]
    for consumer in consumers:
        if not isinstance(consumer, nn.Linear | nn.RNNBase):
            raise TypeError(f"consumers must be nn.Linear or recurrent layers, got a {type(consumer).__name__}")
        size = consumer.in_features if isinstance(consumer, nn.Linear) else consumer.input_size
        if size != n and not (layer.bidirectional and size == 2 * n):
            raise ValueError(f"consumers must have {n}{f' or {2 * n}' * layer.bidirectional} inputs, got {consumer}")
        index = order if size == n else both
        linear = isinstance(consumer, nn.Linear)
        axes += [_Axis(consumer, "weight", 1, index)] if linear else _inputs(consumer, 0, index)
    return axes


def _inputs(layer: nn.RNNBase, number: int, index: Tensor) -> list[_Axis]:
    suffixes = ("", "_reverse") if layer.bidirectional else ("",)
    return [_Axis(layer, f"weight_ih_l{number}{suffix}", 1, index) for suffix in suffixes]


def _point_moves(moduli: ModuliRegularizer, axes: Sequence[_Axis]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the regularizer's points of the reordered neurons, and their new values."""
    orders = {(id(own.parameter), own.axis): own.order for own in axes}
    done = set()
    for layer, (target, sides) in enumerate(zip(moduli.weights, moduli.sides, strict=True)):
        for axis, side in ((0, sides.targets), (1, sides.sources)):
            order = orders.get((id(target.whole), axis))
            if order is None or side in done:
                continue
            if isinstance(target, RecurrentWeight) and target.columns is not None:
                raise ValueError(
                    f"moduli must penalize whole weights of the reordered neurons, got columns {target.columns[0]} to "
                    f"{target.columns[1] - 1} of {target.parameter}: a part's points cannot be reordered"
                )
            done.add(side)
            embeddings = moduli.source_embeddings(layer) if axis else moduli.layer_embeddings(layer)
            for embedding, part in ranges_of(embeddings):
                own = order[part] - part.start
                if not bool(((own >= 0) & (own < embedding.size)).all()):
                    raise ValueError("order must keep neurons in the module of the regularizer that they are in")
                yield embedding.points, embedding.points[own.to(embedding.points.device)]
    if not done:
        raise ValueError("moduli must have points for the neurons to reorder, got a regularizer of other weights")
