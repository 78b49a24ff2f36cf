"""Times of alternatives that run in turn."""

from typing import Any

import pytest
import torch

from riemod.sparse import paired_seconds

CPU = torch.device("cpu")
ONE = {"one": lambda: None}


def test_alternatives_run_in_turn_in_every_round() -> None:
    calls: list[str] = []
    times = paired_seconds({name: lambda name=name: calls.append(name) for name in "ab"}, CPU, rounds=3)
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}
    # A round repeats a short call, and then turns to the other one.
    turns = [name for name, before in zip(calls, ["", *calls], strict=False) if name != before]
    assert turns == ["a", "b"] * 4


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((["one"], CPU, 3), TypeError, "alternatives must be a mapping from name to a function without arguments"),
        (({"one": 3}, CPU, 3), TypeError, r"alternatives\['one'\] must be a function, got int"),
        (({"one": lambda x: x}, CPU, 3), TypeError, r"alternatives\['one'\] must take no arguments, got <function"),
        ((ONE, "cpu", 3), TypeError, "device must be a torch.device, got str"),
        ((ONE, CPU, 0), ValueError, "rounds must be an integer >= 1, got 0"),
        ((ONE, CPU, 10**12), ValueError, "rounds must be at most 1000000000, got 1000000000000"),
    ],
)
def test_bad_arguments_are_named(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        paired_seconds(*arguments)
