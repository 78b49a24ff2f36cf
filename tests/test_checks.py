"""Checks of arguments: what passes, and what each error says."""

import math

import numpy as np
import pytest
import torch

from riemod._checks import (
    check_at_least,
    check_choice,
    check_fraction,
    check_integer,
    check_positive,
    check_prime,
    check_share,
)


def test_integers_of_python_and_numpy_pass() -> None:
    assert check_integer("n", 3, least=1) == check_integer("n", np.int64(3), least=1, most=3) == 3
    assert type(check_integer("n", np.int64(3), least=1)) is int


@pytest.mark.parametrize("value", [True, 1.0, "1", None, 0, 10, torch.tensor(1), [1]])
def test_other_values_are_no_integers(value: object) -> None:
    with pytest.raises(ValueError, match=r"^n must be an integer from 1 to 9, got "):
        check_integer("n", value, least=1, most=9)
    with pytest.raises(ValueError, match=r"^n must be an integer >= 11, got "):
        check_integer("n", value, least=11)


@pytest.mark.parametrize("value", [True, "1", None, math.nan, math.inf, -math.inf, -1.0, 1j])
def test_other_values_are_no_numbers(value: object) -> None:
    with pytest.raises(ValueError, match=r"^x must be positive and finite, got "):
        check_positive("x", value)
    with pytest.raises(ValueError, match=r"^x must be finite and >= 0, got "):
        check_at_least("x", value, 0)
    with pytest.raises(ValueError, match=r"^x must be in \[0, 1\), got "):
        check_share("x", value)
    with pytest.raises(ValueError, match=r"^x must be in \(0, 1\), got "):
        check_fraction("x", value)


def test_bounds_are_where_they_say() -> None:
    assert check_at_least("x", 0, 0) == check_share("x", np.float32(0)) == 0.0
    with pytest.raises(ValueError, match="got 0"):
        check_positive("x", 0)
    with pytest.raises(ValueError, match="got 1"):
        check_share("x", 1)
    assert check_fraction("x", np.float32(0.5)) == 0.5
    for bound in (0, 1):
        with pytest.raises(ValueError, match=f"got {bound}"):
            check_fraction("x", bound)


def test_choices_are_listed() -> None:
    assert check_choice("mode", "sum", ("mean", "sum")) == "sum"
    with pytest.raises(ValueError, match=r"^mode must be 'mean' or 'sum', got 'max'$"):
        check_choice("mode", "max", ("mean", "sum"))
    with pytest.raises(ValueError, match=r"^mode must be 'a', 'b' or 'c', got 3$"):
        check_choice("mode", 3, ("a", "b", "c"))


@pytest.mark.parametrize("value", [1, 4, 9, True, 2.0, "2"])
def test_what_is_no_prime(value: object) -> None:
    with pytest.raises(ValueError, match="prime must be a prime number"):
        check_prime(value)
    assert check_prime(np.int64(7)) == 7
