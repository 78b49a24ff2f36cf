"""The step of a recurrent layer as a function of state and input.

A step F(h, u) takes a state (s,) and an input (m,) to the next state. `recurrent_map` makes one of a layer of torch;
every function of two tensors that torch.func can differentiate is another. States are float64.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from riemod._cells import gru_step, lstm_step
from riemod._checks import check_integer

__all__ = ["Step", "recurrent_map"]

Step = Callable[[Tensor, Tensor], Tensor]


def recurrent_map(layer: nn.RNN | nn.GRU | nn.LSTM, index: int = 0) -> Step:
    """Return F(h, u), one step of a recurrent layer, with a float64 copy of its present weights.

    The state of an LSTM is its hidden state followed by its cell state, (2 n,). In a stack, the input of layer `index`
    is the hidden state of the layer below it.

    Args:
        layer: with one direction and no projection.
        index: which layer of the stack, from 0.

    Returns:
        A function of a state (..., s) and an input (..., m), differentiable in both.

    Raises:
        TypeError: if layer is another module.
        ValueError: if the layer is bidirectional or has a projection, or index is out of range.

    Reference: https://docs.pytorch.org/docs/stable/nn.html#recurrent-layers

    >>> layer = nn.RNN(1, 2, nonlinearity="relu", bias=False)
    >>> _ = [nn.init.ones_(weight) for weight in layer.parameters()]
    >>> recurrent_map(layer)(torch.tensor([1.0, 2.0]).double(), torch.tensor([-1.0]).double())
    tensor([2., 2.], dtype=torch.float64)
    """
    if not isinstance(layer, nn.RNN | nn.GRU | nn.LSTM):
        raise TypeError(f"layer must be an nn.RNN, nn.GRU or nn.LSTM, got {type(layer).__name__}")
    if layer.bidirectional or layer.proj_size:
        raise ValueError(
            f"layer must have one direction and no projection, got bidirectional={layer.bidirectional}, "
            f"proj_size={layer.proj_size}"
        )
    check_integer("index", index, 0, layer.num_layers - 1)
    copied = {name: value.detach().double().cpu().clone() for name, value in layer.named_parameters()}
    from_input, from_state = copied[f"weight_ih_l{index}"], copied[f"weight_hh_l{index}"]
    none = from_input.new_zeros(len(from_input))
    input_bias, state_bias = copied.get(f"bias_ih_l{index}", none), copied.get(f"bias_hh_l{index}", none)
    activation = torch.relu if isinstance(layer, nn.RNN) and layer.nonlinearity == "relu" else torch.tanh

    def total(h: Tensor, u: Tensor) -> Tensor:
        return u @ from_input.T + input_bias + h @ from_state.T + state_bias

    def plain(h: Tensor, u: Tensor) -> Tensor:
        return activation(total(h, u))

    def gru(h: Tensor, u: Tensor) -> Tensor:
        return gru_step(u @ from_input.T + input_bias, h @ from_state.T + state_bias, h)

    def lstm(state: Tensor, u: Tensor) -> Tensor:
        h, memory = state.chunk(2, dim=-1)
        return torch.cat(lstm_step(total(h, u), memory), dim=-1)

    return gru if isinstance(layer, nn.GRU) else lstm if isinstance(layer, nn.LSTM) else plain
