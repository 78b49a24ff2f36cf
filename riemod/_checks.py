"""Checks of arguments. Each returns the value, or raises an error that names the argument.

NumPy's integers and floats count as numbers, True and False do not.
"""

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import torch

_Kind = TypeVar("_Kind")

MOST_REPEATS = 10**9
"""The largest number of steps, draws or restarts that a function takes: at 1 ms each it would take 12 days."""
LARGEST = 1e30
"""The largest number that a strength, a length or a rate may be: beyond it float32 overflows in a few products."""
LARGEST_POWER = 100.0
"""The largest exponent of a weight or a distance: 2.5 to a larger power overflows float32."""
_SHOWN = 80
_LARGEST_PRIME = 2**31 - 1


def shown(value: Any) -> str:
    """Return one line of at most 80 characters that shows a value in an error.

    >>> shown(10**400), shown([1, None]), shown(torch.zeros(2, 3)), shown(int)
    ('an integer of 401 digits', '[1, None]', 'a tensor of shape (2, 3)', 'the class int')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim > 0:
        return f"{'a tensor' if isinstance(value, torch.Tensor) else 'an array'} of shape {tuple(value.shape)}"
    if isinstance(value, torch.nn.Module):
        return f"a module {type(value).__name__}"
    if isinstance(value, int) and value.bit_length() > 3 * _SHOWN:
        # Python refuses to print an integer of more than 4,300 digits.
        return f"an integer of {int(value.bit_length() * math.log10(2)) + 1} digits"
    try:
        text = " ".join(repr(value).split())
    except Exception:
        return f"an object of {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def kind_of(value: Any) -> str:
    """Return the name of a value's type, for an error.

    >>> kind_of(1.5), kind_of(None), kind_of(int)
    ('float', 'None', 'the class int')
    """
    return shown(value) if isinstance(value, type) else "None" if value is None else type(value).__name__


def check_type(name: str, value: Any, kind: type[_Kind] | tuple[type[_Kind], ...], what: str) -> _Kind:
    """Return the value; raise a TypeError that says what it must be unless it is an instance of the type.

    >>> check_type("optimizer", 3, torch.optim.Optimizer, "a torch.optim.Optimizer")
    Traceback (most recent call last):
    TypeError: optimizer must be a torch.optim.Optimizer, got int
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {what}, got {kind_of(value)}")
    return value


def check_module(name: str, value: Any) -> torch.nn.Module:
    """Return the module; raise a TypeError unless it is one."""
    return check_type(name, value, torch.nn.Module, "a torch.nn.Module")


def check_generator(generator: Any, name: str = "generator") -> torch.Generator | None:
    """Return the generator or None; raise a TypeError for anything else."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"{name} must be a torch.Generator or None, got {kind_of(generator)}")
    return generator


def check_boolean(name: str, value: Any) -> bool:
    """Return the value as a bool; raise a TypeError unless it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {kind_of(value)}")
    return bool(value)


def check_text(name: str, value: Any) -> str:
    """Return the string; raise a TypeError unless it is one."""
    return check_type(name, value, str, "a string")


def check_function(name: str, value: Any, what: str = "a function") -> Callable[..., Any]:
    """Return the value; raise a TypeError unless it can be called. A class is none, for it would make an object."""
    if not callable(value) or isinstance(value, type):
        raise TypeError(f"{name} must be {what}, got {kind_of(value)}")
    return value


def takes(function: Callable[..., Any], *positional: Any, **named: Any) -> bool:
    """Tell whether a function can be called with these arguments; True where Python does not know its parameters.

    >>> takes(lambda a, b: None, 1), takes(lambda a, *, b=2: None, 1, b=3)
    (False, True)
    """
    try:
        inspect.signature(function).bind(*positional, **named)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def check_mapping(name: str, value: Any, what: str) -> Mapping[Any, Any]:
    """Return the mapping; raise a TypeError that says what it must be unless it is one."""
    return check_type(name, value, Mapping, what)


def check_items(name: str, value: Any, what: str) -> list[Any]:
    """Return the items of an iterable; raise a TypeError that says what it must be for a string and whatever has none.

    >>> check_items("names", ("a", "b"), "a list of names")
    ['a', 'b']
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) or isinstance(value, type):
        raise TypeError(f"{name} must be {what}, got {kind_of(value)}")
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 0:
        raise TypeError(f"{name} must be {what}, got a single number")
    return list(value)


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return the value as an int; raise a ValueError unless it is an integer from `least` to `most` (no limit if None).

    >>> check_integer("steps", 3, least=1)
    3
    """
    if not _is_integer(value) or int(value) < least or (most is not None and int(value) > most):
        span = f">= {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be an integer {span}, got {shown(value)}")
    return int(value)


