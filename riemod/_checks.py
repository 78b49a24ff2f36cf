"""Checks of arguments. Each returns the value, or raises an error that names the argument.

NumPy's integers and floats count as numbers, True and False do not.
"""

import math
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return the value as an int; raise a ValueError unless it is an integer from `least` to `most` (no limit if None).

    >>> check_integer("steps", 3, least=1)
    3
    """
    if not _is_integer(value) or int(value) < least or (most is not None and int(value) > most):
        span = f">= {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be an integer {span}, got {value!r}")
    return int(value)


def check_positive(name: str, value: Any) -> float:
    """Return the value as a float; raise a ValueError unless it is a number with 0 < value < infinity."""
    if not (_is_number(value) and 0 < value < math.inf):
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    return float(value)


def check_at_least(name: str, value: Any, least: float) -> float:
    """Return the value as a float; raise a ValueError unless it is a number with least <= value < infinity."""
    if not (_is_number(value) and least <= value < math.inf):
        raise ValueError(f"{name} must be finite and >= {least:g}, got {value!r}")
    return float(value)


def check_share(name: str, value: Any) -> float:
    """Return the value as a float; raise a ValueError unless it is a number with 0 <= value < 1."""
    if not (_is_number(value) and 0 <= value < 1):
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")
    return float(value)


def check_fraction(name: str, value: Any) -> float:
    """Return the value as a float; raise a ValueError unless it is a number with 0 < value < 1."""
    if not (_is_number(value) and 0 < value < 1):
        raise ValueError(f"{name} must be in (0, 1), got {value!r}")
    return float(value)


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Return the value; raise a ValueError unless it is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        *others, last = map(repr, choices)
        known = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name} must be {known}, got {value!r}")
    return value


def check_prime(prime: Any) -> int:
    """Return the prime as an int; raise a ValueError unless it is a prime number."""
    if not _is_integer(prime) or prime < 2 or any(prime % divisor == 0 for divisor in range(2, math.isqrt(prime) + 1)):
        raise ValueError(f"prime must be a prime number, got {prime!r}")
    return int(prime)


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        float(value)
    except OverflowError:  # an integer or a fraction that no float can hold
        return False
    return True
