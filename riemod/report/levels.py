"""What a metric can be compared with: what a perfect answer and trivial answers give."""

from typing import Any, NamedTuple

__all__ = ["Level", "levels_of"]

_PERFECT = "a perfect net"
# The least that a model without context can reach, which a record calls a floor.
_NAMES = {"unigram floor": "guessing by word frequencies"}


class Level(NamedTuple):
    """Holds one level of a metric."""

    who: str
    """Who or what gives it."""
    value: float
    unit: str

    @property
    def is_perfect(self) -> bool:
        """Whether no net can do better; otherwise the answer is a trivial one."""
        return self.who == _PERFECT


def levels_of(record: dict[str, Any] | None, metric: str) -> list[Level]:
    """Return the levels of a metric in a run's record; none without a record.

    Args:
        record: contents of record.json.
        metric: its key there.

    >>> levels_of({"levels": {"rmse of a perfect net": {"value": 0.0, "unit": "1"}}}, "rmse")
    [Level(who='a perfect net', value=0.0, unit='1')]
    """
    found = []
    for key, entry in ({} if record is None else record["levels"]).items():
        name, _, who = key.partition(" ")
        if name == metric and who:
            known = _NAMES[who] if who in _NAMES else who.removeprefix("of ")
            found.append(Level(known, entry["value"], entry["unit"]))
    return found
