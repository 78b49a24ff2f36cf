"""Orders of neurons for pruning by blocks: which weights have one, where it comes from, and where it is kept.

The order at the last grouping is kept in int64 buffers beside the mask: `<parameter>_order` for the rows of each gate,
and `<parameter>_source_order` for the columns if these are other neurons. A weight whose neurons are taken by their
index has no such buffers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn import Module, RNNBase, RNNCellBase

from riemod.masks import find_buffer
from riemod.pruning.blocks import Grid
from riemod.regularization.neurons import neuron_order
from riemod.regularization.penalized import RecurrentWeight
from riemod.regularization.regularizer import ModuliRegularizer
from riemod.regularization.weights import recurrent_weights

__all__ = [
    "BlockLayout",
    "Order",
    "block_layouts",
    "check_permutation",
    "find_orders",
    "missing_orders",
    "order_names",
    "store_orders",
]

Order = ModuliRegularizer | Tensor


@dataclass(frozen=True)
class BlockLayout:
    """Says where the order of a weight's neurons comes from.

    Args:
        gates: number of gates, n rows each.
        order: a regularizer that penalizes the weight, a permutation of its neurons, or None to take them by index.
        layer: which of the regularizer's weights it is.
    """

    gates: int
    order: Order | None = None
    layer: int = 0

    def grid(self, device: torch.device) -> Grid:
        """Return how the weight is cut now, at the present points.

        Raises:
            ValueError: a point is NaN, infinite or off its manifold.
        """
        if self.order is None:
            return Grid(self.gates)
        if isinstance(self.order, Tensor):
            return Grid(self.gates, self.order.to(device))
        sides = self.order.sides[self.layer]
        rows = neuron_order(self.order.layer_embeddings(self.layer)).to(device)
        if sides.sources == sides.targets:
            return Grid(self.gates, rows)
        return Grid(self.gates, rows, neuron_order(self.order.source_embeddings(self.layer)).to(device))


def block_layouts(
    model: Module, places: Sequence[tuple[str, Module, str]], order: Order | None
) -> dict[str, BlockLayout]:
    """Choose the weights that are pruned in blocks, and say where each takes its order from.

    Args:
        model: holds the weights.
        places: name, owner and name in the owner of every weight that is pruned.
        order: a regularizer chooses the weights that it penalizes; a permutation of n neurons chooses every recurrent
            weight with n neurons; None chooses all weights.

    Returns:
        The layout of each chosen weight, by name.

    Raises:
        TypeError: `order` is of another type.
        ValueError: `order` is no permutation, fits another model or none of these weights, or penalizes a part of one;
            or there is no order, and a weight has no columns.
    """
    weights = {id(owner.get_parameter(attribute)): name for name, owner, attribute in places}
    if order is None:
        return {name: BlockLayout(_gates(owner, owner.get_parameter(own), name)) for name, owner, own in places}
    if isinstance(order, ModuliRegularizer):
        parameters = {id(parameter) for parameter in model.parameters()}
        for target in order.weights:
            columns = target.columns if isinstance(target, RecurrentWeight) else None
            if columns is not None and id(target.whole) in weights:
                raise ValueError(
                    f"order must penalize whole parameters to cut them into blocks, got columns {columns[0]} to "
                    f"{columns[1] - 1} of {weights[id(target.whole)]}: choose other targets, or prune it without blocks"
                )
        if any(id(target.whole) not in parameters for target in order.weights):
            raise ValueError("order must be a ModuliRegularizer of the model to prune, got one of another model")
        targets = list(enumerate(order.weights))
        what = f"the weights of the ModuliRegularizer ({', '.join(target.parameter for target in order.weights)})"
    elif isinstance(order, Tensor):
        order = check_permutation("order", order).clone()
        layers = [part for part in model.modules() if isinstance(part, RNNBase | RNNCellBase)]
        own = [weight for layer in layers for weight in recurrent_weights(layer) if weight.module is layer]
        targets = [(0, weight) for weight in own if weight.neurons == len(order)]
        what = f"the recurrent weights with {len(order)} neurons ({len(targets)} in the model)"
    else:
        raise TypeError(f"order must be a ModuliRegularizer, a permutation or None, got {type(order).__name__}")
    layouts = {
        weights[id(target.tensor)]: BlockLayout(target.gates, order, layer)
        for layer, target in targets
        if id(target.tensor) in weights
    }
    if not layouts:
        raise ValueError(
            f"order must fit one of the targets, {', '.join(weights.values())}, got {what}, of which none is a target"
        )
    return layouts


def check_permutation(name: str, order: Tensor, size: int | None = None) -> Int64[Tensor, " n"]:
    """Return the order; raise a ValueError unless it is an int64 permutation of 0 .. n - 1, with n = size if given."""
    n = order.numel() if size is None else size
    if order.dtype != torch.int64 or order.shape != (n,) or not n or order.sort().values.tolist() != list(range(n)):
        raise ValueError(
            f"{name} must be an int64 permutation of {'0 .. n - 1' if size is None else f'{n} neurons'}, got "
            f"{order.dtype} of shape {tuple(order.shape)}{'' if order.numel() > 16 else f': {order.tolist()}'}"
        )
    return order


def order_names(parameter_name: str) -> tuple[str, str]:
    """Return the names of the buffers that hold the order of a parameter's rows and of its columns.

    >>> order_names("weight_hh_l0")
    ('weight_hh_l0_order', 'weight_hh_l0_source_order')
    """
    return f"{parameter_name}_order", f"{parameter_name}_source_order"


def find_orders(owner: Module, parameter_name: str) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " m"]] | None:
    """Return the order of a weight's rows (of each gate) and of its columns at its last grouping, or None.

    >>> find_orders(torch.nn.Linear(2, 2), "weight") is None
    True
    """
    rows, columns = (find_buffer(owner, name) for name in order_names(parameter_name))
    return None if rows is None else (rows, rows if columns is None else columns)


def missing_orders(owner: Module, parameter_name: str, grid: Grid) -> dict[str, Tensor]:
    """Return, by name, the buffers for a weight's order that its owner does not have yet.

    Raises:
        ValueError: the owner uses a name for something else.
    """
    missing = {}
    for name, order in zip(order_names(parameter_name), (grid.rows, grid.sources), strict=True):
        found = find_buffer(owner, name)
        if order is None or (found is not None and found.dtype == torch.int64 and found.shape == order.shape):
            continue
        if hasattr(owner, name):
            raise ValueError(
                f"{type(owner).__name__} already has an attribute {name!r} that is not an int64 buffer of shape "
                f"{tuple(order.shape)}: the order of {parameter_name!r} needs that name"
            )
        missing[name] = order.clone()
    return missing


def store_orders(owner: Module, parameter_name: str, grid: Grid) -> None:
    """Write the order of a weight that was grouped anew into its buffers."""
    for name, order in zip(order_names(parameter_name), (grid.rows, grid.sources), strict=True):
        if order is not None:
            owner.get_buffer(name).copy_(order)


def _gates(owner: Module, weight: Tensor, name: str) -> int:
    if weight.ndim < 2:
        raise ValueError(f"blocks must be of weights with rows and columns, got {name} of shape {tuple(weight.shape)}")
    neurons = owner.hidden_size if isinstance(owner, RNNBase | RNNCellBase) else len(weight)
    # weight_hr of an LSTM that projects its state has no gates, and fewer rows than there are neurons.
    return 1 if len(weight) % int(neurons) else len(weight) // int(neurons)
