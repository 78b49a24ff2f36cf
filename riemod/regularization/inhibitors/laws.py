"""The laws of distance that inhibitors of the paper and of its references use."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from riemod._checks import LARGEST_POWER, check_at_least, check_positive
from riemod.manifolds.base import safe_sqrt
from riemod.regularization.inhibitors.base import Inhibitor

# exp(-64) = 1.6e-28: 1 minus it is 1 in every dtype, and its products with weights and slopes are still normal numbers.
# Denormal numbers, which distant pairs would produce by the million, halve the speed of CPUs.
_NEGLIGIBLE_EXPONENT = -64.0


@dataclass(frozen=True)
class DifferenceOfGaussians(Inhibitor):
    """Charges f(d) = floor + amplitude (b_max - b(d)), where b(d) = exp(-d^2/wide) - exp(-d^2/narrow), b_max = max b.

    The cost is least on the ring d^2 = ln(wide/narrow) / (1/narrow - 1/wide) and high at 0 and at large distances. The
    defaults are the reference's function (81.1 at d = 0, 0 at d = 0.888); floor = amplitude (1 - b_max) gives Eq. 8 of
    the paper.

    Args:
        amplitude: scale c of the cost, > 0.
        narrow: s1, squared length of the inner Gaussian, 0 < narrow < wide.
        wide: s2, squared length of the outer Gaussian.
        floor: least cost, >= 0.

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
        check_at_least("floor", self.floor, 0)
        if not self.wide > self.narrow:
            raise ValueError(f"wide must exceed narrow (s2 > s1), got wide={self.wide!r}, narrow={self.narrow!r}")

    @property
    def collapses(self) -> bool:
        return False

    @property
    def cheapest_distance(self) -> float:
        """The distance d > 0 at which f is least."""
        return math.sqrt(math.log(self.wide / self.narrow) / (1 / self.narrow - 1 / self.wide))

    @property
    def peak(self) -> float:
        """b_max, the maximum of the bracket b."""
        squared = self.cheapest_distance**2
        return math.exp(-squared / self.wide) - math.exp(-squared / self.narrow)

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        bracket = decay(squared * (-1 / self.wide)) - decay(squared * (-1 / self.narrow))
        return (self.floor + self.amplitude * self.peak) - self.amplitude * bracket


@dataclass(frozen=True)
class Ricker(Inhibitor):
    """Charges f(d) = amplitude (1 - (1 - d^2/width) exp(-d^2/(2 width))): little near 0, most at d^2 = 3 width.

    It is the inhibitor of the Ricker ("Mexican hat") connectivity of Eq. 7. Points nearer than the ring of highest cost
    attract and points beyond it repel each other, so that learned points form clusters but do not collapse to one.

    Args:
        amplitude: cost at large distances, > 0.
        width: squared length s^2 of the wavelet, > 0.

    Raises:
        ValueError: if a parameter is not positive and finite.

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
    """Charges f(d) = amplitude (1 - exp(-d^2/width)): little near 0, most far away. Collapses learned points.

    Args:
        amplitude: cost at large distances, > 0.
        width: squared length, > 0.

    Raises:
        ValueError: if a parameter is not positive and finite.

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
class Crowding(Inhibitor):
    """Charges f(d) = floor + amplitude exp(-d^2/width): most at d = 0, least far away, so that every pair repels.

    Args:
        amplitude: how much more d = 0 costs than large distances, > 0.
        width: squared length, > 0.
        floor: cost at large distances, >= 0.

    Raises:
        ValueError: if a parameter is outside its range.

    >>> Crowding(amplitude=2.0, floor=0.5)(torch.tensor([0.0, 50.0])).tolist()
    [2.5, 0.5]
    """

    amplitude: float = 100.0
    width: float = 5.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        check_positive("amplitude", self.amplitude)
        check_positive("width", self.width)
        check_at_least("floor", self.floor, 0)

    @property
    def collapses(self) -> bool:
        return False

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        return self.floor + self.amplitude * decay(squared * (-1 / self.width))


@dataclass(frozen=True)
class Diffusion(Inhibitor):
    """Charges f(d) = amplitude d^exponent. Collapses learned points.

    Args:
        amplitude: cost at d = 1, > 0.
        exponent: >= 1; for smaller ones the gradient at d = 0 would be infinite.

    Raises:
        ValueError: if a parameter is outside its range.

    Reference: App. E of https://arxiv.org/abs/2406.06290.

    >>> Diffusion(exponent=2.0)(torch.tensor([3.0])).item()
    9.0
    """

    amplitude: float = 1.0
    exponent: float = 1.0

    def __post_init__(self) -> None:
        check_positive("amplitude", self.amplitude)
        check_at_least("exponent", self.exponent, 1, LARGEST_POWER)

    @property
    def collapses(self) -> bool:
        return True

    def of_squared_distance(self, squared: Tensor) -> Tensor:
        if self.exponent >= 2:
            return self.amplitude * squared ** (self.exponent / 2)
        return self.amplitude * safe_sqrt(squared) ** self.exponent


@dataclass(frozen=True)
class Sinusoid(Inhibitor):
    """Charges f(d) = amplitude (1 + cos(frequency d)): most at d = 0, nothing at d = pi/frequency, periodically.

    Args:
        amplitude: c, > 0; the cost is between 0 and 2 c.
        frequency: mu in radians per unit of length, > 0.

    Raises:
        ValueError: if a parameter is not positive and finite.

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
    """Charges f(0) = 0 and f(d) = cost at every d > 0; as cost -> infinity only self-connections remain.

    Points cannot be learned with it, because its gradient is 0 wherever f is differentiable.

    Args:
        cost: cost of any connection between two neurons, > 0 and finite.

    Raises:
        ValueError: if the cost is not positive and finite.

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


def decay(exponent: Tensor) -> Tensor:
    """Compute exp(exponent) for exponents <= 0; below -64 it is constant, so that no result is a denormal number.

    >>> decay(torch.tensor([0.0, -1e9])).log().tolist()
    [0.0, -64.0]
    """
    return torch.exp(torch.clamp(exponent, min=_NEGLIGIBLE_EXPONENT))
