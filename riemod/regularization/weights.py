"""Finds the weights to penalize: hidden matrices of recurrent layers, matrices, kernels, and any parameter by name."""

import warnings
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from riemod._checks import check_module, check_type, shown
from riemod.regularization.penalized import Chain, Owner, PairedWeight, RecurrentWeight, Weight

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ANY_CONVOLUTION = (*_CONVOLUTIONS, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_KINDS = "nn.RNN, nn.GRU, nn.LSTM, their cells, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d"


Layer = nn.Module | tuple[nn.Module, str]


def recurrent_weights(module: nn.Module, argument: str = "module") -> list[RecurrentWeight]:
    """List the recurrent parameters of a layer, a cell, or of all layers and cells inside a model, in module order.

    Args:
        module: an `nn.RNN`, `nn.GRU`, `nn.LSTM`, one of their cells, or a model that holds some.
        argument: the caller's name for it, in errors.

    Raises:
        ValueError: if there is none, or an LSTM projects its hidden state (its recurrent matrix is not square).
        TypeError: if `module` is not a module.

    >>> [weight.parameter for weight in recurrent_weights(nn.GRU(2, 8, num_layers=2))]
    ['weight_hh_l0', 'weight_hh_l1']
    """
    check_module(argument, module)
    found = [weight for child in module.modules() for weight in _own_recurrent_weights(child)]
    if not found:
        raise ValueError(
            f"{argument} must be or hold a recurrent layer or cell of torch.nn, got {type(module).__name__}; "
            "name anything else itself: recurrent(module, name) for the hidden matrix of your own cell, a module "
            f"({_KINDS}), or a "
            f"(module, name) pair for a weight between two sets of neurons; parameters here: {_names(module)}"
        )
    return found


def recurrent(module: nn.Module, parameter: str, *, columns: slice | None = None) -> RecurrentWeight:
    """Declare a parameter of your own cell recurrent: (gates * n, n), with one set of n points for rows and columns.

    Args:
        module: the cell, or a model that holds it.
        parameter: the parameter's name in `module`, with dots if it belongs to a part of it.
        columns: which of the parameter's columns are the hidden matrix, where a cell concatenates inputs and state:
            `slice(2, None)` for a `Linear(2 + n, n)` of two inputs, then the state. All of them if None.

    Returns:
        The weight, which `ModuliRegularizer` takes in place of a layer.

    Raises:
        ValueError: if there is no such parameter (the message lists those there are), its columns do not fit, or the
            hidden matrix is not (gates n, n).
        TypeError: if an argument is of another type.

    >>> import torch
    >>> cell = nn.Module()
    >>> cell.transition = nn.Parameter(torch.zeros(6, 3))
    >>> recurrent(cell, "transition").gates
    2
    >>> recurrent(nn.Linear(2 + 4, 4), "weight", columns=slice(2, None)).tensor.shape
    torch.Size([4, 4])
    """
    owner, name, weight = _find(module, parameter)
    if weight.ndim != 2:
        raise ValueError(f"parameter {parameter!r} must be (gates * n, n) to be recurrent, got {tuple(weight.shape)}")
    span = None
    if columns is not None:
        span = _columns(columns, weight.shape[1])
        weight = weight[:, slice(*span)]
    if weight.shape[0] % weight.shape[1]:
        hint = "" if columns is not None else "; columns=slice(...) names the hidden part of a concatenated matrix"
        raise ValueError(
            f"parameter {parameter!r} must be (gates * n, n) to be recurrent, got {tuple(weight.shape)}{hint}"
        )
    return RecurrentWeight(Owner(owner), name, weight.shape[1], weight.shape[0] // weight.shape[1], span)


def kernel(module: nn.Module, parameter: str) -> PairedWeight:
    """Declare a parameter (n, m, *sizes) of your own layer a kernel: each slice w[j, k] joins channel k to channel j.

    Args:
        module: the layer, or a model that holds it.
        parameter: the parameter's name in `module`, with dots if it belongs to a part of it.

    Returns:
        The weight, which `ModuliRegularizer` takes in place of a layer; the norms of the slices are penalized.

    Raises:
        ValueError: if there is no such parameter, or it has fewer than three dimensions.
        TypeError: if an argument is of another type.

    >>> import torch
    >>> layer = nn.Module()
    >>> layer.taps = nn.Parameter(torch.zeros(4, 2, 5))
    >>> kernel(layer, "taps").sources
    2
    """
    owner, name, weight = _find(module, parameter)
    if weight.ndim < 3 or weight.numel() == 0:
        raise ValueError(f"parameter {parameter!r} must be (n, m, *sizes) to be a kernel, got {tuple(weight.shape)}")
    return PairedWeight(Owner(owner), name, weight.shape[0], weight.shape[1])


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
        check_type("layers", layer, (nn.Module, tuple), "modules or (module, parameter name) pairs")
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
        raise ValueError(
            f"parameter {parameter!r} of the module must be (n, m) or (n, m, *kernel), got shape {tuple(weight.shape)}"
        )
    if weight.ndim > 2 and not isinstance(owner, _CONVOLUTIONS):
        raise ValueError(
            f"parameter {parameter!r} must be a matrix, got shape {tuple(weight.shape)}: if its slices [j, k] are the "
            f"kernels from channel k to channel j, name it riemod.regularization.kernel(module, {parameter!r})"
        )
    gates = 1
    if isinstance(owner, nn.RNNBase | nn.RNNCellBase):
        gates = weight.shape[0] // owner.hidden_size
        if name in [weight.parameter for weight in _own_recurrent_weights(owner)]:
            return RecurrentWeight(Owner(owner), name, owner.hidden_size, gates)
    return PairedWeight(Owner(owner), name, weight.shape[0] // gates, weight.shape[1], gates)


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
        raise TypeError(f"parameter must be a name, got {shown(parameter)}")
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
    neurons, owner = module.hidden_size, Owner(module)
    return [RecurrentWeight(owner, name, neurons, _hidden(module, name).shape[0] // neurons) for name in names]


def _hidden(module: nn.Module, name: str) -> Tensor:
    """Return the hidden matrix of a layer or cell of torch.nn: a parameter, or computed by a parametrization."""
    own = dict(module.named_parameters(recurse=False))
    if name not in own and not is_parametrized(module, name):
        raise ValueError(
            f"{name} of {type(module).__name__} must be a parameter, but another tensor is put in its place at each "
            f"forward pass, as by weight drop; name the parameter that it is made of: recurrent(module, name), with "
            f"one of {_names(module)}"
        )
    return getattr(module, name)


def _columns(columns: slice, width: int) -> tuple[int, int]:
    if not isinstance(columns, slice):
        raise TypeError(f"columns must be a slice or None, got {type(columns).__name__}")
    first, last, step = columns.indices(width)
    if step != 1 or first >= last:
        raise ValueError(f"columns must be a slice of step 1 that holds some of the {width} columns, got {columns}")
    return first, last


def _describe(layer: object) -> str:
    return f"({type(layer[0]).__name__}, {layer[1]!r})" if isinstance(layer, tuple) else type(layer).__name__


def _names(module: nn.Module) -> str:
    return ", ".join(name for name, _ in module.named_parameters()) or "none"
