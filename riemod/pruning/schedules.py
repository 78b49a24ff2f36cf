"""Schedules: which sparsity (fraction of zeros, in [0, 1]) to prune to at the start of each epoch, counted from 0."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Protocol, runtime_checkable

__all__ = ["ConstantSchedule", "CubicSchedule", "LinearSchedule", "RampSchedule", "Schedule"]


@runtime_checkable
class Schedule(Protocol):
    """Anything that gives a sparsity for an epoch: `schedule(epoch) -> float`, epochs counted from 0."""

    def __call__(self, epoch: int, /) -> float:
        """Sparsity in [0, 1] to prune to at the start of `epoch`."""
        ...


def check_sparsity(name: str, value: float) -> None:
    """Raise TypeError unless `value` is a real number, ValueError unless it lies in [0, 1]; NaN does not."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number in [0, 1], got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: a sparsity is the fraction of zeros, in [0, 1], got {value!r}")


def check_whole(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected an int, got {value!r}")
    if value < least:
        raise ValueError(f"{name}: must be at least {least}, got {value}")


@dataclass(frozen=True)
class RampSchedule(ABC):
    """final * ramp(k / (N - 1)) in pruning epoch k of N; 0 before the pruning epochs, `final` in the tail after them.

    The pruning epochs are `start`, ..., `epochs - tail - 1`, so N = epochs - tail - start. The last of them prunes to
    `final`; N = 1 prunes to it at once.

    Args:
        final: sparsity at the end, in [0, 1].
        epochs: number of epochs of the whole training, at least 1.
        tail: number of epochs after the last pruning, to recover in.
        start: first pruning epoch.

    Raises:
        TypeError: `final` is no number, or one of the others is no int.
        ValueError: `final` outside [0, 1], a negative count, or start + tail >= epochs.
    """

    final: float
    epochs: int
    tail: int = 0
    start: int = 0

    def __post_init__(self) -> None:
        """Check the fields."""
        check_sparsity("final", self.final)
        check_whole("epochs", self.epochs, 1)
        check_whole("tail", self.tail, 0)
        check_whole("start", self.start, 0)
        if self.start + self.tail >= self.epochs:
            raise ValueError(
                f"a schedule that ends before it starts: start={self.start} and tail={self.tail} leave no pruning "
                f"epoch of epochs={self.epochs}; start + tail must be less than epochs"
            )

    @abstractmethod
    def ramp(self, fraction: float) -> float:
        """Share of `final` reached at a fraction of the pruning epochs: rises from 0 at 0 to 1 at 1."""

    def __call__(self, epoch: int, /) -> float:
        """Sparsity to prune to at the start of `epoch` (from 0); past the last epoch it is `final`."""
        check_whole("epoch", epoch, 0)
        last = self.epochs - self.tail - self.start - 1
        position = epoch - self.start
        if position < 0:
            return 0.0
        if position >= last:
            return float(self.final)
        return float(self.final) * self.ramp(position / last)


@dataclass(frozen=True)
class LinearSchedule(RampSchedule):
    """final * k / (N - 1) in pruning epoch k of N: the same share of the weights goes in each epoch.

    Domain, arguments and errors are those of `RampSchedule`. Reference: moduli regularization's schedule, Sec. 3.

    >>> [LinearSchedule(final=0.9, epochs=6, tail=2)(epoch) for epoch in range(6)]
    [0.0, 0.3, 0.6, 0.9, 0.9, 0.9]
    """

    def ramp(self, fraction: float) -> float:
        """The fraction itself."""
        return fraction


@dataclass(frozen=True)
class CubicSchedule(RampSchedule):
    """final * (1 - (1 - k / (N - 1))^3) in pruning epoch k of N: fast while weights are plenty, slow at the end.

    Domain, arguments and errors are those of `RampSchedule`. Reference: Zhu and Gupta 2017,
    https://arxiv.org/abs/1710.01878.

    >>> [CubicSchedule(final=0.8, epochs=3)(epoch) for epoch in range(3)]
    [0.0, 0.7000000000000001, 0.8]
    """

    def ramp(self, fraction: float) -> float:
        """One minus the cube of what is left."""
        left = 1 - fraction
        return 1 - left * left * left


@dataclass(frozen=True)
class ConstantSchedule:
    """The same sparsity at every epoch.

    Args:
        final: the sparsity, in [0, 1].

    Raises:
        TypeError: `final` is no number.
        ValueError: `final` outside [0, 1].

    >>> ConstantSchedule(0.5)(7)
    0.5
    """

    final: float

    def __post_init__(self) -> None:
        """Check the field."""
        check_sparsity("final", self.final)

    def __call__(self, epoch: int, /) -> float:
        """The sparsity, whichever `epoch` (from 0)."""
        check_whole("epoch", epoch, 0)
        return float(self.final)
