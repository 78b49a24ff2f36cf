"""Schedules: the sparsity (fraction of zeros, in [0, 1]) to prune to at the start of each epoch, counted from 0."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Protocol, runtime_checkable

from riemod._checks import check_integer, shown

__all__ = ["ConstantSchedule", "CubicSchedule", "LinearSchedule", "RampSchedule", "Schedule"]


@runtime_checkable
class Schedule(Protocol):
    """Describes anything that gives a sparsity for an epoch: `schedule(epoch) -> float`, epochs counted from 0."""

    def __call__(self, epoch: int, /) -> float:
        """Return the sparsity in [0, 1] to prune to at the start of `epoch`."""
        ...


def check_sparsity(name: str, value: float) -> None:
    """Raise a ValueError unless `value` is a number in [0, 1]; NaN is not."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a sparsity, the fraction of zeros, in [0, 1], got {shown(value)}")


@dataclass(frozen=True)
class RampSchedule(ABC):
    """Raises the sparsity from 0 to `final`: final * ramp(k / (N - 1)) in pruning epoch k = 0, ..., N - 1.

    The pruning epochs are `start`, ..., `epochs - tail - 1`, so N = epochs - tail - start. The sparsity is 0 before
    them and `final` after them. The last pruning epoch prunes to `final`; with N = 1 that is the only one.

    Args:
        final: sparsity at the end, in [0, 1].
        epochs: number of epochs of the whole training, >= 1.
        tail: number of epochs to recover in after the last pruning.
        start: first pruning epoch.

    Raises:
        ValueError: `final` is no number in [0, 1], a count is no integer or is too small, or start + tail >= epochs.
    """

    final: float
    epochs: int
    tail: int = 0
    start: int = 0

    def __post_init__(self) -> None:
        """Check the fields."""
        check_sparsity("final", self.final)
        for name, least in (("epochs", 1), ("tail", 0), ("start", 0)):
            check_integer(name, getattr(self, name), least)
        if self.start + self.tail >= self.epochs:
            raise ValueError(
                f"start + tail must be less than epochs, got start={self.start}, tail={self.tail} and "
                f"epochs={self.epochs}, which leave no epoch to prune in"
            )

    @abstractmethod
    def ramp(self, fraction: float) -> float:
        """Return the share of `final` at a fraction of the pruning epochs; it rises from 0 at 0 to 1 at 1."""

    def __call__(self, epoch: int, /) -> float:
        """Return the sparsity to prune to at the start of `epoch` (from 0); past the last epoch it is `final`."""
        check_integer("epoch", epoch, 0)
        last = self.epochs - self.tail - self.start - 1
        position = epoch - self.start
        if position < 0:
            return 0.0
        if position >= last:
            return float(self.final)
        return float(self.final) * self.ramp(position / last)


@dataclass(frozen=True)
class LinearSchedule(RampSchedule):
    """Prunes the same share of the weights in each epoch: final * k / (N - 1) in pruning epoch k = 0, ..., N - 1.

    Domain, arguments and errors are those of `RampSchedule`. Reference: moduli regularization's schedule, Sec. 3.

    >>> [LinearSchedule(final=0.9, epochs=6, tail=2)(epoch) for epoch in range(6)]
    [0.0, 0.3, 0.6, 0.9, 0.9, 0.9]
    """

    def ramp(self, fraction: float) -> float:
        """Return the fraction itself."""
        return fraction


@dataclass(frozen=True)
class CubicSchedule(RampSchedule):
    """Prunes fast at first and slowly at the end: final * (1 - (1 - k / (N - 1))^3) in pruning epoch k = 0, ..., N - 1.

    Domain, arguments and errors are those of `RampSchedule`. Reference: Zhu and Gupta 2017,
    https://arxiv.org/abs/1710.01878.

    >>> [CubicSchedule(final=0.8, epochs=3)(epoch) for epoch in range(3)]
    [0.0, 0.7000000000000001, 0.8]
    """

    def ramp(self, fraction: float) -> float:
        """Return one minus the cube of the fraction that is left."""
        left = 1 - fraction
        return 1 - left * left * left


@dataclass(frozen=True)
class ConstantSchedule:
    """Prunes to the same sparsity at every epoch.

    Args:
        final: the sparsity, in [0, 1].

    Raises:
        ValueError: `final` is no number in [0, 1].

    >>> ConstantSchedule(0.5)(7)
    0.5
    """

    final: float

    def __post_init__(self) -> None:
        """Check the field."""
        check_sparsity("final", self.final)

    def __call__(self, epoch: int, /) -> float:
        """Return `final` for any `epoch` >= 0."""
        check_integer("epoch", epoch, 0)
        return float(self.final)
