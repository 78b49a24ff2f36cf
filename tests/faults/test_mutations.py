"""Mutated files are read as something valid, or refused as documented."""

from pathlib import Path

import pytest

from tests.faults.mutations import Kind, attempt, kinds, run

COUNT, MANY = 60, 600


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> list[Kind]:
    return list(kinds(tmp_path_factory.mktemp("files")))


def test_no_mutated_file_is_a_crash(every_kind: list[Kind]):
    for kind in every_kind:
        # Compressed files come in three layouts.
        count = COUNT // 3 if kind.name.startswith("a compressed") else COUNT
        problems = {number: problem for number in range(count) if (problem := attempt(kind, 0, number)) is not None}
        assert not problems, (kind.name, problems)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_mutated_file_of_many_is_a_crash(seed: int):
    assert run(MANY, seed).failures == []


def test_a_file_is_as_before_after_an_attempt(every_kind: list[Kind]):
    for kind in every_kind:
        before = kind.path.read_bytes()
        assert attempt(kind, 0, 0) is None
        assert kind.path.read_bytes() == before


def test_a_reader_that_crashes_or_takes_changes_is_found(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b'{"a": 1, "b": [2]}')

    def crash() -> None:
        raise KeyError("a")

    def refuse() -> None:
        raise ValueError("two\nlines")

    def kind(read: object, *, refuses_changes: bool = False) -> Kind:
        return Kind("a file", path, lambda draw, content: content[:-1], read, (ValueError,), refuses_changes, "file")  # pyright: ignore[reportArgumentType]

    assert attempt(kind(crash), 0, 0) == "KeyError: \"'a'\""
    assert "not one printable line" in str(attempt(kind(refuse), 0, 0))
    assert attempt(kind(lambda: None, refuses_changes=True), 0, 0) == "was read although it was changed"
    assert attempt(kind(lambda: None), 0, 0) is None
