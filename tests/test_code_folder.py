"""Compiled code is kept in a folder of the user alone, and what is not as it was stored is not run."""

import logging
import multiprocessing
import os
import stat
import time
from pathlib import Path

import pytest

from riemod import _code_folder as code_folder
from riemod._code_folder import find_code, own_folder, store_code, while_alone

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users and modes are those of POSIX")
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return own_folder()


def test_the_folder_is_the_user_s_alone(folder):
    status = folder.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o700, os.geteuid())
    assert own_folder() == folder


def test_code_is_found_by_its_key_alone(folder):
    path = store_code(folder, "key", CONTENT)
    assert path.read_bytes() == CONTENT
    assert find_code(folder, "key") == path == store_code(folder, "key", CONTENT)
    assert find_code(folder, "another key") is None


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def linked(path: Path) -> None:
    other = path.with_suffix(".other")
    path.rename(other)
    path.symlink_to(other)


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def stored_under_another_key(path: Path) -> None:
    other = store_code(path.parent, "another key", CONTENT[::-1])
    path.unlink()
    other.rename(path.with_name(f"{path.name[:32]}{other.name[32:]}"))


@pytest.mark.parametrize(
    "damage", [truncated, changed, emptied, linked, replaced_by_a_folder, stored_under_another_key]
)
def test_what_is_not_as_it_was_stored_is_not_found_and_stored_anew(damage, folder, caplog):
    path = store_code(folder, "key", CONTENT)
    damage(path)
    with caplog.at_level(logging.WARNING, "riemod"):
        assert find_code(folder, "key") is None
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("compiled anew: ")
    if damage is not replaced_by_a_folder:
        store_code(folder, "key", CONTENT)
        assert find_code(folder, "key") == path


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o755])
def test_a_folder_that_others_may_enter_is_refused(mode, folder):
    folder.chmod(mode)
    with pytest.raises(OSError, match=f"must have the mode 700, got {mode:o}"):
        own_folder()


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_below_one_that_others_may_write_is_refused(mode, folder):
    folder.parent.chmod(mode)
    with pytest.raises(OSError, match="others must not write it"):
        own_folder()
    # Where only owners may rename, as in /tmp, nobody else can put another folder in its place.
    folder.parent.chmod(mode | stat.S_ISVTX)
    assert own_folder() == folder


def test_a_folder_of_another_user_is_refused(folder, monkeypatch):
    monkeypatch.setattr(code_folder.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(OSError, match="must belong to the user"):
        own_folder()


def test_a_file_or_a_link_in_the_folder_s_place_is_refused(folder):
    folder.rmdir()
    folder.write_text("")
    with pytest.raises(OSError, match="must be a folder"):
        own_folder()
    folder.unlink()
    (folder.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to("elsewhere")
    with pytest.raises(OSError, match="must be a folder"):
        own_folder()


def test_a_cache_that_cannot_be_made_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"file|directory"):
        own_folder()


def hold(folder: Path, entered: "multiprocessing.synchronize.Event", left: "multiprocessing.synchronize.Event") -> None:
    with while_alone(folder, "key"):
        entered.set()
        left.wait(60)


def test_processes_with_one_key_wait_for_each_other_even_if_one_is_killed(folder):
    spawn = multiprocessing.get_context("spawn")
    entered, never = spawn.Event(), spawn.Event()
    process = spawn.Process(target=hold, args=(folder, entered, never), daemon=True)
    process.start()
    assert entered.wait(60)
    with while_alone(folder, "another key"):
        pass
    killed = time.monotonic()
    process.kill()
    with while_alone(folder, "key"):
        assert time.monotonic() >= killed
    process.join()


def test_without_locks_code_is_stored_all_the_same(folder, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr("fcntl.flock", refuse)
    with while_alone(folder, "key"):
        store_code(folder, "key", CONTENT)
    assert find_code(folder, "key") is not None
