"""Checks of the states, inputs and steps that the functions of this room take."""

import torch
from jaxtyping import Float
from torch import Tensor

from riemod._arrays import check_tensor
from riemod._checks import check_function, kind_of
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
    check_tensor(name, rows)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"{name} must have the shape (t, s) with t, s >= 1, got {tuple(rows.shape)}")
    if not torch.isfinite(rows).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return rows.detach().double().cpu()


def check_step(step: Step, states: Tensor, inputs: Tensor) -> None:
    """Raise an error unless the step is a function that takes the first state and input to a state of the same size."""
    check_function("step", step, "a function of a state and an input")
    with torch.no_grad():
        try:
            after = step(states[0], inputs[0])
        except RuntimeError as error:
            sizes = f"states of size {states.shape[1]} and inputs of size {inputs.shape[1]}"
            raise ValueError(f"step must take {sizes}, got the error: {error}") from error
        except TypeError as error:
            raise TypeError("step must be a function of a state and an input, got one that refuses them") from error
    if not isinstance(after, Tensor):
        raise TypeError(f"step must return a state, got {kind_of(after)}")
    if after.shape != states[0].shape:
        raise ValueError(f"step must return a state of size {states.shape[1]}, got the shape {tuple(after.shape)}")