def check_repeats(name: str, value: Any, least: int = 1) -> int:
    """Return the number of steps, draws or restarts as an int; raise a ValueError unless it is from `least` to 10^9."""
    if check_integer(name, value, least) > MOST_REPEATS:
        raise ValueError(f"{name} must be at most {MOST_REPEATS}, got {shown(value)}")
    return int(value)


def check_positive(name: str, value: Any) -> float:
    """Return the value as a float; raise a ValueError unless it is a number with 0 < value < infinity.

    Products of a few numbers must not leave the range of float32, so 1e-30 <= value <= 1e30.
    """
    if not (is_number(value) and 0 < value < math.inf):
        raise ValueError(f"{name} must be positive and finite, got {shown(value)}")
    if not 1 / LARGEST <= value <= LARGEST:
        raise ValueError(f"{name} must be from {1 / LARGEST:g} to {LARGEST:g}, got {shown(value)}")
    return float(value)


def check_at_least(name: str, value: Any, least: float, most: float = LARGEST) -> float:
    """Return the value as a float; raise a ValueError unless it is a number with least <= value <= most."""
    if not (is_number(value) and least <= value < math.inf):
        raise ValueError(f"{name} must be finite and >= {least:g}, got {shown(value)}")
    if value > most:
        raise ValueError(f"{name} must be at most {most:g}, got {shown(value)}")
    return float(value)


def check_number(name: str, value: Any) -> float:
    """Return the value as a float, infinity among them; raise a ValueError unless it is a number, and not NaN."""
    if not is_number(value) or math.isnan(value):
        raise ValueError(f"{name} must be a number, got {shown(value)}")
    return float(value)


def check_share(name: str, value: Any) -> float:
    """Return the value as a float; raise a ValueError unless it is a number with 0 <= value < 1."""
    if not (is_number(value) and 0 <= value < 1):
        raise ValueError(f"{name} must be in [0, 1), got {shown(value)}")
    return float(value)


def check_fraction(name: str, value: Any) -> float:
    """Return the value as a float; raise a ValueError unless it is a number with 0 < value < 1."""
    if not (is_number(value) and 0 < value < 1):
        raise ValueError(f"{name} must be in (0, 1), got {shown(value)}")
    return float(value)


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Return the value; raise a ValueError unless it is one of the choices. The message names the nearest one.

    >>> check_choice("arm", "Shuffeld", ("moduli", "shuffled"))
    Traceback (most recent call last):
    ValueError: arm must be 'moduli' or 'shuffled', got 'Shuffeld': did you mean shuffled?
    """
    if not isinstance(value, str) or value not in choices:
        *others, last = map(repr, choices)
        known = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name} must be {known}, got {shown(value)}{did_you_mean([value], choices)}")
    return value


def did_you_mean(unknown: Iterable[Any], known: Iterable[str]) -> str:
    """Return the end of a message that asks for the known names which look like the unknown ones; "" if none does.

    >>> did_you_mean(["Strenth", 3], ["strength", "steps"])
    ': did you mean strength?'
    """
    by_fold = {name.casefold(): name for name in known}
    names = [name.casefold()[:_SHOWN] for name in unknown if isinstance(name, str)]
    found = [by_fold[near] for name in names for near in get_close_matches(name, by_fold, n=1)]
    return f": did you mean {' and '.join(dict.fromkeys(found))}?" if found else ""


def check_prime(prime: Any) -> int:
    """Return the prime as an int; raise a ValueError unless it is a prime number below 2^31."""
    if _is_integer(prime) and prime > _LARGEST_PRIME:
        raise ValueError(f"prime must be below 2^31, got {shown(prime)}")
    if not _is_integer(prime) or prime < 2 or any(prime % d == 0 for d in range(2, math.isqrt(prime) + 1)):
        raise ValueError(f"prime must be a prime number, got {shown(prime)}")
    return int(prime)


def check_setting(
    owner: object,
    name: str,
    value: Any,
    fixed: Mapping[str, str],
    checks: Mapping[str, Callable[[str, Any], Any]] | None = None,
) -> Any:
    """Return the value that an attribute is about to be set to, checked; refuse what would have no effect.

    Args:
        owner: the object.
        name: of the attribute.
        value: what it is set to.
        fixed: attributes that are set at construction alone, each with what to do instead.
        checks: of attributes that may be set at any time.

    Raises:
        AttributeError: the attribute is fixed, and was set before.
    """
    if name in fixed and hasattr(owner, name):
        raise AttributeError(f"{name} of a {type(owner).__name__} cannot be set after construction: {fixed[name]}")
    return checks[name](name, value) if checks and name in checks else value


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Tell whether a value is a real number that a float can hold, infinity and NaN among them; a bool is none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        float(value)
    except OverflowError:  # an integer or a fraction that no float can hold
        return False
    return True
