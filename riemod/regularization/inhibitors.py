"""What distance costs: the inhibitor f(d) >= 0 of Eq. 6 (arXiv 2406.06290).

A distance d is geodesic, in the manifold's own unit of length, and f(d) is the cost of one unit of |w|^power. Every
inhibitor is a frozen dataclass, maps tensors of any shape element by element, and says in `collapses` whether learned
points would run together under it. `inhibitor(d)` takes distances; `inhibitor.of_squared_distance(d^2)` is what the
penalty engine calls: laws in d^2 alone take it as it is, so that no square root stands in the way of a gradient at 0.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from riemod._checks import check_positive
from riemod.manifolds.base import safe_sqrt

# exp(-64) = 1.6e-28: 1 minus it is 1 in every dtype, and its products with weights and slopes are still normal numbers.
# Denormal ones, which far pairs would have by the million, halve the speed of CPUs.
_NEGLIGIBLE_EXPONENT = -64.0
_PROBE_DISTANCES = torch.linspace(0.0, 20.0, 401, dtype=torch.float64)


class Inhibitor(ABC):
    """Gives a cost f(d) >= 0 to a distance; subclasses are frozen dataclasses."""

    @property
    @abstractmethod
    def collapses(self) -> bool:
        """Return whether learned points collapse: f never falls as d grows, so every pair pulls its points together."""

    @abstractmethod
    def of_squared_distance(self, squared: Tensor) -> Tensor:
        """Compute f as a function of d^2, element by element."""

    def __call__(self, distance: Tensor) -> Tensor:
        """Compute f(d), element by element."""
        return self.of_squared_distance(distance * distance)


@dataclass(frozen=True)
class DifferenceOfGaussians(Inhibitor):
    """Costs f(d) = floor + amplitude (b_max - b(d)) with b(d) = exp(-d^2/wide) - exp(-d^2/narrow) and b_max = max b.

    Cheapest on the ring d^2 = ln(wide/narrow) / (1/narrow - 1/wide), dear at 0 and far away. The defaults are the
    reference's function (81.1 at d = 0, 0 at d = 0.888); floor = amplitude (1 - b_max) gives Eq. 8 of the paper.

    Args:
        amplitude: scale c of the cost, > 0.
        narrow: s1, squared length of the inner Gaussian, 0 < narrow < wide.
        wide: s2, squared length of the outer Gaussian.
        floor: cost on the cheapest ring, >= 0.

    Raises:
        ValueError: if a parameter is outside its range.

    Reference: Eq. 8 of https://arxiv.org/abs/2406.06290.

    >>> f = DifferenceOfGaussians()
    >>> [round(v, 1) for v in f(torch.tensor([0.0, 0.888, 50.0])).tolist()]
    [81.1, 0.0, 81.1]
    """

    amplitude: float = 100.0
    narrow: float = 0.25
    wide: float = 5.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        check_positive("amplitude", self.amplitude)
        check_positive("narrow", self.narrow)
        check_positive("wide", self.wide)
        if not (isinstance(self.floor, int | float) and 0 <= self.floor < math.inf):
            raise ValueError(f"floor must be non-negative and finite, got {self.floor!r}")
        if not self.wide > self.narrow:
            raise ValueError(f"wide must exceed narrow (s2 > s1), got wide={self.wide!r}, narrow={self.narrow!r}")

    @property
    def collapses(self) -> bool:
        return False

    @property
    def cheapest_distance(self) -> float:
        """Return the d > 0 at which f is least."""
        return math.sqrt(math.log(self.wide / self.narrow) / (1 / self.narrow - 1 / self.wide))

    @property
    def peak(self) -> float:
        """Return b_max, the maximum of the bracket b."""
        squared = self.cheapest_distance**2
        return math.exp(-squared / self.wide) - math.exp(-squared / self.narrow)

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        bracket = decay(squared * (-1 / self.wide)) - decay(squared * (-1 / self.narrow))
        return (self.floor + self.amplitude * self.peak) - self.amplitude * bracket


@dataclass(frozen=True)
class Ricker(Inhibitor):
    """Costs f(d) = amplitude (1 - (1 - d^2/width) exp(-d^2/(2 width))): cheap near 0, dearest at d^2 = 3 width.

    The inhibitor of the Ricker ("Mexican hat") connectivity of Eq. 7. Points inside the dear ring attract and points
    beyond it repel each other, so learned points form clusters but do not collapse to one.

    Args:
        amplitude: cost far away, > 0.
        width: squared length s^2 of the wavelet, > 0.

    Reference: Eq. 7 of https://arxiv.org/abs/2406.06290.

    >>> Ricker()(torch.tensor([0.0])).item()
    0.0
    """

    amplitude: float = 100.0
    width: float = 1.0

    def __post_init__(self) -> None:
        check_positive("amplitude", self.amplitude)
        check_positive("width", self.width)

    @property
    def collapses(self) -> bool:
        return False

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        scaled = squared / self.width
        return self.amplitude * (1 - (1 - scaled) * decay(-0.5 * scaled))


@dataclass(frozen=True)
class Gaussian(Inhibitor):
    """Costs f(d) = amplitude (1 - exp(-d^2/width)): cheap near 0, dear far away. Collapses learned points.

    Args:
        amplitude: cost far away, > 0.
        width: squared length, > 0.

    >>> Gaussian(amplitude=2.0)(torch.tensor([0.0])).item()
    0.0
    """

    amplitude: float = 100.0
    width: float = 5.0

    def __post_init__(self) -> None:
        check_positive("amplitude", self.amplitude)
        check_positive("width", self.width)

    @property
    def collapses(self) -> bool:
        return True

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        return -self.amplitude * torch.expm1(squared * (-1 / self.width))


@dataclass(frozen=True)
class Diffusion(Inhibitor):
    """Costs f(d) = amplitude d^exponent. Collapses learned points.

    Args:
        amplitude: cost at d = 1, > 0.
        exponent: >= 1: below, the gradient at d = 0 is infinite.

    Reference: App. E of https://arxiv.org/abs/2406.06290.

    >>> Diffusion(exponent=2.0)(torch.tensor([3.0])).item()
    9.0
    """

    amplitude: float = 1.0
    exponent: float = 1.0

    def __post_init__(self) -> None:
        check_positive("amplitude", self.amplitude)
        if not (isinstance(self.exponent, int | float) and 1 <= self.exponent < math.inf):
            raise ValueError(f"exponent must be finite and >= 1, got {self.exponent!r}")

    @property
    def collapses(self) -> bool:
        return True

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        if self.exponent >= 2:
            return self.amplitude * squared ** (self.exponent / 2)
        return self.amplitude * safe_sqrt(squared) ** self.exponent


@dataclass(frozen=True)
class Sinusoid(Inhibitor):
    """Costs f(d) = amplitude (1 + cos(frequency d)): dear at 0, cheap at d = pi/frequency, and so on in turn.

    Args:
        amplitude: c, > 0; the cost runs from 0 to 2 c.
        frequency: mu in radians per unit of length, > 0.

    Reference: App. E of https://arxiv.org/abs/2406.06290.

    >>> Sinusoid(amplitude=1.0)(torch.tensor([0.0])).item()
    2.0
    """

    amplitude: float = 50.0
    frequency: float = math.pi / 2

    def __post_init__(self) -> None:
        check_positive("amplitude", self.amplitude)
        check_positive("frequency", self.frequency)

    @property
    def collapses(self) -> bool:
        return False

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        return self.amplitude + self.amplitude * torch.cos(self.frequency * safe_sqrt(squared))


@dataclass(frozen=True)
class IndRNN(Inhibitor):
    """Costs f(d) = 0 at d = 0, `cost` at every d > 0: in the limit cost -> infinity only self-connections are left.

    Points cannot be learned with it: f has no slope where it is finite.

    Args:
        cost: what any connection between two neurons costs, > 0 and finite.

    Reference: Li et al. 2018, https://arxiv.org/abs/1803.04831; Sec. 4.3 of https://arxiv.org/abs/2406.06290.

    >>> IndRNN(cost=7.0)(torch.tensor([0.0, 1e-3])).tolist()
    [0.0, 7.0]
    """

    cost: float = 1e4

    def __post_init__(self) -> None:
        check_positive("cost", self.cost)

    @property
    def collapses(self) -> bool:
        return True

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        return torch.where(squared > 0, self.cost, 0.0).to(squared.dtype) + 0 * squared


@dataclass(frozen=True)
class Custom(Inhibitor):
    """Costs f(d) = function(d), for any function of the distance that maps tensors element by element.

    Args:
        function: f, differentiable by autograd if points are learned; its values must be finite and >= 0.
        learnable: whether points may be learned with it; None (the default) says no exactly when f never falls on
            0 <= d <= 20, for then one point minimizes Eq. 6.

    Raises:
        ValueError: if the values on 0 <= d <= 20 are negative, not finite, or of another shape.
        TypeError: if `function` is not callable or does not return a tensor.

    >>> Custom(lambda d: 1 + d).collapses, Custom(lambda d: 1 / (1 + d)).collapses
    (True, False)
    """

    function: Callable[[Tensor], Tensor]
    learnable: bool | None = None

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function must map a tensor of distances to a tensor, got {self.function!r}")
        values = self._probe()
        if values.shape != _PROBE_DISTANCES.shape:
            raise ValueError(f"function must keep the shape {tuple(_PROBE_DISTANCES.shape)}, got {tuple(values.shape)}")
        if not bool(((values >= 0) & values.isfinite()).all()):
            raise ValueError("function must be finite and >= 0 for distances from 0 to 20")

    def _probe(self) -> Tensor:
        with torch.no_grad():
            values = self.function(_PROBE_DISTANCES.clone())
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


def decay(exponent: Tensor) -> Tensor:
    """Compute exp(exponent) for exponents <= 0, without denormal numbers: constant from exp(-64) on.

    >>> decay(torch.tensor([0.0, -1e9])).log().tolist()
    [0.0, -64.0]
    """
    return torch.exp(torch.clamp(exponent, min=_NEGLIGIBLE_EXPONENT))


def as_inhibitor(inhibitor: Inhibitor | Callable[[Tensor], Tensor]) -> Inhibitor:
    """Return an inhibitor as it is, or wrap any callable f(d) in a `Custom` one.

    Raises:
        TypeError: if it is neither, or a class where an instance is needed.

    >>> as_inhibitor(Ricker()), as_inhibitor(torch.exp).collapses
    (Ricker(amplitude=100.0, width=1.0), True)
    """
    if isinstance(inhibitor, type):
        raise TypeError(f"inhibitor must be an instance, got the class {inhibitor.__name__}: call it")
    return inhibitor if isinstance(inhibitor, Inhibitor) else Custom(inhibitor)


BY_NAME: dict[str, type[Inhibitor]] = {
    "dog": DifferenceOfGaussians,
    "ricker": Ricker,
    "gaussian": Gaussian,
    "diffusion": Diffusion,
    "sinusoid": Sinusoid,
    "indrnn": IndRNN,
}


def by_name(name: str) -> Inhibitor:
    """Return the inhibitor of that name with its default parameters.

    Raises:
        ValueError: for an unknown name.

    >>> by_name("ricker")
    Ricker(amplitude=100.0, width=1.0)
    """
    if name not in BY_NAME:
        raise ValueError(f"inhibitor must be one of {', '.join(BY_NAME)}, got {name!r}")
    return BY_NAME[name]()
