"""Runs a sequence through one recurrent layer step by step, by torch's operations: any size, device and gradient.

States are (n, batch), features first.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from riemod._cells import gru_step, lstm_step
from riemod.sparse.layouts import Product

__all__ = ["CELLS", "State", "Weights", "scan_backward", "scan_forward"]

State = tuple[Tensor, ...]


class Weights(NamedTuple):
    """Holds one layer and direction: products with the input and hidden matrix, and biases (rows, 1) or None."""

    input: Product
    hidden: Product
    input_bias: Tensor | None
    hidden_bias: Tensor | None


Cell = Callable[[Weights, Tensor, State], State]


def scan_forward(cell: Cell, weights: Weights, steps: Sequence[Tensor], state: State) -> tuple[list[Tensor], State]:
    """Run forward in time; a packed batch is sorted by length, so its last sequences end first."""
    outputs: list[Tensor] = []
    ended: list[State] = []
    for x in steps:
        batch = x.shape[1]
        if batch < state[0].shape[1]:
            ended.append(tuple(part[:, batch:] for part in state))
            state = tuple(part[:, :batch].contiguous() for part in state)
        state = cell(weights, x, state)
        outputs.append(state[0])
    return outputs, _joined(state, *reversed(ended))


def scan_backward(cell: Cell, weights: Weights, steps: Sequence[Tensor], first: State) -> tuple[list[Tensor], State]:
    """Run backward in time; the first sequences of a packed batch are the longest, so they begin first."""
    outputs: list[Tensor] = []
    state = tuple(part[:, :0] for part in first)
    for x in reversed(steps):
        begun, batch = state[0].shape[1], x.shape[1]
        if batch > begun:
            state = _joined(state, tuple(part[:, begun:batch] for part in first))
        state = cell(weights, x, state)
        outputs.append(state[0])
    return outputs[::-1], state


def _joined(*states: State) -> State:
    """Join the states of several sets of sequences."""
    return states[0] if len(states) == 1 else tuple(torch.cat(parts, 1) for parts in zip(*states, strict=True))


def _sum(weights: Weights, x: Tensor, h: Tensor) -> Tensor:
    """Return W_ih x + W_hh h + both biases."""
    total = weights.input(x) + weights.hidden(h)
    for bias in (weights.input_bias, weights.hidden_bias):
        if bias is not None:
            total += bias
    return total


def _rnn_relu(weights: Weights, x: Tensor, state: State) -> State:
    return (_sum(weights, x, state[0]).relu_(),)


def _rnn_tanh(weights: Weights, x: Tensor, state: State) -> State:
    return (_sum(weights, x, state[0]).tanh_(),)


def _gru(weights: Weights, x: Tensor, state: State) -> State:
    given, recalled = weights.input(x), weights.hidden(state[0])
    if weights.input_bias is not None and weights.hidden_bias is not None:
        given, recalled = given + weights.input_bias, recalled + weights.hidden_bias
    return (gru_step(given, recalled, state[0], dim=0),)


def _lstm(weights: Weights, x: Tensor, state: State) -> State:
    return lstm_step(_sum(weights, x, state[0]), state[1], dim=0)


CELLS: dict[str, Cell] = {"RNN_TANH": _rnn_tanh, "RNN_RELU": _rnn_relu, "GRU": _gru, "LSTM": _lstm}
