"""How a recurrent layer moves its state: Jacobians along a trajectory, their spectra and Lyapunov exponents.

A step F(h, u) takes a state (s,) and an input (m,) to the next state; `recurrent_map` makes one of torch's layers, and
any function of two tensors that torch.func can differentiate will do. States and Jacobians are float64.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.func import jacrev, vmap

__all__ = [
    "JacobianSpectra",
    "Step",
    "jacobian_spectra",
    "jacobians",
    "lyapunov_exponents",
    "recurrent_map",
]

Step = Callable[[Tensor, Tensor], Tensor]

_CELLS_AT_ONCE = 1 << 25


class JacobianSpectra(NamedTuple):
    """What `jacobian_spectra` found."""

    eigenvalues: Complex[Tensor, "... s"]
    """By falling absolute value."""
    singular_values: Float[Tensor, "... s"]
    """By falling value."""


def recurrent_map(layer: nn.RNN | nn.GRU | nn.LSTM, index: int = 0) -> Step:
    """F(h, u), the step of one layer of an RNN, GRU or LSTM, with its weights as they are now, in float64.

    The state of an LSTM is its hidden state and then its cell state, (2 n,). Of stacked layers, the input of layer
    `index` is the state of the layer below.

    Args:
        layer: one direction, no projection.
        index: which of its layers, from 0.

    Returns:
        A function of a state (..., s) and an input (..., m), differentiable in both.

    Raises:
        TypeError: for another module.
        ValueError: for a bidirectional layer, a projection, or an index out of range.

    Reference: https://docs.pytorch.org/docs/stable/nn.html#recurrent-layers

    >>> layer = nn.RNN(1, 2, nonlinearity="relu", bias=False)
    >>> _ = [nn.init.ones_(weight) for weight in layer.parameters()]
    >>> recurrent_map(layer)(torch.tensor([1.0, 2.0]).double(), torch.tensor([-1.0]).double())
    tensor([2., 2.], dtype=torch.float64)
    """
    if not isinstance(layer, nn.RNN | nn.GRU | nn.LSTM):
        raise TypeError(f"layer must be an nn.RNN, nn.GRU or nn.LSTM, got {type(layer).__name__}")
    if layer.bidirectional or layer.proj_size:
        raise ValueError("layer must have one direction and no projection")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < layer.num_layers:
        raise ValueError(f"index must be an integer in [0, {layer.num_layers}), got {index!r}")
    copied = {name: value.detach().double().cpu().clone() for name, value in layer.named_parameters()}
    from_input, from_state = copied[f"weight_ih_l{index}"], copied[f"weight_hh_l{index}"]
    none = from_input.new_zeros(len(from_input))
    input_bias, state_bias = copied.get(f"bias_ih_l{index}", none), copied.get(f"bias_hh_l{index}", none)
    activation = torch.relu if isinstance(layer, nn.RNN) and layer.nonlinearity == "relu" else torch.tanh

    def plain(h: Tensor, u: Tensor) -> Tensor:
        return activation(u @ from_input.T + input_bias + h @ from_state.T + state_bias)

    def gru(h: Tensor, u: Tensor) -> Tensor:
        input_parts = (u @ from_input.T + input_bias).chunk(3, dim=-1)
        state_parts = (h @ from_state.T + state_bias).chunk(3, dim=-1)
        reset, update = (torch.sigmoid(a + b) for a, b in zip(input_parts[:2], state_parts[:2], strict=True))
        new = torch.tanh(input_parts[2] + reset * state_parts[2])
        return (1 - update) * new + update * h

    def lstm(state: Tensor, u: Tensor) -> Tensor:
        h, c = state.chunk(2, dim=-1)
        parts = (u @ from_input.T + input_bias + h @ from_state.T + state_bias).chunk(4, dim=-1)
        taken, kept, shown = (torch.sigmoid(parts[place]) for place in (0, 1, 3))
        c = kept * c + taken * torch.tanh(parts[2])
        return torch.cat((shown * torch.tanh(c), c), dim=-1)

    return gru if isinstance(layer, nn.GRU) else lstm if isinstance(layer, nn.LSTM) else plain


def jacobians(step: Step, states: Float[Tensor, "t s"], inputs: Float[Tensor, "t m"]) -> Float[Tensor, "t s s"]:
    """J_t = dF(h, u)/dh at h_t, u_t; J_t[j, k] is what component k does to component j. By torch.func.jacrev.

    Args:
        step: F, from `recurrent_map` or one's own.
        states: (t, s), the states before each step.
        inputs: (t, m), the input of each step.

    Returns:
        (t, s, s), float64; 2 MB a step at s = 512. At a kink of a ReLU, torch's choice of the derivative.

    Raises:
        TypeError: if states or inputs are not floating-point tensors.
        ValueError: for NaN, sizes that differ, or a step that does not return a state of the same size.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.func.jacrev.html

    >>> jacobians(lambda h, u: h.square() + u, torch.tensor([[1.0, 3.0]]), torch.zeros(1, 2))
    tensor([[[2., 0.],
             [0., 6.]]], dtype=torch.float64)
    """
    states, inputs = check_rows(states, "states"), check_rows(inputs, "inputs")
    if len(states) != len(inputs):
        raise ValueError(f"inputs must be as many as states, {len(states)}, got {len(inputs)}")
    check_step(step, states, inputs)
    at_once = max(1, _CELLS_AT_ONCE // states.shape[1] ** 2)
    return vmap(jacrev(step), chunk_size=at_once)(states, inputs).detach()


def jacobian_spectra(matrices: Float[Tensor, "... s s"]) -> JacobianSpectra:
    """The eigenvalues and singular values of each matrix. O(s^3) each.

    Args:
        matrices: (..., s, s), such as `jacobians` gives.

    Returns:
        eigenvalues and singular_values.

    Raises:
        ValueError: if they are not square, or hold NaN.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.linalg.eigvals.html

    >>> jacobian_spectra(torch.tensor([[0.0, -2.0], [2.0, 0.0]])).singular_values
    tensor([2., 2.], dtype=torch.float64)
    """
    matrices = _check_square(matrices)
    eigenvalues = torch.linalg.eigvals(matrices)
    order = eigenvalues.abs().argsort(dim=-1, descending=True)
    return JacobianSpectra(eigenvalues.gather(-1, order), torch.linalg.svdvals(matrices))


def lyapunov_exponents(matrices: Float[Tensor, "t s s"]) -> Float[Tensor, " s"]:
    """lambda_i = (1/T) sum_t log |R_ii(t)|, where Q_t R_t = J_t Q_{t-1}, Q_0 = 1: growth rates along a trajectory.

    Their sum is the mean of log |det J|. For finite T they depend on the start by O(1/T); a direction that a step
    destroys (a ReLU that is off) has the exponent minus infinity.

    Args:
        matrices: J_1, ..., J_T, (t, s, s), in the order of time.

    Returns:
        (s,), in nats a step, falling.

    Raises:
        ValueError: if they are not square, hold NaN, or there are none.

    Reference: Benettin et al. 1980, https://doi.org/10.1007/BF02128236; Engelken, Wolf and Abbott 2023,
    https://doi.org/10.1103/PhysRevResearch.5.043044

    >>> lyapunov_exponents(torch.diag(torch.tensor([1.0, 2.0])).expand(5, 2, 2)).exp()
    tensor([2., 1.], dtype=torch.float64)
    """
    matrices = _check_square(matrices)
    if matrices.ndim != 3 or len(matrices) == 0:
        raise ValueError(f"matrices must have the shape (t, s, s) with t >= 1, got {tuple(matrices.shape)}")
    frame = torch.eye(matrices.shape[-1], dtype=torch.float64)
    total = frame.new_zeros(len(frame))
    for matrix in matrices:
        frame, triangle = torch.linalg.qr(matrix @ frame)
        total += triangle.diagonal().abs().log()
    return (total / len(matrices)).sort(descending=True).values


def check_rows(rows: Tensor, name: str) -> Float[Tensor, "t s"]:
    """The rows in float64 on the CPU, without gradient.

    Raises:
        TypeError: if they are not a floating-point tensor.
        ValueError: if they are not (t, s) with t, s >= 1, or not finite.
    """
    if not (isinstance(rows, Tensor) and rows.is_floating_point()):
        got = rows.dtype if isinstance(rows, Tensor) else type(rows).__name__
        raise TypeError(f"{name} must be a floating-point tensor, got {got}")
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"{name} must have the shape (t, s) with t, s >= 1, got {tuple(rows.shape)}")
    if not torch.isfinite(rows).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return rows.detach().double().cpu()


def check_step(step: Step, states: Tensor, inputs: Tensor) -> None:
    """Raise ValueError unless the step takes a state to one of its size."""
    with torch.no_grad():
        try:
            after = step(states[0], inputs[0])
        except RuntimeError as error:
            sizes = f"states of size {states.shape[1]} with inputs of size {inputs.shape[1]}"
            raise ValueError(f"step does not take {sizes}: {error}") from error
    if after.shape != states[0].shape:
        raise ValueError(
            f"step must return a state of the size of its own, {states.shape[1]}, got {tuple(after.shape)}"
        )


def _check_square(matrices: Tensor) -> Tensor:
    if matrices.ndim < 2 or matrices.shape[-1] != matrices.shape[-2] or matrices.shape[-1] == 0:
        raise ValueError(f"matrices must be square, got the shape {tuple(matrices.shape)}")
    if not torch.isfinite(matrices).all():
        raise ValueError("matrices must be finite, got NaN or infinity")
    return matrices.detach().double().cpu()
