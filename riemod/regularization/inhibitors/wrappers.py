"""Inhibitors that wrap a function or another inhibitor."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from riemod._checks import check_positive, shown
from riemod.manifolds.base import safe_sqrt
from riemod.regularization.inhibitors.base import CostLaw, Inhibitor

_PROBE_DISTANCES = torch.linspace(0.0, 20.0, 401, dtype=torch.float64)


@dataclass(frozen=True)
class Custom(Inhibitor):
    """Charges f(d) = function(d) for any function that maps tensors of distances element by element.

    Args:
        function: f, differentiable by autograd if points are learned; its values must be finite and >= 0.
        learnable: whether points may be learned with it. With None they may unless f never falls on 0 <= d <= 20: Eq. 6
            would then be least with all points at one place.

    Raises:
        ValueError: if the values on 0 <= d <= 20 are negative, not finite, or of another shape.
        TypeError: if `function` is not callable or does not return a tensor.

    >>> Custom(lambda d: 1 + d).collapses, Custom(lambda d: 1 / (1 + d)).collapses
    (True, False)
    """

    function: Callable[[Tensor], Tensor]
    learnable: bool | None = None

    def __post_init__(self) -> None:
        if not callable(self.function) or isinstance(self.function, type):
            raise TypeError(f"function must map a tensor of distances to a tensor, got {shown(self.function)}")
        values = self._probe()
        if values.shape != _PROBE_DISTANCES.shape:
            raise ValueError(f"function must keep the shape {tuple(_PROBE_DISTANCES.shape)}, got {tuple(values.shape)}")
        if not bool(((values >= 0) & values.isfinite()).all()):
            raise ValueError(
                f"function must be finite and >= 0 for distances from 0 to 20, got values from {values.min():.4g} to "
                f"{values.max():.4g}"
            )

    def _probe(self) -> Tensor:
        try:
            with torch.no_grad():
                values = self.function(_PROBE_DISTANCES.clone())
        except TypeError as error:
            raise TypeError("function must map a tensor of distances to a tensor, got one that refuses it") from error
        if not isinstance(values, Tensor):
            raise TypeError(f"function must return a tensor, got {type(values).__name__}")
        return values

    @property
    def collapses(self) -> bool:
        if self.learnable is not None:
            return not self.learnable
        return bool((self._probe().diff() >= 0).all())

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        return self.function(safe_sqrt(squared))


@dataclass(frozen=True)
class Scaled(Inhibitor):
    """Charges f(factor d) for an inhibitor f: the same law in another unit of length.

    Args:
        inhibitor: f.
        factor: > 0.

    Raises:
        ValueError: if the factor is not positive and finite.
        TypeError: if `inhibitor` is not an Inhibitor.

    >>> from riemod.regularization.inhibitors import Diffusion
    >>> Scaled(Diffusion(), 2.0)(torch.tensor([3.0])).item()
    6.0
    """

    inhibitor: Inhibitor
    factor: float

    def __post_init__(self) -> None:
        if not isinstance(self.inhibitor, Inhibitor):
            raise TypeError(f"inhibitor must be an Inhibitor, got {type(self.inhibitor).__name__}")
        object.__setattr__(self, "factor", check_positive("factor", self.factor))

    @property
    def collapses(self) -> bool:
        return self.inhibitor.collapses

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        return self.inhibitor.of_squared_distance(squared * self.factor**2)


@dataclass(frozen=True)
class Negated(Inhibitor):
    """Charges -f(d) for an inhibitor f: what f repels, it attracts.

    Its values are negative, so it is a law for evidence alone (`riemod.regularization.evidence_energy`): a penalty
    with it would pay weights for growing, and refuses it.

    Args:
        inhibitor: f.

    Raises:
        TypeError: if `inhibitor` is not an Inhibitor.

    >>> from riemod.regularization.inhibitors import Diffusion
    >>> Negated(Diffusion())(torch.tensor([3.0])).item()
    -3.0
    """

    inhibitor: Inhibitor

    def __post_init__(self) -> None:
        if not isinstance(self.inhibitor, Inhibitor):
            raise TypeError(f"inhibitor must be an Inhibitor, got {type(self.inhibitor).__name__}")

    @property
    def collapses(self) -> bool:
        return False

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        return -self.inhibitor.of_squared_distance(squared)


def unwrapped(inhibitor: Inhibitor) -> tuple[Inhibitor, bool]:
    """Return the law inside any `Scaled` and `Negated`, and whether its sign is turned.

    >>> from riemod.regularization.inhibitors import Diffusion
    >>> unwrapped(Scaled(Negated(Diffusion()), 2.0))
    (Diffusion(amplitude=1.0, exponent=1.0), True)
    """
    turned = False
    while isinstance(inhibitor, Negated | Scaled):
        turned ^= isinstance(inhibitor, Negated)
        inhibitor = inhibitor.inhibitor
    return inhibitor, turned


def as_inhibitor(inhibitor: Inhibitor | Callable[[Tensor], Tensor], name: str = "inhibitor") -> Inhibitor:
    """Return an inhibitor unchanged, and wrap any other callable f(d) in `Custom`; `name` is for its errors.

    Raises:
        TypeError: if it is neither, or is a class instead of an instance, or a law with an inhibitor for each sign.

    >>> from riemod.regularization.inhibitors import Ricker
    >>> as_inhibitor(Ricker()), as_inhibitor(torch.exp).collapses
    (Ricker(amplitude=100.0, width=1.0), True)
    """
    if isinstance(inhibitor, type):
        raise TypeError(f"{name} must be an instance, got the class {inhibitor.__name__}")
    if isinstance(inhibitor, CostLaw) and not isinstance(inhibitor, Inhibitor):
        raise TypeError(f"{name} must be one law for all weights here, got one for each sign: {inhibitor!r}")
    if isinstance(inhibitor, Inhibitor):
        return inhibitor
    try:
        return Custom(inhibitor)
    except (TypeError, ValueError) as error:
        what = "an Inhibitor or a function of the distance"
        raise type(error)(f"{name} must be {what}, got {shown(inhibitor)}: {error}") from error
