"""Checks of the states, inputs and steps that the functions of this room take."""

import torch
from jaxtyping import Float
from torch import Tensor

from riemod.dynamics.recurrent_map import Step


def check_rows(rows: Tensor, name: str) -> Float[Tensor, "t s"]:
    """Return the rows in float64 on the CPU, without gradient.

    Raises:
        TypeError: if they are not a floating-point tensor.
        ValueError: if they do not have the shape (t, s) with t, s >= 1, or are not finite.
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
    """Raise a ValueError unless the step takes the first state and input to a state of the same size."""
    with torch.no_grad():
        try:
            after = step(states[0], inputs[0])
        except RuntimeError as error:
            sizes = f"states of size {states.shape[1]} and inputs of size {inputs.shape[1]}"
            raise ValueError(f"step must take {sizes}, got the error: {error}") from error
    if after.shape != states[0].shape:
        raise ValueError(f"step must return a state of size {states.shape[1]}, got the shape {tuple(after.shape)}")
