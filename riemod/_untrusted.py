"""Reading of files that anyone may have changed: size, text, JSON and types are checked, and nothing is executed.

Every fault is a `DamagedFile`, whose message is one short line without the file's name. The rooms add the name.
"""

import json
import math
import stat
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Required

_LONGEST_LINE = 400
_SHOWN = 60
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", types.NoneType: "null"}


class DamagedFile(ValueError):
    """Reports what is wrong in a file that was read."""


class Range(NamedTuple):
    """Bounds a number, for `Annotated`: least <= number <= most."""

    least: float
    most: float = math.inf


Count = Annotated[int, Range(0)]
Share = Annotated[float, Range(0, 1)]
Amount = Annotated[float, Range(0)]


def one_line(text: object, most: int = _LONGEST_LINE) -> str:
    r"""Return the text on one line of at most that many characters, with what is not printable escaped.

    >>> one_line("first\nsecond \x1b[31m")
    'first second \\x1b[31m'
    """
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= most else f"{line[:most]}..."


def printable(text: str) -> str:
    r"""Return the text with every character that is not printable escaped, as `repr` escapes it.

    >>> printable("a\x1bb")
    'a\\x1bb'
    """
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most that many bytes.

    Raises:
        DamagedFile: the file is larger, or no regular file.
        OSError: the file cannot be read.
    """
    size = regular_size(path)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise DamagedFile(f"it must have at most {most:,} bytes, got {size:,}")
    return content


def regular_size(path: Path) -> int:
    """Return the size in bytes of a regular file; others, such as pipes and devices, have no end.

    Raises:
        DamagedFile: the path is no regular file.
        OSError: there is no such file.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DamagedFile("it must be a regular file, got another kind")
    return status.st_size


def parse_json(content: bytes | str, *, allow_nan: bool = False) -> Any:
    """Return the value of a JSON text in UTF-8.

    Args:
        content: of bounded size (`read_bytes`), which also bounds the memory of the value.
        allow_nan: take NaN and infinity as numbers, which the standard does not.

    Raises:
        DamagedFile: the text is no such JSON, nests too deep, names a key twice, or holds half of a surrogate pair.
    """
    try:
        text = content.decode() if isinstance(content, bytes) else content
        value = json.loads(
            text,
            parse_constant=None if allow_nan else _refuse_constant,
            parse_float=float if allow_nan else _finite,
            object_pairs_hook=_unique,
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise DamagedFile("its values must not nest so deep") from error
    except DamagedFile:
        raise
    except UnicodeError as error:
        raise DamagedFile(f"it must be text in UTF-8: {error}") from error
    except ValueError as error:
        raise DamagedFile(f"it must be JSON: {one_line(error)}") from error
    return value


def check_shape(value: Any, hint: Any, where: str = "it") -> None:
    """Check a parsed JSON value against a type: `TypedDict`, list, dict, union, `Literal` or `Annotated` with `Range`.

    True and false are no numbers here, a whole number is a float, and floats are finite. Keys that a `TypedDict` does
    not list are allowed, for later versions may write more.

    Args:
        value: made of dicts, lists, text, numbers, true, false and null.
        hint: the type.
        where: names the value in the message.

    Raises:
        DamagedFile: the value is not of that type. The message names the place.

    >>> check_shape({"a": [1, 2.5]}, dict[str, list[float]])
    >>> check_shape({"a": [1, None]}, dict[str, list[float]])
    Traceback (most recent call last):
    ...
    riemod._untrusted.DamagedFile: a[1] must be a number, got null
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return
    if typing.is_typeddict(hint):
        _check_object(value, hint, where)
    elif origin in (Required, typing.NotRequired):
        check_shape(value, arguments[0], where)
    elif origin is Annotated:
        check_shape(value, arguments[0], where)
        for bound in arguments[1:]:
            if not bound.least <= value <= bound.most:
                span = f">= {bound.least:g}" if bound.most == math.inf else f"from {bound.least:g} to {bound.most:g}"
                raise DamagedFile(f"{where} must be {span}, got {shown(value)}")
    elif origin in (types.UnionType, typing.Union):
        _check_union(value, arguments, where)
    elif origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in arguments):
            raise DamagedFile(f"{where} must be {_listed(map(repr, arguments))}, got {shown(value)}")
    elif origin is list or origin is dict:
        if type(value) is not origin:
            raise DamagedFile(f"{where} must be {_KINDS[origin]}, got {shown(value)}")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            check_shape(item, arguments[-1], f"{where}[{key}]" if isinstance(key, int) else _inside(where, key))
    elif not _fits(value, hint):
        raise DamagedFile(f"{where} must be {_named(hint)}, got {shown(value)}")


def shown(value: Any) -> str:
    """Return a short form of a JSON value for a message.

    >>> shown(None), shown([1, 2]), shown("text")
    ('null', 'a list', "'text'")
    """
    if isinstance(value, dict | list) or value is None:
        return _KINDS[type(value)]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_SHOWN:
        return f"a whole number of {value.bit_length()} bits"
    text = str(value).lower() if isinstance(value, bool) else ascii(value[:_SHOWN] if isinstance(value, str) else value)
    return text


def _check_object(value: Any, hint: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise DamagedFile(f"{where} must be an object, got {shown(value)}")
    for key, inner in typing.get_type_hints(hint, include_extras=True).items():
        if key in value:
            check_shape(value[key], inner, _inside(where, key))
        elif key in hint.__required_keys__:
            raise DamagedFile(f"{where} must have the key {key!r}, got {_listed(map(shown, list(value)[:5]))}")


def _check_union(value: Any, choices: tuple[Any, ...], where: str) -> None:
    if value is None and types.NoneType in choices:
        return
    others = [choice for choice in choices if choice is not types.NoneType]
    if len(others) == 1:
        check_shape(value, others[0], where)
    elif not any(_fits(value, choice) for choice in others):
        raise DamagedFile(f"{where} must be {_listed(map(_named, choices))}, got {shown(value)}")


def _fits(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool) and _is_finite(value)
    return value is None if kind is types.NoneType else type(value) is kind


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _named(kind: Any) -> str:
    return {int: "a whole number", float: "a number"}.get(kind) or _KINDS[kind]


def _inside(where: str, key: str) -> str:
    name = one_line(key)[:_SHOWN]
    return name if where == "it" else f"{where}.{name}"


def _listed(names: Iterable[str]) -> str:
    *others, last = list(names) or ["nothing"]
    return f"{', '.join(others)} or {last}" if others else last


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DamagedFile(f"it must name each key once, got {shown(twice)} again")
    return value


def _refuse_constant(name: str) -> float:
    raise DamagedFile(f"its numbers must be finite, got {name}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise DamagedFile(f"its numbers must be finite, got {text[:_SHOWN]}")
    return number
