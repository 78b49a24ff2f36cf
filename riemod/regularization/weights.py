"""Finds the weights to penalize: hidden matrices of recurrent layers, matrices, kernels, and any parameter by name.

Orientation: entry [j, k] of a weight joins source k to target j, as in torch, so that a weight (n, m) has n targets and
m sources. A weight is *recurrent* if these are the same neurons, and has two sets of points if not.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ANY_CONVOLUTION = (*_CONVOLUTIONS, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_KINDS = "nn.RNN, nn.GRU, nn.LSTM, their cells, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d"


@dataclass(frozen=True)
class RecurrentWeight:
    """Names one recurrent parameter, (gates * n, n), whose gates share the points of the layer's n neurons.

    Args:
        module: the layer that owns the parameter.
        parameter: its name there, such as "weight_hh_l0".
        neurons: n.
        gates: 1 for a plain RNN, 3 for a GRU, 4 for an LSTM.
    """

    module: nn.Module
    parameter: str
    neurons: int
    gates: int

    @property
    def tensor(self) -> Tensor:
        """Return the parameter as it is now, (gates * n, n)."""
        return getattr(self.module, self.parameter)

    @property
    def sources(self) -> int:
        """Return the number of its columns: n again."""
        return self.neurons

    def blocks(self) -> tuple[Tensor, ...]:
        """Return the n x n hidden block of each gate."""
        return _gates(self.tensor, self.neurons)


@dataclass(frozen=True)
class PairedWeight:
    """Names one parameter (gates * n, m) or (n, m, *kernel) that joins m source neurons to n other ones, its targets.

    Args:
        module: the layer that owns the parameter.
        parameter: its name there.
        neurons: n.
        sources: m.
        gates: how many blocks of n rows share the targets' points.
    """

    module: nn.Module
    parameter: str
    neurons: int
    sources: int
    gates: int = 1

    @property
    def tensor(self) -> Tensor:
        """Return the parameter as it is now."""
        return getattr(self.module, self.parameter)

    def blocks(self) -> tuple[Tensor, ...]:
        """Return the n x m matrix of each gate; for a kernel, the Euclidean norms of its slices w[j, k] (App. I.2)."""
        weight = self.tensor
        if weight.ndim > 2:
            weight = torch.linalg.vector_norm(weight, dim=tuple(range(2, weight.ndim)))
        return _gates(weight, self.neurons)


Weight = RecurrentWeight | PairedWeight
Layer = nn.Module | tuple[nn.Module, str]


@dataclass(frozen=True)
class Chain:
    """Names layers in a row that share the points of the neurons in between. See `chain`."""

    weights: tuple[PairedWeight, ...]


def recurrent_weights(module: nn.Module) -> list[RecurrentWeight]:
    """List the recurrent parameters of a layer, a cell, or of all layers and cells inside a model, in module order.

    Args:
        module: an `nn.RNN`, `nn.GRU`, `nn.LSTM`, one of their cells, or a model that holds some.

    Raises:
        ValueError: if there is none, or an LSTM projects its hidden state (its recurrent matrix is not square).
        TypeError: if `module` is not a module.

    >>> [weight.parameter for weight in recurrent_weights(nn.GRU(2, 8, num_layers=2))]
    ['weight_hh_l0', 'weight_hh_l1']
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    found = [weight for child in module.modules() for weight in _own_recurrent_weights(child)]
    if not found:
        raise ValueError(
            f"module must be or hold a recurrent layer or cell of torch.nn, got {type(module).__name__}; name anything "
            f"else itself: recurrent(module, name) for the hidden matrix of your own cell, a module ({_KINDS}), or a "
            f"(module, name) pair for a weight between two sets of neurons; parameters here: {_names(module)}"
        )
    return found


