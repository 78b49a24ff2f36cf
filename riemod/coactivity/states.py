"""Shows the hidden states of a layer while a model runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from riemod.regularization.penalized import RecurrentWeight


@contextmanager
def watching(weight: RecurrentWeight, callback: Callable[[Tensor], None]) -> Iterator[None]:
    """Hand the hidden states (..., n) of a layer's forward passes inside the context to a callback, without graph.

    Args:
        weight: a hidden matrix of a layer or cell of torch.nn.
        callback: takes the states.

    Raises:
        ValueError: if the output of the layer does not show the states of these neurons.
    """
    module, neurons = weight.module, weight.neurons
    if not isinstance(module, nn.RNNBase | nn.RNNCellBase):
        raise ValueError(f"layer must be one of torch.nn, whose output is its states, got {type(module).__name__}")
    back = weight.parameter.endswith("_reverse")
    if isinstance(module, nn.RNNBase) and not weight.parameter.removesuffix("_reverse").endswith(
        f"_l{module.num_layers - 1}"
    ):
        raise ValueError(
            f"layer must be the last of its module for its states to be seen, got {weight.parameter} of "
            f"{module.num_layers} layers: use one module a layer"
        )

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        states = output[0] if isinstance(output, tuple) else output
        if isinstance(states, nn.utils.rnn.PackedSequence):
            states = states.data
        callback(states.detach()[..., neurons * back : neurons * (back + 1)])

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
