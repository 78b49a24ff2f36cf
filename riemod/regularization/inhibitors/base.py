"""The interface of an inhibitor."""

from abc import ABC, abstractmethod

from torch import Tensor


class Inhibitor(ABC):
    """Describes a cost f(d) >= 0 of distance; subclasses are frozen dataclasses."""

    @property
    @abstractmethod
    def collapses(self) -> bool:
        """Whether learned points run together: f never falls as d grows, so that every pair attracts."""

    @abstractmethod
    def of_squared_distance(self, squared: Tensor) -> Tensor:
        """Compute f as a function of d^2, element by element."""

    def __call__(self, distance: Tensor) -> Tensor:
        """Compute f(d), element by element."""
        return self.of_squared_distance(distance * distance)
