"""A run that stops in the middle of an epoch, as if it were killed."""

from collections.abc import Callable


class Killed(BaseException):
    """What stands for SIGKILL inside one process: nothing in the library catches it."""


def stop_in(epoch: int, steps: int = 4) -> Callable[[int, int, dict[str, float]], None]:
    """A reporter that stops a run with so many steps an epoch."""

    def report(step: int, total: int, row: dict[str, float]) -> None:
        if step > epoch * steps:
            raise Killed

    return report
