"""Files that anyone may have changed: bounded, of the right types, and named in one line."""

import os
import tracemalloc
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from riemod._untrusted import DamagedFile, Range, check_shape, one_line, parse_json, read_bytes


class Example(TypedDict):
    name: str
    share: Annotated[float, Range(0, 1)]
    note: NotRequired[str | None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff", "must be text in UTF-8"),
        (b"", "must be JSON"),
        (b"{", "must be JSON"),
        (b'{"a": NaN}', "must be finite, got NaN"),
        (b'{"a": -Infinity}', "must be finite, got -Infinity"),
        (b'{"a": 1e999}', "must be finite, got 1e999"),
        (b'{"a": 1, "a": 2}', "name each key once, got 'a' again"),
        (b'["\\ud800"]', "must be text in UTF-8"),
        (b'{"\\udfff": 1}', "must be text in UTF-8"),
        (b"[" * 100_000, "must not nest so deep"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "must not nest so deep"),
        (b"7" * 5_000, "must be JSON"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_json_is_refused_in_one_line(text: bytes, message: str):
    with pytest.raises(DamagedFile, match=message) as caught:
        parse_json(text)
    assert one_line(caught.value) == str(caught.value)


def test_json_is_read_as_it_is():
    assert parse_json('{"a": [1, 2.5, null, true, "\\ud83d\\ude00"]}') == {"a": [1, 2.5, None, True, "\U0001f600"]}
    assert str(parse_json("[NaN]", allow_nan=True)) == "[nan]"


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        ({"share": 0.5}, Example, "it must have the key 'name'"),
        ({"name": 3, "share": 0.5}, Example, "name must be text, got 3"),
        ({"name": "a", "share": True}, Example, "share must be a number, got true"),
        ({"name": "a", "share": 1.5}, Example, "share must be from 0 to 1, got 1.5"),
        ({"name": "a", "share": 10**400}, Example, "share must be a number, got a whole number of 1329 bits"),
        ({"name": "a", "share": 0.5, "note": []}, Example, "note must be text, got a list"),
        ([{"a": [1]}], list[dict[str, list[str]]], r"it\[0\]\.a\[0\] must be text, got 1"),
        ({"a": -1}, dict[str, Annotated[int, Range(0)]], "a must be >= 0, got -1"),
        ({"a": 1.0}, dict[str, int], "a must be a whole number, got 1.0"),
        ("c", Literal["a", "b"], "it must be 'a' or 'b', got 'c'"),
        (None, dict[str, Any], "it must be an object, got null"),
        ("x" * 10**6, int, r"got 'x{60}'$"),
        ("\x1b[31m", int, r"got '\\x1b\[31m'"),
        ([], float | bool | None, "must be a number, true or false or null, got a list"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_value_of_another_type_is_named_with_its_place(value: Any, hint: Any, message: str):
    with pytest.raises(DamagedFile, match=message):
        check_shape(value, hint)


def test_values_of_the_type_pass():
    check_shape({"name": "a", "share": 1, "more": object()}, Example)
    check_shape({"name": "a", "share": 0.0, "note": None}, Example)
    check_shape([None, True, 2, 0.5], list[float | bool | None])


def test_no_more_than_the_bound_is_read_of_a_large_file(tmp_path: Path):
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(2 * 2**30)
    tracemalloc.start()
    with pytest.raises(DamagedFile, match="at most 1,000 bytes, got 2,147,483,648"):
        read_bytes(path, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(DamagedFile, match="must be a regular file"):
            read_bytes(path, 10)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "nothing", 10)


def test_messages_are_one_printable_line():
    assert one_line("a\n\tb\x1b\ud800") == "a b\\x1b\\ud800"
    assert len(one_line("x" * 10**6)) == 403
