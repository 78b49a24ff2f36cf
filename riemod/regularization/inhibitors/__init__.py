"""Inhibitors: the cost f(d) >= 0 of a distance in Eq. 6 (arXiv 2406.06290).

A distance d is geodesic, in the manifold's own unit of length, and f(d) is the cost of one unit of |w|^power. Every
inhibitor is a frozen dataclass and maps tensors of any shape element by element. Its `collapses` says whether learned
points would run together. `inhibitor(d)` takes distances; the penalty calls `inhibitor.of_squared_distance(d^2)`. Laws
that depend only on d^2 use it directly, so that no square root makes a gradient infinite at 0.

A `Signed` law holds two inhibitors, one for positive weights and one for negative ones. A penalty takes it wherever it
takes an inhibitor.
"""

import dataclasses

from riemod._checks import did_you_mean, shown
from riemod.regularization.inhibitors.base import CostLaw, Inhibitor
from riemod.regularization.inhibitors.laws import (
    Crowding,
    DifferenceOfGaussians,
    Diffusion,
    Gaussian,
    IndRNN,
    Ricker,
    Sinusoid,
)
from riemod.regularization.inhibitors.signed import Signed
from riemod.regularization.inhibitors.wrappers import Custom, Negated, Scaled, as_inhibitor

__all__ = [
    "BY_NAME",
    "CostLaw",
    "Crowding",
    "Custom",
    "DifferenceOfGaussians",
    "Diffusion",
    "Gaussian",
    "IndRNN",
    "Inhibitor",
    "Negated",
    "Ricker",
    "Scaled",
    "Signed",
    "Sinusoid",
    "as_inhibitor",
    "by_name",
]

BY_NAME: dict[str, type[Inhibitor]] = {
    "dog": DifferenceOfGaussians,
    "ricker": Ricker,
    "gaussian": Gaussian,
    "crowding": Crowding,
    "diffusion": Diffusion,
    "sinusoid": Sinusoid,
    "indrnn": IndRNN,
}


def by_name(name: str, **parameters: float) -> Inhibitor:
    """Make the inhibitor of that name.

    Args:
        name: a key of BY_NAME.
        parameters: of the inhibitor, in place of its defaults.

    Raises:
        ValueError: if no inhibitor has that name, or this one has no such parameter, or not with that value.

    >>> by_name("ricker", width=2.0)
    Ricker(amplitude=100.0, width=2.0)
    """
    if not isinstance(name, str) or name not in BY_NAME:
        got = f"{shown(name)}{did_you_mean([name], BY_NAME)}"
        raise ValueError(f"inhibitor must be one of {', '.join(BY_NAME)}, got {got}")
    known = [field.name for field in dataclasses.fields(BY_NAME[name])]  # pyright: ignore[reportArgumentType]
    for parameter in parameters:
        if parameter not in known:
            raise ValueError(f"parameters of inhibitor {name!r} must be {', '.join(known)}, got {shown(parameter)}")
    return BY_NAME[name](**parameters)
