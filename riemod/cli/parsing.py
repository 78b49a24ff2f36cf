"""Arguments of a command: tyro reads them, and whatever is wrong with them becomes one line."""

import contextlib
import dataclasses
import functools
import io
import itertools
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import tyro

from riemod._checks import check_choice, did_you_mean

_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_RULE = re.compile(r"[─-]{10,}")
_NUMBERS = {int: "an integer", float: "a number"}


class UsageError(ValueError):
    """Reports arguments that a command does not take."""


def parse_command(command: Callable[..., None], arguments: list[str], prog: str) -> Callable[[], None]:
    """Return the call of a command that its arguments ask for, without making it.

    Args:
        command: its parameters are the options; its docstring describes them, and ends with examples.
        arguments: what follows the command's name.
        prog: the program and the command, as help shows them.

    Raises:
        UsageError: for an unknown option, a missing one, or a value of another type.
        SystemExit: with status 0, if help was asked for and printed.
    """

    @functools.wraps(command)
    def bind(*positional: Any, **named: Any) -> Callable[[], None]:
        return functools.partial(command, *positional, **named)

    return parse(bind, arguments, prog, describe(command.__doc__))


def parse(target: Any, arguments: list[str], prog: str, description: str) -> Any:
    """Return what tyro makes of a dataclass or a function and of arguments for it.

    Args:
        target: the dataclass or the function.
        arguments: to parse.
        prog: the program and the command, as help shows them.
        description: stands at the top of the help.

    Raises:
        UsageError: for an unknown option, a missing one, or a value of another type.
        SystemExit: with status 0, if help was asked for and printed.
    """
    _check_options(target, arguments, prog)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = tyro.cli(target, args=arguments, prog=prog, description=description)
    except SystemExit as end:
        if not end.code:
            raise
        raise UsageError(f"{_message(said.getvalue())}; see {prog} --help") from None
    sys.stderr.write(said.getvalue())
    return parsed


def describe(docstring: str | None) -> str:
    r"""Return the description that a docstring opens with, and its examples; arguments have a place of their own.

    >>> describe("Show a run.\n\n    Args:\n        run: it.\n\n    Examples:\n        riemod show runs/a\n    ")
    'Show a run.\n\nExamples:\n    riemod show runs/a'
    """
    docstring = docstring or ""
    lines = docstring.expandtabs().splitlines()
    text = "\n".join([*lines[:1], *(line.removeprefix("    ") for line in lines[1:])])
    opening = re.split(r"\n(?=[A-Z][a-z]+:\n)", text, maxsplit=1)[0].strip()
    examples = examples_of(docstring)
    return "\n    ".join([f"{opening}\n\nExamples:", *examples]) if examples else opening


def examples_of(docstring: str) -> list[str]:
    """Return the lines of a docstring's section Examples."""
    _, _, section = docstring.partition("Examples:\n")
    return [line.strip() for line in section.splitlines() if line.strip()]


def _check_options(target: Any, arguments: list[str], prog: str) -> None:
    kinds = {name.replace("_", "-"): kind for name, kind, positional in _kinds(target) if not positional}
    kinds |= {f"no-{name}": kind for name, kind in kinds.items() if kind is bool} | {"help": bool}
    first = next(((name, kind) for name, kind, positional in _kinds(target) if positional), None)
    if first is not None and arguments and not arguments[0].startswith("-"):
        _check_value(*first, arguments[0])
    for position, argument in enumerate(arguments):
        if not argument.startswith("--"):
            continue
        typed, equals, value = argument[2:].partition("=")
        name = typed.replace("_", "-")
        if name not in kinds:
            hint = did_you_mean([name], kinds).replace("mean ", "mean --") or f"; see {prog} --help"
            raise UsageError(f"--{typed} is no option of {prog}{hint}")
        following = arguments[position + 1 : position + 2]
        if equals or (following and not following[0].startswith("--")):
            _check_value(f"--{name}", kinds[name], value if equals else following[0])


def _check_value(option: str, kind: Any, text: str) -> None:
    """Check what is typed for a choice or a number; tyro checks the rest."""
    kinds = typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    if text == "None" and types.NoneType in kinds:
        return
    choices = [str(choice) for kind in kinds if typing.get_origin(kind) is Literal for choice in typing.get_args(kind)]
    number = next((kind for kind in kinds if kind in _NUMBERS), None)
    if number is None:
        if choices:
            check_choice(option, text, choices)
        return
    if text in choices:
        return
    try:
        number(text)
    except ValueError:
        words = [*map(repr, choices), *(["None"] if types.NoneType in kinds else [])]
        allowed = " or ".join([_NUMBERS[number], *words])
        raise UsageError(f"{option} must be {allowed}, got {text[:80]!r}") from None


def _kinds(target: Any) -> Iterator[tuple[str, Any, bool]]:
    """Yield name, type, and whether it is positional of every parameter, those of dataclasses in it in their place."""
    for name, hint in typing.get_type_hints(target, include_extras=True).items():
        kind, *marks = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
        if dataclasses.is_dataclass(kind):
            yield from _kinds(kind)
        elif name != "return":
            yield name, kind, tyro.conf.Positional in marks


def _message(said: str) -> str:
    """Return the first paragraph of a box that tyro drew for an error, on one line."""
    lines = [line.strip() for line in _COLOR.sub("", said).splitlines()]
    inside = [line.strip("│ ") for line in lines if line.startswith("│")]
    if not inside:  # Where standard output is not in UTF-8, a box is a title above a rule.
        inside = list(itertools.dropwhile(lambda line: not _RULE.fullmatch(line), lines))[1:] or lines
    paragraph = itertools.takewhile(lambda line: not _RULE.fullmatch(line), inside)
    message = " ".join(" ".join(paragraph).split()).rstrip(".")
    return message.replace("Unrecognized options:", "got what it does not take:")
