"""The interfaces of a law of costs and of an inhibitor."""

from abc import ABC, abstractmethod

from torch import Tensor


class CostLaw(ABC):
    """Says what weights pay by distance: one inhibitor for all of them, or one for each sign."""

    @property
    @abstractmethod
    def parts(self) -> tuple["Inhibitor", ...]:
        """The inhibitor that every weight pays by, or two: that of positive weights, then that of negative ones."""

    @property
    @abstractmethod
    def collapses(self) -> bool:
        """Whether learned points run together: the cost never falls as d grows, so that every pair attracts."""


class Inhibitor(CostLaw):
    """Describes a cost f(d) >= 0 of distance; subclasses are frozen dataclasses."""

    @property
    def parts(self) -> tuple["Inhibitor", ...]:
        return (self,)

    @abstractmethod
    def of_squared_distance(self, squared: Tensor) -> Tensor:
        """Compute f as a function of d^2, element by element."""

    def __call__(self, distance: Tensor) -> Tensor:
        """Compute f(d), element by element."""
        return self.of_squared_distance(distance * distance)
