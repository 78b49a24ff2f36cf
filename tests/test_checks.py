"""Checks of arguments: what passes, and what each error says."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from riemod._checks import (
    check_at_least,
    check_boolean,
    check_choice,
    check_fraction,
    check_function,
    check_generator,
    check_integer,
    check_items,
    check_mapping,
    check_module,
    check_number,
    check_positive,
    check_prime,
    check_repeats,
    check_share,
    check_text,
    check_type,
    shown,
    takes,
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


@pytest.mark.parametrize("prime", [10**400, 2**63, 2**61 - 1])
def test_a_prime_too_large_to_be_told_is_refused_at_once(prime: int) -> None:
    with pytest.raises(ValueError, match="prime must be below 2\\^31, got"):
        check_prime(prime)


def test_numbers_whose_products_float32_cannot_hold_are_refused() -> None:
    assert check_positive("x", 1e30) == 1e30
    for value in (1e300, 1e-300, 10**30 + 10**20):
        with pytest.raises(ValueError, match="x must be from 1e-30 to 1e\\+30, got"):
            check_positive("x", value)
    with pytest.raises(ValueError, match="x must be at most 1e\\+30, got"):
        check_at_least("x", 1e300, 0)
    with pytest.raises(ValueError, match="power must be at most 100, got"):
        check_at_least("power", 101, 1, 100.0)


def test_steps_that_would_never_end_are_refused() -> None:
    assert check_repeats("steps", 10**9) == 10**9
    for value in (10**12, 2**63, 10**400):
        with pytest.raises(ValueError, match="steps must be at most 1000000000, got"):
            check_repeats("steps", value)
    with pytest.raises(ValueError, match="steps must be an integer >= 1, got 0"):
        check_repeats("steps", 0)


@pytest.mark.parametrize("value", [None, "x", math.nan, 10**400, True, torch.tensor(1.0)])
def test_what_is_no_number_at_all(value: object) -> None:
    assert check_number("x", -math.inf) == -math.inf
    with pytest.raises(ValueError, match="x must be a number, got"):
        check_number("x", value)


@pytest.mark.parametrize(
    ("check", "right", "wrong", "what"),
    [
        (check_module, torch.nn.Identity(), torch.nn.Identity, "a torch.nn.Module, got the class Identity"),
        (check_boolean, np.True_, 1, "True or False, got int"),
        (check_text, "a", b"a", "a string, got bytes"),
        (check_function, print, int, "a function, got the class int"),
        (lambda name, value: check_generator(value, name), None, 3, "a torch.Generator or None, got int"),
        (lambda name, value: check_mapping(name, value, "a mapping"), {}, [], "a mapping, got list"),
        (lambda name, value: check_items(name, value, "names"), ["a"], "a", "names, got str"),
        (lambda name, value: check_items(name, value, "names"), (), None, "names, got None"),
        (lambda name, value: check_items(name, value, "names"), (), np.array(1.0), "names, got a single number"),
        (lambda name, value: check_type(name, value, (int, str), "an int"), 3, 1.5, "an int, got float"),
    ],
)
def test_types_are_named(check: Callable[..., object], right: object, wrong: object, what: str) -> None:
    check("x", right)
    with pytest.raises(TypeError, match=f"^x must be {re.escape(what)}$"):
        check("x", wrong)


def test_values_are_shown_in_one_short_line() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert shown("x") == "'x'"
    assert shown(-(10**9000)) == "an integer of 9001 digits"
    assert shown(torch.zeros(2)) == "a tensor of shape (2,)"
    assert shown(np.zeros((1, 2))) == "an array of shape (1, 2)"
    assert shown(torch.nn.GRU(1, 2)) == "a module GRU"
    assert shown(Broken()) == "an object of Broken"
    assert len(shown(list(range(1000)))) == 80
    assert "\n" not in shown(np.float64(1.0)) + shown([torch.ones(2, 2)])


def test_arguments_that_a_function_takes_are_told_before_it_is_called() -> None:
    assert takes(lambda model, *, generator=None, skip=None: None, 1, generator=2, skip=3)
    assert not takes(lambda: None, 1)
    assert takes(min, 1, 2)
