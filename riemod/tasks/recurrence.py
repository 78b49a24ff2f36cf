"""Recurrent layers by kind, and the last states of N one-layer nets that are computed side by side.

The parameters of the N nets are stacked along a first axis. `torch.nn.RNN` has no such axis, and `torch.vmap` does not
batch it. Here matrix products become batched ones (bmm), so that many small nets use a machine that one of them would
leave idle. Every net's result is the one it has alone, to float rounding.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from riemod._cells import lstm_step

Cell = Literal["rnn_tanh", "rnn_relu", "gru", "lstm"]


def recurrent_layer(cell: Cell, input_size: int, hidden_size: int) -> nn.RNN | nn.GRU | nn.LSTM:
    """Return one recurrent layer of that kind."""
    if cell == "gru":
        return nn.GRU(input_size, hidden_size)
    if cell == "lstm":
        return nn.LSTM(input_size, hidden_size)
    return nn.RNN(input_size, hidden_size, nonlinearity="tanh" if cell == "rnn_tanh" else "relu")


def weights_of_layer(cell: Cell, input_size: int, hidden_size: int) -> int:
    """Return the number of weights of such a layer without its biases.

    >>> weights_of_layer("gru", 2, 8)
    240
    """
    return {"gru": 3, "lstm": 4}.get(cell, 1) * hidden_size * (input_size + hidden_size)


def last_states(cell: Cell, parameters: Mapping[str, Tensor], sequence: Float[Tensor, "N T B k"]) -> Tensor:
    """Return the (N, B, n) hidden states after the last step, from a state of zero.

    Args:
        cell: kind of the layer.
        parameters: by the names that torch gives them (weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0), stacked.
        sequence: (N, T, B, k) inputs, constant; B sequences of T steps for each of the N models.
    """
    bias = parameters["bias_ih_l0"]
    # The GRU's reset gate stands between its recurrent bias and the rest.
    bias = bias if cell == "gru" else bias + parameters["bias_hh_l0"]
    if cell in ("rnn_relu", "rnn_tanh"):
        weights = parameters["weight_ih_l0"], bias, parameters["weight_hh_l0"]
        return _LastState.apply(sequence, *weights, cell == "rnn_relu")
    drive = _drive(sequence, parameters["weight_ih_l0"], bias)
    if cell == "gru":
        return _gru(drive, parameters["weight_hh_l0"], parameters["bias_hh_l0"])
    return _lstm(drive, parameters["weight_hh_l0"])


def _drive(sequence: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return (N, T, B, g): what the inputs add at every step, V x_t + b."""
    models, steps, batch, inputs = sequence.shape
    drive = torch.baddbmm(bias.unsqueeze(1), sequence.reshape(models, steps * batch, inputs), weight.mT)
    return drive.view(models, steps, batch, -1)


class _LastState(torch.autograd.Function):
    """Computes h_T of h_t = phi(V x_t + b + W h_{t-1}) with h_0 = 0, phi ReLU or tanh; differentiable in V, b and W.

    Autograd would add up the gradient of W step by step; here it is one product over all steps. Each state is
    written over what the inputs add at its step.
    """

    @staticmethod
    def forward(ctx: Any, sequence: Tensor, drive_weight: Tensor, bias: Tensor, weight: Tensor, relu: bool) -> Tensor:
        states = _drive(sequence, drive_weight, bias)
        product = torch.empty_like(states[:, 0])
        for step in range(states.shape[1]):
            own = states[:, step]
            if step:
                torch.bmm(states[:, step - 1], weight.mT, out=product)
                own += product
            _ = own.relu_() if relu else own.tanh_()
        ctx.save_for_backward(sequence, states, weight)
        ctx.relu = relu
        return states[:, -1].clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        sequence, states, weight = ctx.saved_tensors
        models, steps, batch, size = states.shape
        slopes = torch.empty_like(states)
        carried = gradient.contiguous().clone()
        for step in range(steps - 1, -1, -1):
            own, out = states[:, step], slopes[:, step]
            if ctx.relu:
                torch.ops.aten.threshold_backward(carried, own, 0, grad_input=out)
            else:
                torch.ops.aten.tanh_backward(carried, own, grad_input=out)
            if step:
                torch.bmm(out, weight, out=carried)
        slopes, states = slopes.view(models, steps * batch, size), states.view(models, steps * batch, size)
        drive_gradient = torch.bmm(slopes.mT, sequence.reshape(models, steps * batch, -1))
        return None, drive_gradient, slopes.sum(1), torch.bmm(slopes[:, batch:].mT, states[:, :-batch]), None


def _gru(drive: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    models, steps, batch, gates = drive.shape
    state = drive.new_zeros(models, batch, gates // 3)
    for step in range(steps):
        recurrent = torch.baddbmm(bias.unsqueeze(1), state, weight.mT)
        reset, update, candidate = drive[:, step].chunk(3, dim=-1)
        own_reset, own_update, own_candidate = recurrent.chunk(3, dim=-1)
        update = torch.sigmoid(update + own_update)
        candidate = torch.tanh(candidate + torch.sigmoid(reset + own_reset) * own_candidate)
        state = torch.lerp(candidate, state, update)
    return state


def _lstm(drive: Tensor, weight: Tensor) -> Tensor:
    models, steps, batch, gates = drive.shape
    state = memory = drive.new_zeros(models, batch, gates // 4)
    for step in range(steps):
        state, memory = lstm_step(torch.baddbmm(drive[:, step], state, weight.mT), memory)
    return state