def recurrent(module: nn.Module, parameter: str) -> RecurrentWeight:
    """Declare a parameter of your own cell recurrent: (gates * n, n), with one set of n points for rows and columns.

    Args:
        module: the cell, or a model that holds it.
        parameter: the parameter's name in `module`, with dots if it belongs to a part of it.

    Returns:
        The weight, which `ModuliRegularizer` takes in place of a layer.

    Raises:
        ValueError: if there is no such parameter (the message lists those there are), or its shape is not (gates n, n).
        TypeError: if an argument is of another type.

    >>> cell = nn.Module()
    >>> cell.transition = nn.Parameter(torch.zeros(6, 3))
    >>> recurrent(cell, "transition").gates
    2
    """
    owner, name, weight = _find(module, parameter)
    if weight.ndim != 2 or weight.shape[0] % weight.shape[1]:
        raise ValueError(f"parameter {parameter!r} must be (gates * n, n) to be recurrent, got {tuple(weight.shape)}")
    return RecurrentWeight(owner, name, weight.shape[1], weight.shape[0] // weight.shape[1])


def chain(*layers: Layer) -> Chain:
    """Join layers in a row, which share the points of the neurons in between: k layers have k + 1 sets of points.

    Args:
        layers: two or more of `nn.Linear`, `nn.Conv1d` to `nn.Conv3d` or (module, parameter name) pairs, in the order
            that data goes through them; what lies between them (activations, norms) is left out.

    Returns:
        The chain, which `ModuliRegularizer` takes in place of a layer.

    Raises:
        ValueError: if there are fewer than two, the inputs of one are not as many as the outputs of the one before, or
            a layer is recurrent or of a kind that is not supported.
        TypeError: if a layer is neither a module nor a pair.

    Reference: App. I.1 of https://arxiv.org/abs/2406.06290.

    >>> [weight.neurons for weight in chain(nn.Linear(4, 6), nn.Linear(6, 2)).weights]
    [6, 2]
    """
    if len(layers) < 2:
        raise ValueError(f"layers must be two or more in a chain, got {len(layers)}")
    weights: list[PairedWeight] = []
    for layer in layers:
        found = weights_of(layer)
        if len(found) != 1 or not isinstance(found[0], PairedWeight) or found[0].gates != 1:
            raise ValueError(f"layers must be linear or convolutional in a chain, got {_describe(layer)}")
        weight = found[0]
        if weights and weights[-1].neurons != weight.sources:
            raise ValueError(
                f"layers must fit in a chain: {_describe(layers[len(weights) - 1])} has {weights[-1].neurons} outputs, "
                f"{_describe(layer)} has {weight.sources} inputs"
            )
        weights.append(weight)
    return Chain(tuple(weights))


def weights_of(layer: Layer) -> Sequence[Weight]:
    """List the weights that a layer, a model or a (module, parameter name) pair stands for.

    A square parameter of your own module, named as a pair, gets two sets of points; a warning says that `recurrent`
    gives it one.

    Args:
        layer: an `nn.Linear` or convolution (its weight), a recurrent layer, cell or a model that holds some (all their
            recurrent weights), or a pair: a recurrent parameter of torch's layers, or a matrix with two sets of points.

    Raises:
        ValueError: if the kind is not supported, the parameter does not exist or has no rows and columns.
        TypeError: if it is neither a module nor a pair.

    >>> [(weight.neurons, weight.sources) for weight in weights_of(nn.Conv2d(3, 16, 5))]
    [(16, 3)]
    """
    if isinstance(layer, tuple):
        if len(layer) != 2:
            raise TypeError(f"module must be a module or a (module, parameter name) pair, got {len(layer)} items")
        weight = _named_weight(*layer)
        _warn_if_square(weight, *layer)
        return [weight]
    if isinstance(layer, (nn.Linear, *_ANY_CONVOLUTION)):
        return [_named_weight(layer, "weight")]
    return recurrent_weights(layer)


def _named_weight(module: nn.Module, parameter: str) -> Weight:
    owner, name, weight = _find(module, parameter)
    if isinstance(owner, _ANY_CONVOLUTION):
        if not isinstance(owner, _CONVOLUTIONS):
            raise ValueError(f"module must be one of {_KINDS}, got {type(owner).__name__}")
        if owner.groups != 1:
            raise ValueError(
                f"module must be a convolution with groups=1, got groups={owner.groups}: its kernels join no channels "
                "of different groups"
            )
    if weight.ndim < 2 or weight.numel() == 0:
        raise ValueError(f"parameter {parameter!r} must be (n, m) or (n, m, *kernel), got shape {tuple(weight.shape)}")
    gates = 1
    if isinstance(owner, nn.RNNBase | nn.RNNCellBase):
        gates = weight.shape[0] // owner.hidden_size
        if name in [weight.parameter for weight in _own_recurrent_weights(owner)]:
            return RecurrentWeight(owner, name, owner.hidden_size, gates)
    return PairedWeight(owner, name, weight.shape[0] // gates, weight.shape[1], gates)


def _warn_if_square(weight: Weight, module: nn.Module, parameter: str) -> None:
    """Warn if the weight of a module that is not torch's own may be recurrent: then one set of points would do."""
    torchs_own = isinstance(module, (nn.Linear, nn.RNNBase, nn.RNNCellBase, *_ANY_CONVOLUTION))
    if isinstance(weight, PairedWeight) and not torchs_own and weight.neurons == weight.sources:
        kind = type(module).__name__
        warnings.warn(
            f"({kind}, {parameter!r}) is square, {tuple(weight.tensor.shape)}, and gets two sets of points, one for "
            f"its sources and one for its targets. If they are the same neurons, name it riemod.recurrent(module, "
            f"{parameter!r}), which gives them one set.",
            stacklevel=4,
        )


def _find(module: nn.Module, parameter: str) -> tuple[nn.Module, str, Tensor]:
    """Return the module that owns a parameter, its name there, and the parameter."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    if not isinstance(parameter, str):
        raise TypeError(f"parameter must be a name, got {parameter!r}")
    path, _, name = parameter.rpartition(".")
    owner = dict(module.named_modules(remove_duplicate=False)).get(path)
    weight = None if owner is None else getattr(owner, name, None)
    if owner is None or not isinstance(weight, Tensor):
        raise ValueError(
            f"parameter {parameter!r} does not exist in this {type(module).__name__}; it has {_names(module)}"
        )
    if is_lazy(weight):
        raise ValueError(f"parameter {parameter!r} has no shape yet: run the {type(module).__name__} once before")
    if not weight.is_floating_point():
        raise ValueError(f"parameter {parameter!r} must be floating-point, got {weight.dtype}")
    return owner, name, weight


def _own_recurrent_weights(module: nn.Module) -> list[RecurrentWeight]:
    if isinstance(module, nn.RNNBase):
        if module.proj_size:
            raise ValueError("module must not project its hidden state: nn.LSTM(proj_size=...) is not supported")
        directions = ("", "_reverse") if module.bidirectional else ("",)
        names = [f"weight_hh_l{layer}{suffix}" for layer in range(module.num_layers) for suffix in directions]
    elif isinstance(module, nn.RNNCellBase):
        names = ["weight_hh"]
    else:
        return []
    neurons = module.hidden_size
    return [RecurrentWeight(module, name, neurons, getattr(module, name).shape[0] // neurons) for name in names]


def _gates(weight: Tensor, neurons: int) -> tuple[Tensor, ...]:
    # A split of one part would copy the gradient on its way back.
    return (weight,) if len(weight) == neurons else weight.split(neurons)


def _describe(layer: object) -> str:
    return f"({type(layer[0]).__name__}, {layer[1]!r})" if isinstance(layer, tuple) else type(layer).__name__


def _names(module: nn.Module) -> str:
    return ", ".join(name for name, _ in module.named_parameters()) or "none"
