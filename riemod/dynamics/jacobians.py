"""Jacobians of a step F(h, u) along a trajectory, their spectra, and Lyapunov exponents.

`recurrent_map` makes a step of a layer of torch. States and Jacobians are float64.
"""

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.func import jacrev, vmap

from riemod._arrays import check_tensor
from riemod.dynamics._arguments import check_rows, check_step
from riemod.dynamics.recurrent_map import Step

__all__ = ["JacobianSpectra", "jacobian_spectra", "jacobians", "lyapunov_exponents"]

# Entries of the Jacobians that are computed at once: 256 MB in float64.
_ENTRIES_AT_ONCE = 1 << 25


class JacobianSpectra(NamedTuple):
    """Holds what `jacobian_spectra` finds."""

    eigenvalues: Complex[Tensor, "... s"]
    """Sorted by absolute value, the largest first."""
    singular_values: Float[Tensor, "... s"]
    """Sorted, the largest first."""


def jacobians(step: Step, states: Float[Tensor, "t s"], inputs: Float[Tensor, "t m"]) -> Float[Tensor, "t s s"]:
    """Compute J_t = dF(h, u)/dh at each state h_t and input u_t, by torch.func.jacrev.

    J_t[j, k] is the effect of component k of the state on component j of the next one.

    Args:
        step: F, for example from `recurrent_map`.
        states: (t, s), the state before each step.
        inputs: (t, m), the input of each step.

    Returns:
        (t, s, s), float64; 2 MB a step at s = 512. At a kink of a ReLU the derivative is the one that torch takes.

    Raises:
        TypeError: if states or inputs are not floating-point tensors.
        ValueError: if they hold NaN, their numbers differ, or the step does not return a state of the same size.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.func.jacrev.html

    >>> jacobians(lambda h, u: h.square() + u, torch.tensor([[1.0, 3.0]]), torch.zeros(1, 2))
    tensor([[[2., 0.],
             [0., 6.]]], dtype=torch.float64)
    """
    states, inputs = check_rows(states, "states"), check_rows(inputs, "inputs")
    if len(states) != len(inputs):
        raise ValueError(f"inputs must be as many as states, {len(states)}, got {len(inputs)}")
    check_step(step, states, inputs)
    at_once = max(1, _ENTRIES_AT_ONCE // states.shape[1] ** 2)
    return vmap(jacrev(step), chunk_size=at_once)(states, inputs).detach()


def jacobian_spectra(matrices: Float[Tensor, "... s s"]) -> JacobianSpectra:
    """Compute the eigenvalues and singular values of each matrix, in O(s^3) time a matrix.

    Args:
        matrices: (..., s, s), for example from `jacobians`.

    Returns:
        The eigenvalues and the singular values.

    Raises:
        ValueError: if the matrices are not square, or hold NaN.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.linalg.eigvals.html

    >>> jacobian_spectra(torch.tensor([[0.0, -2.0], [2.0, 0.0]])).singular_values
    tensor([2., 2.], dtype=torch.float64)
    """
    matrices = _check_square(matrices)
    eigenvalues = torch.linalg.eigvals(matrices)
    order = eigenvalues.abs().argsort(dim=-1, descending=True)
    return JacobianSpectra(eigenvalues.gather(-1, order), torch.linalg.svdvals(matrices))


def lyapunov_exponents(matrices: Float[Tensor, "t s s"]) -> Float[Tensor, " s"]:
    """Compute the rates at which small differences of states grow along a trajectory.

    lambda_i = (1/T) sum_t log |R_ii(t)|, with Q_t R_t = J_t Q_{t-1} and Q_0 = 1. Their sum is the mean of log |det J|.
    For finite T they depend on the start by O(1/T). A direction that a step maps to 0, as an inactive ReLU does, has
    the exponent minus infinity.

    Args:
        matrices: J_1, ..., J_T, (t, s, s), in the order of time.

    Returns:
        (s,), in nats a step, the largest first.

    Raises:
        ValueError: if the matrices are not square, hold NaN, or there are none.

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


def _check_square(matrices: Tensor) -> Tensor:
    check_tensor("matrices", matrices)
    if matrices.ndim < 2 or matrices.shape[-1] != matrices.shape[-2] or matrices.shape[-1] == 0:
        raise ValueError(f"matrices must be square, got the shape {tuple(matrices.shape)}")
    if not torch.isfinite(matrices).all():
        raise ValueError("matrices must be finite, got NaN or infinity")
    return matrices.detach().double().cpu()
