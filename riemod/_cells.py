"""The steps of GRU and LSTM cells, as pure functions of the inputs of their gates.

The caller multiplies by the weights, which may be dense, sparse or stacked over several nets. Gates are concatenated
along `dim`, in the order of `torch.nn.GRU` and `torch.nn.LSTM`.
"""

import torch
from torch import Tensor

__all__ = ["gru_step", "lstm_step"]


def gru_step(input_part: Tensor, state_part: Tensor, state: Tensor, dim: int = -1) -> Tensor:
    """Return the next state of a GRU, h' = (1 - z) n + z h.

    The gates are r = sigmoid(a_r + s_r), z = sigmoid(a_z + s_z) and n = tanh(a_n + r s_n), with the input part a and
    the state part s.

    Args:
        input_part: a = W_ih x + b_ih, of size 3 n along `dim`: reset, update and new gate.
        state_part: s = W_hh h + b_hh, of the same shape.
        state: h, of size n along `dim`.
        dim: the axis of the units.

    Returns:
        h', of the shape of the state.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html

    >>> gru_step(torch.zeros(3), torch.zeros(3), torch.ones(1))
    tensor([0.5000])
    """
    input_reset, input_update, input_new = input_part.chunk(3, dim)
    state_reset, state_update, state_new = state_part.chunk(3, dim)
    reset = torch.sigmoid(input_reset + state_reset)
    update = torch.sigmoid(input_update + state_update)
    new = torch.tanh(torch.addcmul(input_new, reset, state_new))
    return torch.lerp(new, state, update)


def lstm_step(gates: Tensor, memory: Tensor, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Return the next state and memory of an LSTM, h' = o tanh(c') and c' = f c + i g.

    i, f and o are the sigmoids of their gates, and g is the tanh of its.

    Args:
        gates: W_ih x + b_ih + W_hh h + b_hh, of size 4 n along `dim`: input, forget, cell and output gate.
        memory: c, the cell state, of size n along `dim`.
        dim: the axis of the units.

    Returns:
        h' and c', of the shape of the memory.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html

    >>> lstm_step(torch.zeros(4), torch.ones(1))[1]
    tensor([0.5000])
    """
    entry, forget, candidate, output = gates.chunk(4, dim)
    memory = torch.sigmoid(forget) * memory + torch.sigmoid(entry) * torch.tanh(candidate)
    return torch.sigmoid(output) * torch.tanh(memory), memory
